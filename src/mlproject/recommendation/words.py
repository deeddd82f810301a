"""How distances, intervals and forecasts are written, wherever they are said."""

from __future__ import annotations

from mlproject.laws.forecast import Prediction
from mlproject.laws.intervals import Interval
from mlproject.optimization import find_method

LARGEST_N = 1_000_000
"""Beyond it, the n at a KL is of no use to anybody."""


def nats(kl: float) -> str:
    """A KL with two significant digits, three from 100 on."""
    return f"{kl:.0f}" if kl >= 9.95 else f"{kl:.2g}"


def distance(method: str, kl: float, step: int | None = None) -> str:
    """`8.1 nats (update 40)`, `3.2 nats (n = 64)`.

    Args:
        method: its name.
        kl: nats.
        step: of the measured point; None: a KL between points, whose n is computed for best-of-n.
    """
    place = find_method(method).place(step) if step is not None else place_of_kl(method, kl)
    return f"{nats(kl)} nats" + (f" ({place})" if place else "")


def place_of_kl(method: str, kl: float) -> str:
    """`n = 64`, for a method whose KL follows from its step; empty for another."""
    step, unit = _step_of_kl(method, kl), find_method(method).step_unit
    return f"{unit} {step}" if step.startswith("beyond") else f"{unit} = {step}" if step else ""


def _step_of_kl(method: str, kl: float) -> str:
    """`64`, for a method whose KL follows from its step; empty for another."""
    step_of_kl = find_method(method).step_of_kl
    step = step_of_kl(kl) if step_of_kl else 0
    return f"beyond {LARGEST_N:,}" if step > LARGEST_N else str(step or "")


def kl_estimate(method: str, kl: float, interval: Interval) -> str:
    """`4.04 nats [3.9, 4.2] (n = 153 [134, 180])`: a KL that was computed, with its interval."""
    steps = steps_of_kl(method, (kl, *interval))
    return f"{kl:.3g} nats [{interval[0]:.3g}, {interval[1]:.3g}]{steps and f' ({steps})'}"


def steps_of_kl(method: str, kl: tuple[float, float, float]) -> str:
    """`n = 153 [134, 180]`: the steps of a KL and of its interval; empty where they do not follow from it."""
    place = place_of_kl(method, kl[0])
    return f"{place} [{_step_of_kl(method, kl[1])}, {_step_of_kl(method, kl[2])}]" if place else ""


def interval_text(interval: Interval) -> str:
    """`[0.41, 0.52]`."""
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def forecast_text(method: str, prediction: Prediction) -> str:
    """A forecast and what it rests on; the same words wherever one is said."""
    basis = f"from {prediction.prior} and {prediction.points} points"
    if not prediction.is_known:
        return f"none yet, {basis}"
    if prediction.withheld:
        return f"withheld, since {prediction.withheld}, {basis}"
    place = place_of_kl(method, prediction.loses_beyond_kl)
    return (
        f"peak {prediction.peak_gold:.2f} {interval_text(prediction.peak_gold_interval)} at "
        f"{kl_estimate(method, prediction.peak_kl, prediction.peak_kl_interval)}, "
        f"P(past peak) = {prediction.p_past_peak:.2f}; stop at {prediction.loses_beyond_kl:.3g} nats"
        f"{f' ({place})' if place else ''}, where expected gold is highest ({basis})"
    )
