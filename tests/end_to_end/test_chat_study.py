"""A whole study of chat models that were trained a little, measured once more with transformers alone.

Policy, reward model and gold are of three families, each with a chat template and a tokenizer of its own. Everything is
trained on a planted preference by plain torch; then one YAML file runs the study, and its last points are measured
again: KL, proxy and gold of the saved policy token by token, and best-of-n over all subsets of the pool.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file
from tests.support.architectures import tiny_model
from tests.support.chats import CHATS, chat_tokenizer
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from mlproject.curve import Curve
from mlproject.models.generation import sample_responses
from mlproject.models.prompt_format import PromptFormat
from mlproject.pipeline.loading import stream_seed

GOOD, BAD = ("restart", "phone", "cable", "answer"), ("no", "black", "break", "never")
WORDS = [*GOOD, *BAD, "the", "is", "my", "please"]
LONGEST, PROMPTS, POOL, MORE = 26, 12, 14, 40
STUDY = {
    "world": "files", "policy": "./policy", "prompts": "./prompts.jsonl", "gold": "./gold", "rm_sizes": ["./rm"],
    "rm_size": "./rm", "search_rm_sizes": ["./rm"], "methods": ["best-of-n", "ppo"], "n_trials": 0, "seeds": [0],
    "max_prompt_tokens": 80, "max_response_tokens": LONGEST, "curve_prompts": PROMPTS, "audit_prompts": 8,
    "pool_samples": POOL, "bon_n_max": 7, "bon_points": 5, "eval_samples": 3, "ppo_updates": 5, "ppo_batch_size": 32,
    "ppo_epochs": 2, "ppo_minibatches": 1, "ppo_lr": 1e-3, "bootstrap": 20,
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """An architecture with a chat template."""

    model_type: str
    chat: str


STUDIES = {  # policy, reward model, gold
    "Qwen3": (Family("qwen3", "ChatML that thinks"), Family("llama", "Llama 3"), Family("gpt_neox", "Zephyr")),
    "Gemma": (Family("gemma2", "Gemma"), Family("qwen3", "ChatML"), Family("mistral", "Llama 2, Mistral")),
}


def value(text: str) -> int:
    """What is planted: each good word counts 1, each bad one -1."""
    return sum((word in GOOD) - (word in BAD) for word in text.split())


def sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(2, 6)))


def turns_of(prompt: str) -> list[dict[str, str]]:
    return json.loads(prompt) if prompt.startswith("[{") else [{"role": "user", "content": prompt}]


def whole_ids(tokenizer, prompt: str, response: str) -> list[int]:
    turns = [*turns_of(prompt), {"role": "assistant", "content": response}]
    return tokenizer.apply_chat_template(turns, return_dict=False)


def prompts_of(chat: str) -> list:
    """User turns; among them a conversation and, where the template has it, a system's turn."""
    rng = np.random.default_rng(7)
    texts = [f"{sentence(rng)} {i}?" for i in range(60)]
    first = {"role": "system", "content": "Be brief."} if CHATS[chat].has_system else None
    for i in range(0, 60, 5):
        turns = [("user", texts[i]), ("assistant", sentence(rng)), ("user", sentence(rng))]
        messages = [{"role": role, "content": content} for role, content in turns]
        texts[i] = [first, *messages[-1:]] if first and i % 2 else messages
    return texts


def fitted(model, loss_of_step, steps: int):
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        loss = loss_of_step()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def tiny(auto, family: Family, seed: int, **options):
    tokenizer = chat_tokenizer(family.chat, 420)
    model = tiny_model(
        auto, family.model_type, seed, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **options,
    )  # fmt: skip
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.div_(3)
    return model, tokenizer


