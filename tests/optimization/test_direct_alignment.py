"""Direct alignment: losses by hand, optima that are known, the loop, and what it shares with nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq

from mlproject.config.schema import load_config
from mlproject.models.prompt_format import PromptFormat
from mlproject.optimization import METHODS
from mlproject.optimization.direct_alignment.chi_po import chi_po_loss
from mlproject.optimization.direct_alignment.dpo import dpo_loss
from mlproject.optimization.direct_alignment.ipo import ipo_loss
from mlproject.optimization.direct_alignment.kto import kto_loss
from mlproject.optimization.direct_alignment.slic import slic_loss
from mlproject.optimization.direct_alignment.training import LogRatios, measured_steps
from mlproject.resume.resumption import Resumption
from mlproject.resume.state_folder import StateFolder

BETA = 0.3
ALIGNED = [name for name, method in METHODS.items() if not method.needs_proxy]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(name: str, w: float, l: float, tokens_w: int, tokens_l: int, kl: float) -> float:  # noqa: E741
    if name == "dpo":
        return -math.log(sigmoid(BETA * (w - l)))
    if name == "ipo":
        return (w / tokens_w - l / tokens_l - 1 / (2 * BETA)) ** 2
    if name == "ipo of sums":
        return (w - l - 1 / (2 * BETA)) ** 2
    if name == "slic":
        return max(0.0, 1 - BETA * (w - l))
    if name == "chi-po":
        difference = BETA * ((math.exp(w) + w) - (math.exp(l) + l))
        return -math.log(sigmoid(min(max(difference, -1.0), 1.0)))
    return ((1 - sigmoid(BETA * (w - kl))) + (1 - sigmoid(BETA * (kl - l)))) / 2


LOSSES: dict[str, Callable[[LogRatios], torch.Tensor]] = {
    "dpo": lambda ratios: dpo_loss(ratios, BETA),
    "ipo": lambda ratios: ipo_loss(ratios, BETA, per_token=True),
    "ipo of sums": lambda ratios: ipo_loss(ratios, BETA, per_token=False),
    "slic": lambda ratios: slic_loss(ratios, BETA),
    "chi-po": lambda ratios: chi_po_loss(ratios, BETA, r_max=0.5),
    "kto": lambda ratios: kto_loss(ratios, torch.tensor(0.7, dtype=torch.float64), BETA),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_those_computed_by_hand(name: str) -> None:
    rng = np.random.default_rng(1)
    w, l = rng.normal(size=(2, 30)) * 2  # noqa: E741
    tokens_w, tokens_l = rng.integers(1, 9, size=(2, 30))
    log_ratios = [torch.tensor(x, requires_grad=True) for x in (w, l)]
    ratios = LogRatios(*log_ratios, torch.tensor(tokens_w), torch.tensor(tokens_l))
    loss_B = LOSSES[name](ratios)
    expected = [by_hand(name, *row, 0.7) for row in zip(w, l, tokens_w, tokens_l, strict=True)]
    assert loss_B.detach().numpy() == pytest.approx(np.array(expected), rel=1e-9)
    loss_B.sum().backward()
    step = 1e-6
    for row in range(30):
        rest = (int(tokens_w[row]), int(tokens_l[row]), 0.7)
        slopes = (
            (by_hand(name, w[row] + step, l[row], *rest) - by_hand(name, w[row] - step, l[row], *rest)) / (2 * step),
            (by_hand(name, w[row], l[row] + step, *rest) - by_hand(name, w[row], l[row] - step, *rest)) / (2 * step),
        )
        assert [float(x.grad[row]) for x in log_ratios] == pytest.approx(slopes, abs=1e-6)


def minimiser(loss: Callable[[LogRatios], torch.Tensor], initial: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """The policy over a few responses with the least expected loss over all pairs, by their exact preferences."""
    logits = torch.tensor(np.log(initial), requires_grad=True)
    i, j = torch.tensor(np.argwhere(~np.eye(len(initial), dtype=bool))).T
    weight = torch.tensor(chance)[i, j]
    optimizer = torch.optim.LBFGS([logits], lr=0.5, max_iter=4000, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        ratio = logits.log_softmax(0) - torch.tensor(np.log(initial))
        tokens = torch.ones(len(i))
        value = (weight * loss(LogRatios(ratio[i], ratio[j], tokens, tokens))).mean()
        value.backward()
        return value

    optimizer.step(closure)
    return logits.softmax(0).detach().numpy()


@pytest.fixture
def known() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    initial, reward = rng.dirichlet(np.ones(6)), rng.normal(size=6) * 0.5
    chance = 1 / (1 + np.exp(-(reward[:, None] - reward[None, :])))
    return SimpleNamespace(initial=initial, reward=reward, chance=chance)


def test_with_exact_preferences_dpo_reaches_the_kl_regularised_optimum(known: SimpleNamespace) -> None:
    optimum = known.initial * np.exp(known.reward / BETA)
    policy = minimiser(lambda ratios: dpo_loss(ratios, BETA), known.initial, known.chance)
    assert policy == pytest.approx(optimum / optimum.sum(), abs=1e-6)


def test_with_exact_preferences_chi_po_reaches_the_optimum_under_kl_and_chi_squared(known: SimpleNamespace) -> None:
    def rho(z: float) -> np.ndarray:  # of beta (rho + log rho) = reward - z
        targets = (known.reward - z) / BETA
        return np.array([math.exp(brentq(lambda x, t=t: math.exp(x) + x - t, -60, 20)) for t in targets])

    z = brentq(lambda z: known.initial @ rho(z) - 1, -10, 10)
    policy = minimiser(lambda ratios: chi_po_loss(ratios, BETA, r_max=100), known.initial, known.chance)
    assert policy == pytest.approx(known.initial * rho(z), abs=1e-6)


def test_with_exact_preferences_ipo_weighs_responses_by_their_chance_to_win(known: SimpleNamespace) -> None:
    optimum = known.initial * np.exp(known.chance.mean(axis=1) / BETA)  # Azar et al. 2023, with uniform opponents
    policy = minimiser(lambda ratios: ipo_loss(ratios, BETA, per_token=False), known.initial, known.chance)
    assert policy == pytest.approx(optimum / optimum.sum(), abs=1e-6)


def test_half_of_the_measured_steps_are_dense_at_the_beginning() -> None:
    steps = measured_steps(200, 16)
    assert steps[0] == 1 and steps[-1] == 200 and len(steps) <= 16 and steps == sorted(set(steps))
    assert sum(step <= 25 for step in steps) >= 6
    assert {25, 50, 75, 100, 125, 150, 175, 200} <= set(steps)
    assert measured_steps(2, 16) == [1, 2]


WORDS = ["yes", "no", "maybe", "yes no", "no no", "maybe yes"]
PROMPT = "yes no"


@pytest.fixture(scope="module")
def preferences() -> pd.DataFrame:
    """Every pair of six responses eight times; how often which is preferred follows their rewards."""
    reward = np.linspace(-1, 1, 6)
    rows = [
        (PROMPT, WORDS[i], WORDS[j], np.nan, np.nan, k < round(8 * sigmoid(reward[i] - reward[j])), False)
        for i in range(6)
        for j in range(i)
        for k in range(8)
    ]
    names = ["prompt", "response_a", "response_b", "score_a", "score_b", "prefers_a", "held_out"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def aligned(tiny_policy, tiny_tokenizer, preferences, monkeypatch) -> Callable[..., Iterator]:
    """Runs a method on these preferences and gives (step, log-probabilities of the responses, diagnostics)."""
    from accelerate import Accelerator

    from mlproject.optimization.direct_alignment import training
    from mlproject.optimization.direct_alignment.pairs import response_log_probs
    from mlproject.optimization.task import OptimizationTask

    prompt_format = PromptFormat(tiny_tokenizer, max_response_tokens=3)
    responses = prompt_format.encode([PROMPT] * len(WORDS), WORDS)
    initial = tiny_policy(seed=3, sharpness=1.5)

    class Reward:
        def __init__(self, policy, initial_policy, beta, samples) -> None:
            self.policy = policy

    class Evaluator:
        def evaluate_policy(self, policy, step, diagnostics, proxy):
            assert not policy.training and proxy.policy is policy
            return step, response_log_probs(policy, responses).double().numpy(), diagnostics

    monkeypatch.setattr(training, "ImplicitReward", Reward)

    def run(
        method: str, resumption: Resumption | None = None, table: pd.DataFrame = preferences, **options
    ) -> Iterator:
        config = load_config("smoke", {}).of_method(method)
        task = OptimizationTask(
            initial_policy=initial, start_policy=initial, proxy=None, prompt_format=prompt_format, train_texts=[],
            samples=None, evaluator=Evaluator(), config=replace(config, **options), accelerator=Accelerator(cpu=True),
            generator=torch.Generator().manual_seed(0), comparisons=table, resumption=resumption or Resumption(),
        )  # fmt: skip
        return METHODS[method].optimize(task)

    run.initial_B = response_log_probs(initial, responses).double().numpy()
    return run


@pytest.mark.trains
def test_a_policy_trained_by_dpo_has_the_rewards_that_explain_the_preferences_best(aligned, preferences) -> None:
    wins = np.zeros((6, 6))
    for row in preferences.itertuples():
        i, j = WORDS.index(row.response_a), WORDS.index(row.response_b)
        wins[(i, j) if row.prefers_a else (j, i)] += 1
    strength = np.ones(6)  # Bradley-Terry by Zermelo's iteration: no gradient, no sigmoid
    for _ in range(2000):
        strength = wins.sum(1) / ((wins + wins.T) / (strength[:, None] + strength[None, :])).sum(1)
        strength /= strength.sum()
    *_, (step, log_p_B, _) = aligned("dpo", align_beta=1.0, align_updates=80, align_batch_size=120, align_lr=3e-3)
    implicit_B = log_p_B - aligned.initial_B
    expected_B = np.log(strength)
    assert step == 80
    assert implicit_B - implicit_B.mean() == pytest.approx(expected_B - expected_B.mean(), abs=0.12)


@pytest.mark.trains
@pytest.mark.parametrize("method", ALIGNED)
def test_a_run_that_was_cut_off_goes_on_bit_by_bit_where_it_was(aligned, preferences, tmp_path, method: str) -> None:
    table = preferences.assign(held_out=np.arange(len(preferences)) % 5 == 0)
    options = {"align_updates": 6, "align_batch_size": 16, "align_points": 6, "table": table}
    whole = list(aligned(method, **options))
    ticks = iter(range(10_000))

    def resumption() -> Resumption:  # states are saved between the points
        return Resumption(StateFolder(tmp_path, "a step"), seconds=0.5, clock=lambda: float(next(ticks)))

    with closing(resumption()) as before:
        cut_off = aligned(method, before, **options)
        first = [next(cut_off) for _ in range(4)]
    with closing(resumption()) as after:
        rest = list(aligned(method, after, **options))
    assert [step for step, *_ in whole] == [0, 1, 2, 4, 6]
    before_state = len(whole) - len(rest)  # points that were drawn before the last state; how many is up to it
    assert 0 < before_state < len(whole)
    for one, two in zip(whole, [*first[:before_state], *rest], strict=True):
        assert one[0] == two[0] and np.array_equal(one[1], two[1]) and one[2] == two[2]
    assert not np.array_equal(whole[0][1], whole[-1][1])  # it has learned something


@pytest.mark.trains
@pytest.mark.parametrize("method", ALIGNED)
def test_micro_batches_follow_the_gradient_of_the_whole_batch(aligned, monkeypatch, method: str) -> None:
    from mlproject.models.memory import MemoryOptions
    from mlproject.optimization.direct_alignment import training

    options = {"align_updates": 3, "align_batch_size": 30, "align_points": 3}
    whole = list(aligned(method, **options))
    schedule, memory = training._schedule, MemoryOptions(accumulation=3)
    monkeypatch.setattr(training, "_schedule", lambda task, count: replace(schedule(task, count), memory=memory))
    parts = list(aligned(method, **options))
    assert whole[-1][1] == pytest.approx(parts[-1][1], abs=2e-4)
