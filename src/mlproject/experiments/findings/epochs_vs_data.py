"""More epochs over the same comparisons, against more comparisons."""

from __future__ import annotations

from mlproject.experiments.findings.claims import Claim, Finding, verdict
from mlproject.experiments.findings.evidence import mean_interval, select, values_of
from mlproject.experiments.results import Cell, Result
from mlproject.laws import Estimate
from mlproject.names import Metric


def analyse(result: Result) -> Finding:
    """The control experiment of the paper (figure 13): 1 x D, 4 x D, 1 x 4D."""
    few, many = (f(values_of(result, "n_comparisons")) for f in (min, max))
    most = max(values_of(result, "rm_epochs"))
    arms = {"1xD": (few, 1.0), f"{most:g}xD": (few, most), "1x4D": (many, 1.0)}
    claims = []
    for name, key, unit in (
        ("validation loss", Metric.RM_VAL_LOSS_CALIBRATED, "nats"),
        ("peak gold", Metric.PEAK_GOLD, "standard deviations"),
    ):
        epochs, data = (_gain(result, arms["1xD"], arms[arm], key) for arm in (f"{most:g}xD", "1x4D"))
        better = -1 if name == "validation loss" else 1
        claims.append(
            Claim(
                f"{most:g} epochs over D comparisons change {name} little; four times the data change it clearly",
                f"paired over sizes and seeds, {unit}: {most:g}xD - 1xD {_digits(epochs)}; 1x4D - 1xD {_digits(data)} "
                f"(D = {few})",
                verdict(
                    data.sign == better and abs(epochs.value) < 0.5 * abs(data.value),
                    epochs.sign == better and abs(epochs.value) > 0.8 * abs(data.value),
                ),
            )
        )
    return Finding(claims=claims, notes=["Validation losses after calibration, on soft labels of the gold RM."])


def _gain(result: Result, start: tuple[int, float], end: tuple[int, float], key: str) -> Estimate:
    """Difference between two arms, paired over RM sizes and seeds."""

    def by_pair(arm: tuple[int, float]) -> dict[tuple[str, int], Cell]:
        cells = select(result, n_comparisons=arm[0], rm_epochs=arm[1])
        return {(cell.settings["rm_size"], cell.settings["seed"]): cell for cell in cells}

    before, after = by_pair(start), by_pair(end)
    return mean_interval(after[pair].metrics[key] - before[pair].metrics[key] for pair in before if pair in after)


def _digits(gain: Estimate) -> str:
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
