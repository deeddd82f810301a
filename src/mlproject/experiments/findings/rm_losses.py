"""Losses of the reward model against the plain Bradley-Terry loss: peak, end and accuracy, paired over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, signs_verdict
from mlproject.experiments.findings.evidence import mean_interval, values_of
from mlproject.experiments.findings.frontier import all_alike
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.names import Metric
from mlproject.preferences import RANDOM
from mlproject.preferences.loss_options import BRADLEY_TERRY

_LOSS = {
    "rm_loss": BRADLEY_TERRY,
    "rm_margin": 0,
    "rm_label_smoothing": 0,
    "center_rewards_coefficient": 0,
    "rm_text_weight": 0,
}
"""Options of the loss, and the plain one's values."""

_KEYS = {"method": "", "rm_size": "", "seed": 0, "label_noise": 0, "ranked_responses": 2, "rm_start": RANDOM}
"""In which a run and its plain counterpart are the same, with defaults of those that a cell need not name."""


def analyse(result: Result) -> Finding:
    """Every loss minus the plain one with the same reward model, comparisons, start and seed."""
    plain = {_key(cell): cell for cell in result.cells if not _loss_of(cell)}
    losses = sorted({_loss_of(cell) for cell in result.cells} - {""})
    noises = values_of(result, "label_noise")
    rows, ends, peaks = [], {}, {}
    for loss in losses:
        for noise in noises:
            pairs = [
                (cell, plain[_key(cell)])
                for cell in result.cells
                if _loss_of(cell) == loss and cell.settings["label_noise"] == noise and _key(cell) in plain
            ]
            if not pairs:
                continue
            peaks[loss, noise] = _difference(pairs, lambda cell: cell.curve.peak().gold)
            ends[loss, noise] = _difference(pairs, lambda cell: float(cell.curve.gold_S[-1]))
            rows.append(
                {
                    "loss": loss,
                    "label noise": f"{noise:g}",
                    "peak gold, minus plain": str(peaks[loss, noise]),
                    "final gold, minus plain": str(ends[loss, noise]),
                    "validation accuracy, minus plain": str(
                        _difference(pairs, lambda cell: cell.metrics.get(Metric.RM_VAL_ACCURACY, float("nan")))
                    ),
                }
            )
    asked = [
        _claim("A margin helps (Touvron et al. 2023)", "rm_margin", noises[0], peaks),
        _claim("Smoothed labels help where some are flipped (Mitchell 2023)", "rm_label_smoothing", noises[-1], peaks),
        _claim("Smoothed labels lose less at the end where some are flipped", "rm_label_smoothing", noises[-1], ends),
        _claim(
            "All pairs of a ranking in one batch are better than apart (Ouyang et al. 2022)",
            "rm_loss=k-wise",
            noises[0],
            peaks,
        ),
        _claim(
            "The likelihood of rankings is better than that of their pairs", "rm_loss=plackett-luce", noises[0], peaks
        ),
        _claim(
            "A share of text keeps a reward model from being exploited (Yang et al. 2024)",
            "rm_text_weight",
            noises[-1],
            ends,
        ),
    ]
    claims = [claim for claim in asked if claim is not None]
    centred = [value for (loss, _), value in peaks.items() if loss.startswith("center_rewards_coefficient")]
    if centred:
        claims.append(
            Claim(
                "Centring changes no order of responses to one prompt, so best-of-n stays as it is (Eisenstein et al.)",
                f"peak gold minus plain, by label noise: {'; '.join(map(str, centred))}",
                all_alike(centred),
            )
        )
    return Finding(claims=claims, tables={"Against the plain loss": pd.DataFrame(rows)})


def labelled(result: Result) -> Result:
    """The result with a setting more, for its figure and table: `loss`, with what else tells kinds of runs apart."""

    def settings(cell: Cell) -> dict[str, str]:
        *_, ranked, start = _key(cell)
        others = [f"of {ranked} ranked" if ranked != 2 else "", f"from the {start}" if start != RANDOM else ""]
        return {"loss": ", ".join(filter(None, [_loss_of(cell) or "plain", *others]))}

    return result.with_settings(settings)


def _claim(paper: str, option: str, noise: float, by_loss: Mapping[tuple[str, float], Estimate]) -> Claim | None:
    """All values of an option, at one noise; None where no run has the option."""
    found = {loss: value for (loss, at), value in by_loss.items() if loss.startswith(option) and at == noise}
    if not found:
        return None
    measured = f"gold minus plain at label noise {noise:g}: " + "; ".join(f"{k} {v}" for k, v in found.items())
    return Claim(paper, measured, signs_verdict(found.values()))


def _key(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.settings.get(name, default) for name, default in _KEYS.items())


def _loss_of(cell: Cell) -> str:
    """`rm_margin=1`; empty for the plain loss."""
    values = {name: cell.settings.get(name, plain) for name, plain in _LOSS.items()}
    return ", ".join(
        f"{name}={value if isinstance(value, str) else format(value, 'g')}"
        for name, value in values.items()
        if value != _LOSS[name]
    )


def _difference(pairs: list[tuple[Cell, Cell]], value: Callable[[Cell], float]) -> Estimate:
    return mean_interval(value(one) - value(plain) for one, plain in pairs)
