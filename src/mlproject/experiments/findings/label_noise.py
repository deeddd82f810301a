"""Flipped labels, and labels sampled from the gold RM's probabilities."""

from __future__ import annotations

import numpy as np

from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import mean_interval, methods_of, rank_correlations, seeds_of, select
from mlproject.experiments.results import Cell, Result


def analyse(result: Result) -> Finding:
    """Claims about the height and KL of the peak, and about the spread over seeds."""
    claims = []
    for method in methods_of(result):
        hard = select(result, method=method, labels="hard")
        sampled = select(result, method=method, labels="sampled")
        clean = {cell.settings["seed"]: cell for cell in hard if cell.settings["label_noise"] == 0}
        height = rank_correlations(hard, lambda cell: cell.curve.peak().gold, by="label_noise")
        peak_kl = rank_correlations(hard, lambda cell: cell.curve.peak().kl, by="label_noise")
        worst = max(cell.settings["label_noise"] for cell in hard)
        lost = mean_interval(_lost(clean, select(result, method=method, label_noise=worst)))
        lost_sampled = mean_interval(_lost(clean, sampled))
        claims += [
            Claim(
                f"Noise lowers the peak, {method} (Coste et al. 2023)",
                f"{worst:.0%} flipped labels cost {lost} of peak gold; rank correlation of peak gold with noise "
                + ", ".join(f"{r:+.2f}" for r in height),
                sign_verdict(lost, 1),
            ),
            Claim(
                f"Noise makes the peak earlier, {method} (Coste et al. 2023)",
                f"rank correlation of peak KL with noise by seed {', '.join(f'{r:+.2f}' for r in peak_kl)}",
                verdict(max(peak_kl) < 0, min(peak_kl) > 0),
            ),
            Claim(
                f"Sampled labels give noisier results than hard ones, {method} (section 2.2, footnote)",
                f"sampled labels cost {lost_sampled} of peak gold; standard deviation of peak gold over seeds "
                f"{_spread(sampled):.3f}, with hard labels {_spread(list(clean.values())):.3f}",
                sign_verdict(lost_sampled, 1),
            ),
        ]
    return Finding(
        claims=claims, notes=[f"Seeds {', '.join(map(str, seeds_of(result.cells)))}; validation labels have no noise."]
    )


def _lost(clean: dict[int, Cell], noisy: list[Cell]) -> list[float]:
    """Peak gold lost by each seed, standard deviations."""
    return [clean[cell.settings["seed"]].curve.peak().gold - cell.curve.peak().gold for cell in noisy]


def _spread(cells: list[Cell]) -> float:
    return float(np.std([cell.curve.peak().gold for cell in cells], ddof=1)) if len(cells) > 1 else float("nan")
