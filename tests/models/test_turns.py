"""Where a response ends, and how it is read: at the ends that the model, its tokenizer and its chat template name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.support.chats import CHATS, chat_tokenizer
from tests.support.checkpoints import TEXTS, configuration, save_checkpoint
from transformers import AutoModelForCausalLM, GenerationConfig

from mlproject.errors import UserError
from mlproject.models.checkpoints import load_policy_checkpoint
from mlproject.models.generation import sample, sample_responses
from mlproject.models.inspection import inspect_policy, inspect_reward_model
from mlproject.models.live_policy import as_reference, measurable
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.turns import response_ends, template_end


def policy_of(tokenizer, seed: int = 0, vocabulary: int | None = None):
    config = configuration("llama", vocabulary or len(tokenizer))
    config.eos_token_id, config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
    config.pad_token_id, config.initializer_range = tokenizer.pad_token_id, 0.3
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", CHATS)
def test_the_end_of_a_turn_is_the_first_token_behind_it(name):
    tokenizer = chat_tokenizer(name)
    expected = tokenizer.convert_tokens_to_ids(CHATS[name].end)
    assert template_end(tokenizer) == (None if name == "words only" else expected)
    ends = response_ends(None, tokenizer)
    assert set(ends) == {expected, tokenizer.eos_token_id} and ends[0] == tokenizer.eos_token_id


def test_a_generation_config_adds_its_ends_and_a_default_of_the_architecture_none():
    tokenizer = chat_tokenizer("Gemma")
    eos, end, word = tokenizer.eos_token_id, template_end(tokenizer), tokenizer("a")["input_ids"][0]
    assert response_ends(GenerationConfig(eos_token_id=[eos, word]), tokenizer) == [eos, end, word]
    derived = GenerationConfig(eos_token_id=word)
    derived._from_model_config = True
    assert response_ends(derived, tokenizer) == [eos, end], "a regular token, taken over from config.json"
    derived.eos_token_id = tokenizer.bos_token_id
    assert response_ends(derived, tokenizer) == [eos, end, tokenizer.bos_token_id]


def test_a_tokenizer_without_any_end_is_refused():
    tokenizer = chat_tokenizer(None)
    tokenizer.eos_token = None
    with pytest.raises(UserError, match=r"tokenizer: must have an end-of-sequence token. Set tokenizer.eos_token."):
        response_ends(None, tokenizer)


@pytest.mark.parametrize("stated", ["<|im_end|>", [3, "<|im_end|>"], [[3]], [2.5], [True]])
def test_an_end_that_is_no_number_is_refused_in_one_line(tmp_path, stated):
    folder = save_checkpoint(tmp_path / "policy", "llama", chat_tokenizer("ChatML"), reward=False)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stated}))
    with pytest.raises(UserError, match=r"eos_token_id must be a token's number or a list of them"):
        inspect_policy(str(folder), "policy")


def test_a_broken_file_of_ends_is_not_passed_over(tmp_path):
    folder = save_checkpoint(tmp_path / "policy", "llama", chat_tokenizer("ChatML"), reward=False)
    (folder / "generation_config.json").write_text('{"eos_token_id": [3,')
    with pytest.raises(UserError, match=r"must have a readable generation_config.json .* Correct or remove it"):
        inspect_policy(str(folder), "policy")


_CHATML = CHATS["ChatML"].template
LEFT_OUT = {
    "user: another field": _CHATML.replace("m.content", "m.text | default('')"),
    "user: parts alone": _CHATML.replace("m.content", "(m.content | map(attribute='text') | join)"),
    "assistant": _CHATML.replace("in messages", "in messages if m.role != 'assistant'"),
    "assistant: one turn alone": _CHATML.replace("in messages", "in messages[:1]"),
}


@pytest.mark.parametrize("who", LEFT_OUT)
@pytest.mark.parametrize("reward", [False, True])
def test_a_template_that_leaves_a_turn_out_is_refused(tmp_path, who, reward):
    tokenizer = chat_tokenizer("ChatML")
    inspect = inspect_reward_model if reward else inspect_policy
    tokenizer.chat_template = LEFT_OUT[who]
    folder = save_checkpoint(tmp_path / "model", "llama", tokenizer, reward=reward)
    with pytest.raises(UserError, match=f"must write what the {who.partition(':')[0]} says"):
        inspect(str(folder), "gold")


def test_a_response_ends_at_the_first_of_several_ends_as_generate_ends_it():
    tokenizer = chat_tokenizer("Gemma")
    policy = policy_of(tokenizer, 3)
    words = [row[0] for row in tokenizer(["r", "t", "e", "s"])["input_ids"]]
    ends = [tokenizer.eos_token_id, template_end(tokenizer), *words]
    policy.config.eos_token_id = ends
    prompts = PromptFormat(tokenizer, 12).encode_prompts([f"{text} {i}" for text in TEXTS for i in range(3)])
    with torch.no_grad():  # frequent, so that both ends and cuts occur
        policy.lm_head.weight[ends] *= 1.5
    greedy = sample(policy, prompts, max_new_tokens=12, generator=seeded(0), temperature=1e-5)
    lengths = set()
    for i, (row, start, end) in enumerate(zip(*(x.tolist() for x in vars(greedy.sequences).values()), strict=True)):
        ids = prompts.ids_PT[i : i + 1, : prompts.lengths_P[i]]
        own = policy.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
        )[0, ids.shape[1] :].tolist()  # fmt: skip
        assert row[start:end] == own
        assert not set(own[:-1]) & set(ends)
        lengths.add(len(own))
    assert len(lengths) > 3 and 12 in lengths


@pytest.mark.parametrize(
    "name", ["ChatML, another end-of-sequence", "Zephyr, padding is the end", "Llama 3, no padding"]
)
def test_kl_counts_the_tokens_up_to_and_including_the_end(name):
    tokenizer = chat_tokenizer(name)
    policy, other = policy_of(tokenizer), policy_of(tokenizer, 1)
    ends = response_ends(None, tokenizer)
    with torch.no_grad():
        policy.lm_head.weight[ends] *= 2
    with measurable(policy, tokenizer), measurable(other, tokenizer):
        responses = sample_responses(
            policy, PromptFormat(tokenizer, 10), TEXTS, generator=seeded(0), samples_per_prompt=20
        )  # fmt: skip
        kl_B = measure_kl(policy, other, responses.sequences).kl_B
    last = []
    for row, start, end, kl in zip(*(x.tolist() for x in (*vars(responses.sequences).values(), kl_B)), strict=True):
        with torch.no_grad():
            p, q = (m(torch.tensor([row[:end]])).logits[0].double().log_softmax(-1) for m in (policy, other))
        expected = sum(float((p[t - 1].exp() * (p[t - 1] - q[t - 1])).sum()) for t in range(start, end))
        assert kl == pytest.approx(expected, rel=1e-4)
        assert not set(row[start : end - 1]) & set(ends) and (end - start == 10 or row[end - 1] in ends)
        last.append(row[end - 1])
    assert set(ends) < set(last), "every end and cut responses occur"


@pytest.mark.parametrize("is_special", [True, False])
def test_a_text_is_read_as_it_was_written_without_its_end(is_special):
    tokenizer = chat_tokenizer("ChatML, another end-of-sequence")
    word = tokenizer("e")["input_ids"]
    written = tokenizer("Hello , you 're  here .")["input_ids"]
    tokenizer.clean_up_tokenization_spaces = True
    tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    assert tokenizer.decode(written) != "Hello , you 're  here ."
    prompt_format = PromptFormat(tokenizer, 40, further_ends=() if is_special else tuple(word))
    sequences = prompt_format.encode(["x", "x"], ["Hello , you 're  here .", "e e"])
    if is_special:
        assert sequences.response_ids_BR[0, len(written)] == template_end(tokenizer) != tokenizer.eos_token_id
    else:
        sequences.ids_BT[sequences.ids_BT == template_end(tokenizer)] = word[0]
    assert prompt_format.decode(sequences) == ["Hello , you 're  here .", "e e"]


@pytest.mark.parametrize("adds_bos", [True, False])
def test_what_a_tokenizer_appends_by_itself_does_not_end_a_prompt(adds_bos):
    tokenizer = chat_tokenizer(None, adds_bos=adds_bos, adds_eos=True)
    begin = [tokenizer.bos_token_id] * adds_bos
    prompt, response = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a prompt", "its answer"))
    prompt_format = PromptFormat(tokenizer, 20)
    sequences, alone = (
        prompt_format.encode(["a prompt"], ["its answer"]),
        prompt_format.encode_prompts(["a prompt", ""]),
    )
    assert sequences.ids_BT.tolist() == [[*begin, *prompt, *response, tokenizer.eos_token_id]]
    assert alone.ids_PT[0].tolist() == [*begin, *prompt]
    assert alone.ids_PT[1, : alone.lengths_P[1]].tolist() == [tokenizer.bos_token_id], "it begins with one token"
    assert prompt_format.decode(sequences) == ["its answer"]


def test_a_chat_template_begins_a_sequence_once():
    bos, tokenizer = CHATS["Gemma"].bos, chat_tokenizer("Gemma", adds_bos=True, adds_eos=True)
    begin = tokenizer.convert_tokens_to_ids(bos)
    assert tokenizer("x")["input_ids"][0] == begin
    sequences = PromptFormat(tokenizer, 20).encode(["x"], ["y"])
    assert sequences.ids_BT[0].tolist().count(begin) == 1
    assert sequences.ids_BT[0, -1] == template_end(tokenizer)


def test_embeddings_of_no_token_are_sampled_as_the_policy_gives_them_and_leave_no_text():
    tokenizer = chat_tokenizer(None)
    known, rows = len(tokenizer), len(tokenizer) + 60
    policy, other = policy_of(tokenizer, vocabulary=rows), policy_of(tokenizer, 1, vocabulary=rows)
    prompt_format = PromptFormat(tokenizer, 8)
    responses = sample_responses(policy, prompt_format, TEXTS, generator=seeded(0), samples_per_prompt=4)
    ids_B = [row[:length] for row, length in zip(responses.sequences.response_ids_BR.tolist(),
             responses.sequences.response_lengths_B.tolist(), strict=True)]  # fmt: skip
    assert max(map(max, ids_B)) >= known
    specials = set(tokenizer.all_special_ids)
    words = [[token for token in ids if token < known and token not in specials] for ids in ids_B]
    assert responses.texts == tokenizer.batch_decode(words)
    divergence = measure_kl(policy, other, responses.sequences)
    assert torch.isfinite(divergence.kl_B).all() and (divergence.kl_B > 0).all()

    small = replace_rows(responses, known)
    from transformers import AutoModelForSequenceClassification

    config = configuration("llama", known)
    config.num_labels, config.pad_token_id, config.initializer_range = 1, tokenizer.pad_token_id, 0.3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        own = [model(torch.tensor([row])).logits.item() for row in small]
    np.testing.assert_allclose(RewardModel(model).rate(responses), own, atol=1e-5)


def replace_rows(responses: Responses, known: int) -> list[list[int]]:
    rows = zip(responses.sequences.ids_BT.tolist(), responses.sequences.ends_B.tolist(), strict=True)
    return [[token for token in row[:end] if token < known] for row, end in rows]


def test_an_imported_policy_keeps_every_end_of_its_model(tmp_path):
    tokenizer = chat_tokenizer("Llama 3, another end-of-sequence")
    folder = save_checkpoint(tmp_path / "policy", "llama", tokenizer, reward=False)
    begin, eos, eot = tokenizer.bos_token_id, tokenizer.eos_token_id, template_end(tokenizer)
    written = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**written, "eos_token_id": [eos, begin]}))
    checkpoint = inspect_policy(str(folder), "policy")
    model, again = load_policy_checkpoint(checkpoint, "policy")
    assert model.config.eos_token_id == model.generation_config.eos_token_id == [eos, eot, begin]
    model.save_pretrained(tmp_path / "copy")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "copy").config.eos_token_id == [eos, eot, begin]
    reference = as_reference(model, again)
    assert reference.config.eos_token_id == [eos, eot, begin] and isinstance(reference.config.pad_token_id, int)


def test_only_checkpoints_that_are_read_in_another_way_have_a_new_version(tmp_path):
    def version(name, reward, settings=None, **options):
        tokenizer = chat_tokenizer(name, **options)
        folder = save_checkpoint(tmp_path / str(len(list(tmp_path.iterdir()))), "llama", tokenizer, reward=reward)
        saved = folder / "tokenizer_config.json"
        saved.write_text(json.dumps({**json.loads(saved.read_text()), **(settings or {})}))
        inspect = inspect_reward_model if reward else inspect_policy
        return inspect(str(folder), "model").step_version

    assert [version(None, reward) for reward in (True, False)] == [1, 1]
    assert [version("Zephyr", reward) for reward in (True, False)] == [2, 2]
    assert [version(None, reward, adds_eos=True) for reward in (True, False)] == [2, 2]
    assert [version(None, reward, adds_bos=True) for reward in (True, False)] == [1, 1]
    cleans = {"clean_up_tokenization_spaces": True}
    assert [version(None, reward, cleans) for reward in (True, False)] == [1, 1], "transformers ignores it here"
    cleans["clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"] = True
    assert [version(None, reward, cleans) for reward in (True, False)] == [1, 2], "only policies' ids are decoded"
    folder = save_checkpoint(tmp_path / "list", "llama", chat_tokenizer(None), reward=False)
    GenerationConfig(eos_token_id=[1, 2]).save_pretrained(folder)
    assert inspect_policy(str(folder), "policy").step_version == 2


def test_a_chat_template_that_cannot_lay_out_an_answer_is_refused_in_one_line(tmp_path):
    tokenizer = chat_tokenizer("ChatML")
    tokenizer.chat_template = "{% for m in messages %}{{ raise_exception('never ' + m.role) }}{% endfor %}"
    folder = save_checkpoint(tmp_path / "rm", "llama", tokenizer, reward=True)
    with pytest.raises(UserError) as raised:
        inspect_reward_model(str(folder), "gold")
    message = str(raised.value)
    assert message.startswith(f"gold={folder}: its chat template must lay out a user's turn and the assistant's (")
    assert message.endswith("never user). Correct it.")
