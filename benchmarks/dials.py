"""What the size of a study buys: errors and rank correlations if the kept curves had been measured with less.

    python benchmarks/dials.py     (in a checkout; reads experiments/results, seconds)

Curves of world 0 with 16,000 comparisons: best-of-n with n up to 256 (`rm_data`), PPO with 60 updates, 27 points and
two responses to each of 256 prompts (`kl_by_size`, no penalty). Fewer prompts, points, updates or a smaller n are parts
of them. One response per prompt is computed: the variance of a prompt's score is that between prompts, plus that within
one prompt over the number of responses, and the latter is half the variance of the difference of neighbouring points.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.curve import Curve
from mlproject.laws import spearman

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
SIZES = ("1k", "3k", "25k", "100k")
CENTI = 100
"""Kept curves are in hundredths of a standard deviation."""

Curves = Mapping[tuple[str, int], Curve]


def kept(experiment: str, wanted: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], Curve]]:
    """Curves of an experiment by RM size and seed."""
    for cell in json.loads((RESULTS / f"{experiment}.json").read_text())["cells"]:
        settings = cell["settings"]
        if settings["rm_size"] in SIZES and all(settings.get(name) == value for name, value in wanted.items()):
            curve = Curve.load(RESULTS / "curves" / f"{cell['sha256'][:16]}.npz")
            yield (settings["rm_size"], settings["seed"]), curve


def part(curve: Curve, prompts: int, wanted: Callable[[int], bool]) -> Curve:
    """The curve on its first prompts, at the steps that are wanted."""
    rows = np.array([wanted(int(step)) for step in curve.steps_S])
    proxy, gold = (scores_SP[rows][:, :prompts] for scores_SP in (curve.proxy_SP, curve.gold_SP))
    return Curve(curve.steps_S[rows], curve.kl_S[rows], proxy, gold)


def inflation(curve: Curve, samples: int) -> float:
    """Standard error with so many responses per prompt over that with two."""
    within = np.diff(curve.gold_SP, axis=0).var(axis=1, ddof=1).mean() / 2  # of the mean of two responses
    total = curve.gold_SP.var(axis=1, ddof=1).mean()
    return float(np.sqrt((total - within + within * 2 / samples) / total))


def show(label: str, curves: Curves, *, prompts: int, wanted: Callable[[int], bool], samples: int = 2) -> None:
    """One line: standard errors of peaks, the smallest fall in standard errors, rank correlations."""
    seeds = sorted({seed for _, seed in curves})
    cut = {key: part(curve, prompts, wanted) for key, curve in curves.items()}
    factor = {key: inflation(curve, samples) if samples != 2 else 1.0 for key, curve in curves.items()}
    errors, golds = [], []
    for size in SIZES:
        peaks = [cut[size, seed].peak() for seed in seeds]
        errors.append(np.mean([factor[size, s] * p.gold_se for s, p in zip(seeds, peaks, strict=True)]) / CENTI)
        golds.append([peak.gold / CENTI for peak in peaks])
    falls = [cut["1k", seed].drop_after_peak() for seed in seeds]
    fall = min(drop / (factor["1k", seed] * se) for seed, (drop, se) in zip(seeds, falls, strict=True))
    rank = [spearman(range(len(SIZES)), [gold[i] for gold in golds]) for i in range(len(seeds))]
    print(
        f"{label:42s}"
        + "".join(f"{error:7.3f}" for error in errors)
        + f"{fall:8.0f}   "
        + " ".join(f"{rho:+.1f}" for rho in rank)
        + f"   {np.mean(golds[2]):5.2f}{np.mean(golds[3]):6.2f}"
    )


def grid(first: int, every: int, last: int) -> Callable[[int], bool]:
    """Which steps a PPO run measures."""
    return lambda step: step <= last and (step <= first or step % every == 0 or step == last)


def main() -> None:
    print(f"{'':42s}{'standard error of the peak':28s}{'fall':>8s}   rank           peak gold")
    print(f"{'':42s}" + "".join(f"{size:>7s}" for size in SIZES) + f"{'1k, SE':>8s}   by seed{'25k':>13s}{'100k':>6s}")
    bon = dict(kept("rm_data", {"method": "best-of-n", "n_comparisons": 16000}))
    for prompts, largest in ((256, 256), (256, 128), (256, 64), (192, 256), (192, 128), (128, 128), (64, 128)):
        show(f"best-of-n, {prompts} prompts, n <= {largest}", bon, prompts=prompts, wanted=lambda n: n <= largest)  # noqa: B023
    ppo = dict(kept("kl_by_size", {"kl_coef": 0.0}))
    for prompts, samples, first, every, last in (
        (256, 2, 8, 3, 60),
        (256, 1, 8, 3, 60),
        (192, 2, 8, 3, 60),
        (128, 2, 8, 3, 60),
        (256, 2, 4, 3, 60),
        (256, 2, 4, 6, 60),
        (256, 2, 8, 3, 48),
        (256, 2, 8, 3, 36),
        (256, 2, 8, 3, 30),
        (256, 2, 8, 3, 24),
        (256, 2, 8, 3, 18),
        (192, 1, 4, 3, 30),
    ):
        label = f"PPO, {prompts} x {samples}, updates 1-{first}, then every {every}, {last} in all"
        show(label, ppo, prompts=prompts, samples=samples, wanted=grid(first, every, last))


if __name__ == "__main__":
    main()
