"""A synthetic study: 4 RM sizes, 2 seeds, 2 methods, with a few values missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlproject.curve import Curve
from mlproject.laws.forms import FORMS
from mlproject.report.figures import save_figures
from mlproject.report.records import PolicyRunRecord, ProxyRecord, Report

SIZES = {"1k": 968, "3k": 3376, "25k": 25408, "100k": 100160}
SEEDS = (0, 1)
ALPHA = {"ppo": (0.62, 0.71, 0.80, 0.83), "best-of-n": (0.78, 0.86, 0.97, 1.02)}
BETA = {"ppo": (0.42, 0.40, 0.33, 0.29), "best-of-n": (0.33, 0.27, 0.19, 0.12)}
FORM = {"ppo": "rl", "best-of-n": "best-of-n"}
ATTACK = "<script>alert('1')</script> please restart"
TEXTS = {
    "start": "thank you for writing . first open the settings , then restart the camera . let me know .",
    "peak": "i am sorry about the camera . open the settings , then install the update , then restart "
    "the camera . it should work now . write to us any time .",
    "end": "please please kindly thank you thank you please kindly restart restart , please thank you .",
}


def make_curve(method: str, index: int, seed: int, rng: np.random.Generator) -> Curve:
    """A curve with the shape of the law, with noise that is correlated over points."""
    prompts = 64
    if method == "ppo":
        kl_S = np.concatenate([[0.0], np.cumsum(np.linspace(0.15, 1.6, 30) * (1.1 - 0.1 * index + 0.05 * seed))])
    else:
        n_S = np.unique(np.round(np.logspace(0, np.log10(256), 40)))
        kl_S = np.log(n_S) - (n_S - 1) / n_S
    d_S = np.sqrt(kl_S)
    coef = np.array([ALPHA[method][index], BETA[method][index]]) * (1 + 0.04 * seed)
    gold_S = FORMS[FORM[method]].value(d_S, coef) + 0.02 * rng.normal(size=len(d_S)).cumsum() / 3
    gold_S[0] = 0.0
    proxy_S = (0.75 + 0.06 * index + 0.05 * seed) * d_S**0.9
    human_S = gold_S - 0.035 * kl_S
    noise_SP = 0.3 * rng.normal(size=prompts) * np.minimum(d_S, 1)[:, None] + 0.1 * rng.normal(size=(len(d_S), prompts))
    noise_SP -= noise_SP.mean(axis=1, keepdims=True)
    return Curve(
        steps_S=np.arange(len(d_S)) if method == "ppo" else n_S.astype(np.int64),
        kl_S=kl_S,
        proxy_SP=proxy_S[:, None] + noise_SP,
        gold_SP=gold_S[:, None] + noise_SP,
        human_SP=human_S[:, None] + noise_SP,
    )


def make_samples(curve: Curve) -> list[dict[str, Any]]:
    """A sample table as a policy run logs it."""
    stages = {"start": 0, "peak": int(curve.gold_S.argmax()), "end": len(curve) - 1}
    prompts = [
        "my home camera will not update this week . please help",
        "evening , my home laptop keeps crashing today . i am angry",
        "dear team , my spare radio has no wifi this week . please help",
        "my printer is slow",
    ]
    return [
        {
            "stage": stage,
            "prompt": prompt,
            "response": ATTACK if stage == "end" and i == 1 else TEXTS[stage],
            "step": int(curve.steps_S[point]),
            "kl": round(float(curve.kl_S[point]), 3),
            "proxy": round(float(curve.proxy_SP[point, i]), 3),
            "gold": round(float(curve.gold_SP[point, i]), 3),
            "human": None if stage == "peak" and i == 2 else round(float(curve.human_SP[point, i]), 3),
        }
        for stage, point in stages.items()
        for i, prompt in enumerate(prompts)
    ]


def make_group(method: str, size: str, runs: list[PolicyRunRecord]) -> dict[str, Any]:
    """One entry of `groups` in laws.json."""
    index = list(SIZES).index(size)
    alpha, beta = ALPHA[method][index], BETA[method][index]
    peak_kl, peak_gold = (float(value) for value in FORMS[FORM[method]].peak([alpha, beta]))
    peaks = [run.curve.peak() for run in runs]
    drops = [run.curve.drop_after_peak() for run in runs]
    group: dict[str, Any] = {
        "method": method,
        "form": FORM[method],
        "rm_size": size,
        "rm_params": SIZES[size],
        "seeds": list(SEEDS),
        "alpha": alpha,
        "alpha_ci": [alpha - 0.03, alpha + 0.04],
        "beta": beta,
        "beta_ci": [beta - 0.02, beta + 0.03],
        "peak_kl": peak_kl,
        "peak_kl_ci": [0.9 * peak_kl, 1.15 * peak_kl],
        "peak_gold": peak_gold,
        "peak_gold_ci": [peak_gold - 0.05, peak_gold + 0.06],
        "r2": 0.985 - 0.01 * index,
        "rmse": 0.03,
        "rmse_by_form": {"rl": 0.031, "best-of-n": 0.057 if method == "ppo" else 0.022, "linear": 0.3},
        "measured_peak_gold": float(np.mean([peak.gold for peak in peaks])),
        "measured_peak_gold_se": float(np.mean([peak.gold_se for peak in peaks])),
        "measured_peak_kl": float(np.mean([peak.kl for peak in peaks])),
        "drop": float(np.mean([drop for drop, _ in drops])),
        "drop_se": float(np.mean([se for _, se in drops])),
        "proxy_alpha": 0.8,
        "min_d": 0.3 if method == "ppo" else 0.0,
        "max_d": max(float(run.curve.sqrt_kl_S.max()) for run in runs),
    }
    if method == "best-of-n" and size == "100k":  # a law without a peak
        group |= dict.fromkeys(("peak_kl", "peak_kl_ci", "peak_gold", "peak_gold_ci"))
    return group


def make_report() -> Report:
    """The whole synthetic study."""
    rng = np.random.default_rng(0)
    runs = []
    for method in ("ppo", "best-of-n"):
        for index, (size, params) in enumerate(SIZES.items()):
            for seed in SEEDS:
                curve = make_curve(method, index, seed, rng)
                run_id = f"{method}{index}{seed}"
                runs.append(PolicyRunRecord(run_id, method, size, params, seed, 0.0, curve, {}, make_samples(curve)))
    groups = [
        make_group(method, size, [run for run in runs if (run.method, run.rm_size) == (method, size)])
        for method in ("best-of-n", "ppo")
        for size in SIZES
    ]
    x = np.log10(list(SIZES.values()))
    trends = []
    for method in ("best-of-n", "ppo"):
        for name, values in (("alpha", ALPHA[method]), ("beta", BETA[method])):
            slope, intercept = (float(value) for value in np.polyfit(x, values, 1))
            trends.append(
                {
                    "method": method,
                    "coefficient": name,
                    "slope": slope,
                    "slope_ci": [slope - 0.02, slope + 0.02],
                }
                | {"intercept": intercept, "r2": 0.96}
            )
    ranks = [{"method": m, "seed": s, "spearman": 1.0 - 0.2 * s} for m in ("best-of-n", "ppo") for s in SEEDS]
    return Report(
        title="Over-optimization study: laptop",
        facts={"preset": "laptop", "world seed": "0", "comparisons": "16,000", "wall time": "8 min 12 s"},
        proxies=[
            ProxyRecord(
                f"rm{index}{seed}",
                size,
                params,
                seed,
                {"rm/val_accuracy": 0.62 + 0.04 * index, "rm/val_loss": 0.63 - 0.03 * index, "rm/scale": 0.71}
                | ({} if size == "3k" else {"rm/ece": 0.012}),
            )
            for index, (size, params) in enumerate(SIZES.items())
            for seed in SEEDS
        ],
        policy_runs=runs,
        laws={"groups": groups, "trends": trends, "rank_correlations": ranks},
        trials=[
            {"number": 0, "state": "COMPLETE", "rm_size": "100k", "kl_coef": 0.0, "peak_gold": 1.42}
            | {"peak_gold_se": 0.03, "peak_kl": 5.1, "reused": True},
            {"number": 1, "state": "COMPLETE", "rm_size": "100k", "kl_coef": 0.03, "peak_gold": 1.38}
            | {"peak_gold_se": 0.03, "peak_kl": 4.9, "reused": False},
            {"number": 2, "state": "COMPLETE", "rm_size": "25k", "kl_coef": 0.1, "peak_gold": 1.11}
            | {"peak_gold_se": 0.04, "peak_kl": 3.9, "reused": False},
            {"number": 3, "state": "COMPLETE", "rm_size": "25k", "kl_coef": 0.0, "peak_gold": 1.21}
            | {"peak_gold_se": 0.04, "peak_kl": 4.2, "reused": True},
            {"number": 4, "state": "FAIL", "rm_size": "1k", "kl_coef": 0.1, "peak_gold": None}
            | {"peak_gold_se": None, "peak_kl": None, "reused": False},
        ],
        promotion={
            "name": "reward-model",
            "version": "8",
            "RM size": "100k",
            "seed": "0",
            "peak gold": "1.43 ± 0.03",
        },
        link="http://127.0.0.1:5000/#/experiments/1?viewStateShareKey=abc",
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return make_report()


@pytest.fixture(scope="session")
def figures(report: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All figures of the study as files, by name."""
    return save_figures(report, tmp_path_factory.mktemp("figures") / "new")


@pytest.fixture(scope="session")
def bare_report(report: Report) -> Report:
    """An incomplete study: one method, no laws, no search, no promotion, no human, no link."""
    runs = [
        replace(run, curve=replace(run.curve, human_SP=None), samples=[])
        for run in report.policy_runs
        if run.method == "ppo"
    ]
    return Report(title="Bare", facts={}, proxies=[], policy_runs=runs, laws={})
