"""Which reward model a promotion proposes: the recommended one, wherever the method of the gates allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlproject.optimization import find_method
from mlproject.recommendation.recommend import Evaluated, Recommendation, recommend
from mlproject.recommendation.setting import Setting


@dataclass(frozen=True)
class Proposal:
    """Reward models in the order in which a promotion proposes them.

    Attributes:
        method: by which the gates evaluate.
        recommendation: over all methods, without regard to gates.
        of_method: over the settings of that method alone; of equal ones, the recommended reward model comes first.
    """

    method: str
    recommendation: Recommendation
    of_method: Recommendation

    @property
    def equal(self) -> list[Evaluated]:
        """The settings of the method that no other one is better than, the first proposed first."""
        choice = self.of_method.choice
        return [choice, *self.of_method.ties] if choice else []

    @property
    def order(self) -> list[Setting]:
        """The settings of the method: those that no other is better than, then by measured peak, highest first."""
        equal = [each.setting for each in self.equal]
        rest = [each for each in self.of_method.evaluated if each.setting not in equal]
        return equal + [each.setting for each in sorted(rest, key=lambda each: -each.stop.gold)]

    def reason(self, proposed: str, failed: Sequence[str] = (), named: bool = False) -> str:
        """Why a reward model is proposed, and how that goes together with the recommendation, in one or two sentences.

        Args:
            proposed: its name.
            failed: what was passed over since it failed gates, one text each.
            named: whether the user named it, so that nothing was chosen.
        """
        label = find_method(self.method).label
        equal = list(dict.fromkeys(each.setting.rm for each in self.equal))
        others = [rm for rm in equal if rm != proposed]
        choice = self.recommendation.choice
        recommended = choice.setting.rm if choice else ""
        if named:
            why = f"{proposed} was named, not chosen"
        elif failed:
            why = f"{proposed} is proposed since {'; '.join(failed)}"
        elif not equal:
            why = f"{proposed} has the highest measured peak gold by {label}, which is no more than noise"
        elif proposed == recommended:
            why = f"{proposed} is the recommended reward model"
        else:
            why = f"{proposed} has the highest peak gold by {label}, by which the gates evaluate"
        if proposed not in equal:
            tie = f"; its peak gold is lower than that of {', '.join(equal)} by more than noise" if equal else ""
        else:
            tie = f"; its peak gold by {label} cannot be told from that of {', '.join(others)}" if others else ""
        return f"{why}{tie}." + self._departure(proposed, recommended, equal, label)

    def _departure(self, proposed: str, recommended: str, equal: Sequence[str], label: str) -> str:
        """Why the recommended reward model is another one; empty where it is not."""
        choice = self.recommendation.choice
        if choice is None or proposed == recommended:
            return ""
        by = find_method(choice.setting.method).label
        measured = [each.setting.rm for each in self.of_method.evaluated]
        if recommended not in measured:
            reason = f"it has no {label} curve"
        elif recommended not in equal:
            reason = f"by {label} its peak gold is lower by more than noise"
        else:
            reason = f"by {label} its peak gold cannot be told from the others'"
        return f" The curves speak for {recommended} with {by}; {reason}."


def propose(settings: Sequence[Setting], method: str) -> Proposal:
    """Decide in which order reward models are proposed.

    Args:
        settings: of all methods, on the same prompts.
        method: by which the gates evaluate.
    """
    recommendation = recommend(settings)
    preferred = recommendation.choice.setting.rm if recommendation.choice else ""
    return Proposal(method, recommendation, recommend([s for s in settings if s.method == method], preferred))
