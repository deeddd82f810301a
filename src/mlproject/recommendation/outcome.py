"""What a study's promotion did with the recommended reward model, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlproject.recommendation.recommend import Recommendation


@dataclass(frozen=True)
class Outcome:
    """The outcome of a promotion.

    Attributes:
        run_id: of the promotion.
        rm: name of the proposed reward model.
        seed: its seed.
        version: its version of the registered model; empty after a dry run.
        passed: whether it passed all gates.
        failed: names of the gates that it failed.
        champion_before: version that was champion before; empty if there was none.
        reason: why it was proposed, as the promotion said it.
        in_study: whether it is one of the study's own reward models.
        basis: what its figures rest on, other than those of the recommendation, in a sentence.
    """

    run_id: str
    rm: str
    seed: str
    version: str
    passed: bool
    failed: Sequence[str] = ()
    champion_before: str = ""
    reason: str = ""
    in_study: bool = True
    basis: str = ""


def agrees(recommendation: Recommendation, outcome: Outcome) -> bool:
    """Whether the promotion proposed the recommended reward model."""
    return outcome.in_study and recommendation.choice is not None and recommendation.choice.setting.rm == outcome.rm


def promotion_sentence(recommendation: Recommendation, outcome: Outcome) -> str:
    """What became of the recommended reward model, or which other one was proposed, and why."""
    name = f"{outcome.rm} seed {outcome.seed}"
    if outcome.passed:
        version = f" (version {outcome.version})" if outcome.version else ""
        stands = "stays" if outcome.version and outcome.version == outcome.champion_before else "is"
        result = f"{name} passed all gates and {stands} champion{version}"
    else:
        before = outcome.champion_before
        stays = f"version {before} stays champion" if before else "there is no champion"
        result = f"{name} was refused by {', '.join(outcome.failed)}; {stays}"
    basis = f" {outcome.basis}" if outcome.basis else ""
    if agrees(recommendation, outcome):
        return f"The promotion proposed the same reward model: {result}.{basis}"
    foreign = "" if outcome.in_study else " (of another study in this store)"
    why = f" {outcome.reason}" if outcome.reason else ""
    return f"The promotion proposed another reward model{foreign}: {result}.{why}{basis}"
