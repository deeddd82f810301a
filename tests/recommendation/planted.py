"""Studies whose truth is planted: gold is a parabola in sqrt(KL) with noise of prompts, samples and seeds.

Axis letters: P prompts, S curve points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.curve import Curve
from mlproject.recommendation.setting import Setting


@dataclass(frozen=True)
class Truth:
    """The planted study.

    Attributes:
        peaks: true peak gold of each reward model, smallest first.
        peak_d: where gold peaks, square-root nats.
        max_d: where the runs end.
        seeds: of each reward model.
        seed_sd: between the peaks of seeds.
        sample_sd: of one prompt's gold at one point.
        prompts, points: their numbers.
        proxy: proxy score at `max_d`.
    """

    peaks: Sequence[float]
    peak_d: float = 2.0
    max_d: float = 4.0
    seeds: int = 2
    seed_sd: float = 0.0
    sample_sd: float = 0.5
    prompts: int = 96
    points: int = 14
    proxy: float = 1.0

    def gold(self, rm: int, step: int) -> float:
        """True gold of a reward model's runs at a step, mean over seeds."""
        x = np.linspace(0, self.max_d, self.points)[step] / self.peak_d
        return float(self.peaks[rm] * x * (2 - x))


def draw(truth: Truth, rng: np.random.Generator, method: str = "ppo") -> list[Setting]:
    """The settings of one study: a name, a size and curves for each reward model."""
    d_S = np.linspace(0, truth.max_d, truth.points)
    x_S, weight_S = d_S / truth.peak_d, np.minimum(d_S, 1.0)
    prompt_P = 0.4 * rng.standard_normal(truth.prompts)
    settings = []
    for rm, peak in enumerate(truth.peaks):
        curves = {}
        for seed in range(truth.seeds):
            height = peak + truth.seed_sd * rng.standard_normal()
            run_P = 0.3 * rng.standard_normal(truth.prompts)
            gold_SP = (height * x_S * (2 - x_S))[:, None] + weight_S[:, None] * (
                prompt_P + run_P + truth.sample_sd * rng.standard_normal((truth.points, truth.prompts))
            )
            proxy_SP = (truth.proxy * d_S / truth.max_d)[:, None] + 0.3 * weight_S[:, None] * rng.standard_normal(
                (truth.points, truth.prompts)
            )
            curves[seed] = Curve(np.arange(truth.points), d_S**2, proxy_SP, gold_SP)
        settings.append(Setting(method, f"rm{rm}", 10 ** (3 + rm), curves, run_ids={s: f"{rm}-{s}" for s in curves}))
    return settings