def save_policy(family: Family, folder: Path) -> None:
    """A policy that has learned to answer with a few words and to end its turn."""
    model, tokenizer = tiny(AutoModelForCausalLM, family, 1)
    rng = np.random.default_rng(1)

    def loss():
        rows = []
        for _ in range(24):
            prompt = f"{sentence(rng)}?"
            head = tokenizer.apply_chat_template(turns_of(prompt), add_generation_prompt=True, return_dict=False)
            end = tokenizer.convert_tokens_to_ids(CHATS[family.chat].end)
            rows.append((head, [*tokenizer(sentence(rng), add_special_tokens=False)["input_ids"], end]))
        width = max(len(head) + len(answer) for head, answer in rows)
        ids, labels = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), -100)
        for i, (head, answer) in enumerate(rows):
            ids[i, : len(head) + len(answer)] = torch.tensor([*head, *answer])
            labels[i, len(head) : len(head) + len(answer)] = torch.tensor(answer)
        return model(input_ids=ids, labels=labels, use_cache=False).loss

    fitted(model, loss, 200).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_reward_model(family: Family, folder: Path, seed: int, noise: float) -> None:
    """A reward model of the planted preference, of which some pairs are labelled the wrong way round."""
    model, tokenizer = tiny(AutoModelForSequenceClassification, family, seed, num_labels=1)
    rng = np.random.default_rng(seed)

    def loss():
        pairs = []
        while len(pairs) < 24:
            prompt, first, second = f"{sentence(rng)}?", sentence(rng), sentence(rng)
            if value(first) != value(second):
                is_right = rng.random() >= noise
                pairs.append((prompt, *sorted((first, second), key=value, reverse=bool(is_right))))
        margins = raw_scores(model, tokenizer, [(p, a) for p, a, _ in pairs]) - raw_scores(
            model, tokenizer, [(p, b) for p, _, b in pairs]
        )
        return -torch.nn.functional.logsigmoid(margins).mean()

    fitted(model, loss, 120)
    test = [(f"{sentence(rng)}?", sentence(rng)) for _ in range(200)]
    with torch.no_grad():
        learned = np.corrcoef(raw_scores(model, tokenizer, test), [value(response) for _, response in test])[0, 1]
    assert learned > 0.5, f"the scores mean something ({learned:.2f})"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def raw_scores(model, tokenizer, pairs) -> torch.Tensor:
    """Scores by transformers alone: the template's ids of each whole conversation, padded behind."""
    rows = [whole_ids(tokenizer, *pair) for pair in pairs]
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]


class Judge:
    """A user's reward model in the study's units, by transformers alone, each conversation by itself."""

    def __init__(self, source: Path, artifacts: Path) -> None:
        self.model = AutoModelForSequenceClassification.from_pretrained(source).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.units = json.loads((artifacts / "model" / "config.json").read_text())
        self.known: dict[tuple[str, str], float] = {}

    def raw(self, prompts, texts) -> np.ndarray:
        for pair in zip(prompts, texts, strict=True):
            if pair not in self.known:
                with torch.no_grad():
                    self.known[pair] = self.model(
                        input_ids=torch.tensor([whole_ids(self.tokenizer, *pair)])
                    ).logits.item()
        return np.array([self.known[pair] for pair in zip(prompts, texts, strict=True)])

    def scores(self, prompts, texts) -> np.ndarray:
        return self.units["reward_scale"] * (self.raw(prompts, texts) - self.units["reward_centre"])


class Study:
    """A finished study of a policy with a chat template, and what its runs left."""

    def __init__(self, folder: Path, chat: str) -> None:
        self.folder = folder
        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")

        def artifacts_of(suffix: str, **tags: str) -> Path:
            experiment = client.get_experiment_by_name(f"overoptimization{suffix}").experiment_id
            [found] = [
                run
                for run in client.search_runs([experiment])
                if all(run.data.tags.get(f"mlproject.{name}") == tag for name, tag in tags.items())
                and "split" not in run.data.params  # the pool of the audit prompts
            ]
            return Path(found.info.artifact_uri.removeprefix("file://"))

        self.ppo, self.best_of_n = (
            artifacts_of("", kind="policy-run", method=method) for method in ("ppo", "best-of-n")
        )
        self.gold_run = artifacts_of("/models", kind="gold-rm")
        self.gold = Judge(folder / "gold", self.gold_run)
        self.proxy = Judge(folder / "rm", artifacts_of("/models", kind="proxy-rm"))
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
        self.ends = self.tokenizer.convert_tokens_to_ids([CHATS[chat].eos, CHATS[chat].end])
        imported = artifacts_of("/models", kind="initial-policy")
        self.prompts = json.loads((imported / "prompts" / "prompts.json").read_text())["splits"]["curve"][:PROMPTS]
        self.pool = load_file(artifacts_of("/models", kind="pool") / "pool.safetensors")
        samples = load_file(artifacts_of("/models", kind="pool-samples") / "samples" / "00000.safetensors")
        responses = samples["response_ids"].split(samples["response_lengths"].flatten().tolist())
        self.pool_texts = [self.text(ids.tolist()) for ids in responses]
        self.pool_prompts = [prompt for prompt in self.prompts for _ in range(POOL)]

    def text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def by_prompt(self, judge: Judge) -> np.ndarray:
        return judge.scores(self.pool_prompts, self.pool_texts).reshape(PROMPTS, POOL)

    def policy(self, folder: Path):
        return AutoModelForCausalLM.from_pretrained(folder).double().eval()

    def head(self, prompt: str) -> list[int]:
        return self.tokenizer.apply_chat_template(turns_of(prompt), add_generation_prompt=True, return_dict=False)


