"""Whatever gives a response a number becomes a scorer, and anything else is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.rewards.loopback import serving
from tests.support.checkpoints import word_count

from mlproject.errors import UserError
from mlproject.models.generation import sample
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.monitoring.user_scorers import NoGold, as_scorer, calibrated
from mlproject.preferences.calibration import calibration_scale
from mlproject.worlds.helpdesk.tokenizer import word_tokenizer

PROMPTS = ["yes", "no", "maybe", "yes no", "no yes", "maybe maybe"]
SAMPLES = 5


def lengths(prompts, responses):
    return [float(len(response.split())) for response in responses]


@pytest.fixture
def prompt_format(tiny_tokenizer):
    return PromptFormat(tiny_tokenizer, 6)


@pytest.fixture
def responses(tiny_policy, prompt_format) -> Responses:
    prompts, generator = prompt_format.encode_prompts(PROMPTS), torch.Generator().manual_seed(0)
    drawn = sample(tiny_policy(), prompts, max_new_tokens=6, generator=generator, samples_per_prompt=SAMPLES)
    return Responses.of_prompts(PROMPTS, drawn.sequences, prompt_format)


def test_a_folder_is_read_in_ids_where_the_tokenizer_is_the_policys_and_in_texts_otherwise(
    tiny_policy, tiny_reward_model, prompt_format, responses, tmp_path
):
    model = tiny_reward_model()
    RewardModel(model).save(tmp_path / "same", prompt_format)
    other = word_tokenizer(["maybe", "no", "yes"])  # the same words under other ids
    RewardModel(model).save(tmp_path / "other", PromptFormat(other, 6))
    in_ids, in_texts = (as_scorer(tmp_path / n, "gold", tiny_policy(), prompt_format) for n in ("same", "other"))
    assert isinstance(in_ids, RewardModel) and isinstance(in_texts, TextRewardModel)
    np.testing.assert_array_equal(in_ids.rate(responses), RewardModel(model).scores(responses.sequences))
    assert in_texts.prompt_format.tokenizer.get_vocab() == other.get_vocab()
    again = in_texts.prompt_format.encode(responses.prompts, responses.texts)
    np.testing.assert_array_equal(in_texts.rate(responses), RewardModel(model).scores(again))
    assert not np.allclose(in_ids.rate(responses), in_texts.rate(responses))


def test_a_scorer_is_taken_as_it_is_and_a_model_and_a_function_read_texts(
    tiny_policy, tiny_reward_model, prompt_format, responses
):
    model = tiny_reward_model()
    wrapped = RewardModel(model)
    policy = tiny_policy()
    assert as_scorer(wrapped, "proxy", policy, prompt_format) is wrapped
    from_model = as_scorer(model, "proxy", policy, prompt_format)
    whole = PromptFormat(prompt_format.tokenizer, 100).encode(responses.prompts, responses.texts)
    np.testing.assert_array_equal(from_model.rate(responses), wrapped.scores(whole))
    from_function = as_scorer(lengths, "proxy", policy, prompt_format)
    assert from_function.rate(responses).tolist() == lengths(responses.prompts, responses.texts)


def test_what_is_no_scorer_is_refused_in_one_line(tiny_policy, tiny_reward_model, prompt_format, tmp_path):
    stranger = tiny_reward_model()
    stranger.config.vocab_size = 99
    for scorer, message in (
        (tmp_path, f"gold={tmp_path}: must be the folder of a model. Give one with a config.json."),
        (
            3.0,
            "gold: must be a reward model, its folder, a function of (prompts, responses) or of TRL's form, or the "
            "address of a service. Got a float.",
        ),
        (
            stranger,
            "gold: must have the policy's vocabulary of 8, has 99. Give the model's folder, or a TextRewardModel.",
        ),
    ):
        with pytest.raises(UserError) as raised:
            as_scorer(scorer, "gold", tiny_policy(), prompt_format)
        assert str(raised.value) == message


def test_a_function_by_its_name_a_function_of_trls_and_a_service_score_as_they_do_when_called_by_hand(
    tiny_policy, responses
):
    prompt_format, policy = responses.prompt_format, tiny_policy()

    def trl_length(completions, **columns):
        return [float(len(text)) for text in completions]

    def lengths(path, content, number):
        return 200, {"scores": [len(text) for text in content["responses"]]}, {}

    expected = [float(len(text)) for text in responses.texts]
    assert as_scorer(trl_length, "proxy", policy, prompt_format).rate(responses).tolist() == expected
    with serving(lengths) as (url, _):
        assert as_scorer(url, "proxy", policy, prompt_format).rate(responses).tolist() == expected
    named = as_scorer("tests.support.checkpoints:word_count", "proxy", policy, prompt_format)
    assert named.rate(responses).tolist() == pytest.approx(word_count(responses.prompts, responses.texts))


def test_where_nothing_plays_gold_every_score_is_nan_in_any_unit(responses):
    scores_B = NoGold().with_units(3.0, 2.0).rate(responses)
    assert scores_B.shape == (len(PROMPTS) * SAMPLES,) and np.isnan(scores_B).all()


def test_a_scorer_is_put_on_golds_scale_by_pairs_of_samples_of_one_prompt(tiny_policy, prompt_format, responses):
    raw = as_scorer(lengths, "proxy", tiny_policy(), prompt_format)
    raw_PN = raw.rate(responses).reshape(len(PROMPTS), SAMPLES)
    gold_PN = (raw_PN - raw_PN.mean()) / raw_PN.std() + 0.5 * np.random.default_rng(0).normal(size=raw_PN.shape)
    proxy_margin_B = np.concatenate([raw_PN[:, 0] - raw_PN[:, 1], raw_PN[:, 2] - raw_PN[:, 3]])
    gold_margin_B = np.concatenate([gold_PN[:, 0] - gold_PN[:, 1], gold_PN[:, 2] - gold_PN[:, 3]])
    expected = (raw_PN - raw_PN.mean()) * calibration_scale(proxy_margin_B, gold_margin_B)
    scores_PN = calibrated(raw, responses, gold_PN).rate(responses).reshape(raw_PN.shape)
    np.testing.assert_allclose(scores_PN, expected, rtol=1e-6, atol=1e-9)


def test_without_gold_a_scorer_is_in_standard_deviations_of_its_own_scores(tiny_policy, prompt_format, responses):
    raw = as_scorer(lengths, "proxy", tiny_policy(), prompt_format)
    nothing_PN = np.full((len(PROMPTS), SAMPLES), np.nan)
    scores_B = calibrated(raw, responses, nothing_PN).rate(responses)
    assert scores_B.mean() == pytest.approx(0.0, abs=1e-12) and scores_B.std() == pytest.approx(1.0)


def test_an_adapter_is_told_from_a_folder_without_a_model(tiny_policy, prompt_format, tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(
        UserError, match=r"must be a whole model, not an adapter \(PEFT\). Merge it by merge_and_unload"
    ):
        as_scorer(tmp_path, "gold", tiny_policy(), prompt_format)
