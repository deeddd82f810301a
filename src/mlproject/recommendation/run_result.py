"""What one policy run shows, in a sentence."""

from __future__ import annotations

from mlproject.curve import Curve
from mlproject.optimization import find_method
from mlproject.recommendation.doubt import SeedSpread
from mlproject.recommendation.sentences import interval_text, nats
from mlproject.recommendation.setting import Setting
from mlproject.recommendation.stop import Progress, stop_of


def run_result(method: str, curve: Curve) -> str:
    """Peak gold with its error, where it lies, and what going on costs; or that there is no peak.

    Args:
        method: name of the method.
        curve: of the run.
    """
    stop, place = stop_of(Setting(method, "", 0, {0: curve}), SeedSpread()), find_method(method).place
    end = f"{nats(stop.end_kl)} nats ({place(stop.end_step)})"
    gold = f"{stop.gold:.2f} {interval_text(stop.gold_interval)} standard deviations (95 %, over prompts)"
    if stop.progress is Progress.PEAKED:
        return (
            f"Gold peaks at {gold}, {nats(stop.kl)} nats ({place(stop.step)}) from the initial policy; going on to "
            f"{end} costs {stop.drop:.2f} {interval_text(stop.drop_interval)}."
        )
    if stop.progress is Progress.NOT_REACHED:
        return f"Gold rises to {gold}; the peak was not reached by {end}, the end of the run."
    if stop.progress is Progress.NO_GAIN:
        return f"Gold rises nowhere above the initial policy's by more than noise, up to {end}."
    return f"The policy has hardly moved: up to {end}, neither gold nor proxy score changes by more than noise."