@pytest.fixture(scope="module", params=STUDIES)
def study(request, tmp_path_factory) -> Study:
    policy, rm, gold = STUDIES[request.param]
    folder = tmp_path_factory.mktemp("chats")
    save_policy(policy, folder / "policy")
    save_reward_model(rm, folder / "rm", 2, noise=0.15)
    save_reward_model(gold, folder / "gold", 3, noise=0.0)
    rows = [json.dumps({"prompt": prompt}) for prompt in prompts_of(policy.chat)]
    (folder / "prompts.jsonl").write_text("\n".join(rows))
    (folder / "mine.yaml").write_text(yaml.safe_dump(STUDY))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "mlproject", "main", "--preset", "smoke", "--config", "mine.yaml"]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return Study(folder, policy.chat)


@pytest.mark.slow
@pytest.mark.trains
def test_pool_and_units_are_those_of_transformers(study):
    gold_PN = study.by_prompt(study.gold)
    np.testing.assert_allclose(gold_PN.ravel(), study.pool["gold"].double().ravel(), atol=1e-4)
    pairs = pd.read_parquet(study.gold_run / "pairs.parquet")
    raw = np.stack([study.gold.raw(pairs.prompt, pairs[f"response_{side}"]) for side in "ab"], axis=1)
    assert study.gold.units["reward_centre"] == pytest.approx(raw.mean(), abs=1e-4)
    assert study.gold.units["reward_scale"] == pytest.approx(1 / raw.std(), rel=1e-4)
    values = [value(text) for text in study.pool_texts]
    assert np.corrcoef(gold_PN.ravel(), values)[0, 1] > 0.4, "gold knows good words from bad ones in the pool's texts"


@pytest.mark.slow
@pytest.mark.trains
def test_best_of_n_is_the_mean_over_all_subsets_of_the_pool(study):
    curve = Curve.load(study.best_of_n / "curve.npz")
    proxy_PN, gold_PN = study.by_prompt(study.proxy), study.by_prompt(study.gold)
    for point, n in enumerate(curve.steps_S.tolist()):
        subsets = np.array(list(itertools.combinations(range(POOL), n)))
        best_PW = proxy_PN[:, subsets].max(axis=2)
        is_best = proxy_PN[:, subsets] == best_PW[..., None]
        chosen_PW = (gold_PN[:, subsets] * is_best).sum(axis=2) / is_best.sum(axis=2)
        expected = (best_PW.mean(axis=1) - proxy_PN.mean(axis=1), chosen_PW.mean(axis=1) - gold_PN.mean(axis=1))
        for measured, own in zip((curve.proxy_SP[point], curve.gold_SP[point]), expected, strict=True):
            np.testing.assert_allclose(measured, own, atol=1e-4)
        assert curve.kl_S[point] == pytest.approx(np.log(n) - (n - 1) / n, abs=1e-12)
    assert curve.proxy_S[-1] > curve.proxy_S[1] > 0 and curve.gold_S[-1] > 0


@pytest.mark.slow
@pytest.mark.trains
def test_the_saved_policy_measures_as_the_last_point_of_its_curve(study):
    curve = Curve.load(study.ppo / "curve.npz")
    initial, end = study.policy(study.folder / "policy"), study.policy(study.ppo / "model")
    policy_format = PromptFormat(study.tokenizer, LONGEST, further_ends=tuple(study.ends))
    seed, samples = stream_seed("curve responses", 0), STUDY["eval_samples"]
    responses = sample_responses(
        AutoModelForCausalLM.from_pretrained(study.ppo / "model").eval(), policy_format, study.prompts,
        generator=torch.Generator().manual_seed(seed), samples_per_prompt=samples,
    )  # fmt: skip
    kl, texts, prompts = [], [], []
    sequences = zip(*(x.tolist() for x in vars(responses.sequences).values()), strict=True)
    for (row, start, stop), prompt in zip(sequences, responses.prompts, strict=True):
        assert row[:start] == study.head(prompt)
        written = row[start:stop]
        assert written[-1] in study.ends or len(written) == LONGEST
        assert not set(written[:-1]) & set(study.ends)
        with torch.no_grad():
            log_p, log_q = (
                model(input_ids=torch.tensor([row[:stop]])).logits[0, start - 1 : -1].log_softmax(-1)
                for model in (end, initial)
            )
        kl.append(float((log_p.exp() * (log_p - log_q)).sum()))
        texts.append(study.text(written))
        prompts.append(prompt)
    table = json.loads((study.ppo / "samples.json").read_text())
    recorded = pd.DataFrame(table["data"], columns=table["columns"])
    assert recorded[recorded.stage == "end"].response.tolist() == texts[::samples], "the very responses of the run"
    assert curve.kl_S[-1] == pytest.approx(np.mean(kl), abs=1e-4)
    assert curve.kl_S[-1] > 0.01, "the policy has moved"
    for name, judge, measured in (("proxy", study.proxy, curve.proxy_SP[-1]), ("gold", study.gold, curve.gold_SP[-1])):
        start_P = study.by_prompt(judge).mean(axis=1)
        own = judge.scores(prompts, texts).reshape(PROMPTS, samples).mean(axis=1) - start_P
        np.testing.assert_allclose(measured, own, atol=1e-4, err_msg=name)


def drawn(study: Study, policy, prompt: str, generator: torch.Generator) -> torch.Tensor:
    """`MORE` responses by reading everything anew for each token; padded with the end."""
    ends = torch.tensor(study.ends)
    ids = torch.tensor([study.head(prompt)] * MORE)
    is_open = torch.ones(MORE, dtype=torch.bool)
    for _ in range(LONGEST):
        with torch.no_grad():
            probabilities = policy(input_ids=ids, use_cache=False).logits[:, -1].softmax(-1)
        token = torch.multinomial(probabilities, 1, generator=generator)
        token[~is_open] = ends[0]
        ids = torch.cat([ids, token], dim=1)
        is_open &= ~torch.isin(token[:, 0], ends)
        if not is_open.any():
            break
    return ids


@pytest.mark.slow
@pytest.mark.trains
def test_other_responses_of_the_saved_policy_agree_within_the_error_of_sampling(study):
    curve = Curve.load(study.ppo / "curve.npz")
    initial, end = study.policy(study.folder / "policy"), study.policy(study.ppo / "model")
    generator = torch.Generator().manual_seed(11)
    kl, proxy, gold = [], [], []
    for prompt in study.prompts:
        start = len(study.head(prompt))
        ids = drawn(study, end, prompt, generator)
        with torch.no_grad():
            log_p, log_q = (
                model(input_ids=ids, use_cache=False).logits[:, start - 1 : -1].log_softmax(-1)
                for model in (end, initial)
            )
        kl_BR = (log_p.exp() * (log_p - log_q)).sum(-1)
        rows = ids[:, start:].tolist()
        lengths = [next((i + 1 for i, token in enumerate(row) if token in study.ends), len(row)) for row in rows]
        kl.append([float(row[:length].sum()) for row, length in zip(kl_BR, lengths, strict=True)])
        texts = [study.text(row[:length]) for row, length in zip(rows, lengths, strict=True)]
        proxy.append(study.proxy.scores([prompt] * MORE, texts))
        gold.append(study.gold.scores([prompt] * MORE, texts))
    for name, values, start_PN, measured in (
        ("KL", kl, np.zeros((PROMPTS, 1)), curve.kl_S[-1]),
        ("proxy", proxy, study.by_prompt(study.proxy), curve.proxy_S[-1]),
        ("gold", gold, study.by_prompt(study.gold), curve.gold_S[-1]),
    ):
        own_PM = np.array(values) - start_PN.mean(axis=1, keepdims=True)
        error = np.sqrt((own_PM.var(axis=1, ddof=1) / MORE + own_PM.var(axis=1, ddof=1) / STUDY["eval_samples"]).sum())
        error /= PROMPTS
        apart = float(abs(own_PM.mean() - measured) / error)
        assert apart < 5, f"{name}: {measured:.3f} and {own_PM.mean():.3f} are {apart:.1f} standard errors apart"
