"""Options of the loss that reward models learn by. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.options.declaration import Options, option

BRADLEY_TERRY, K_WISE, PLACKETT_LUCE = "bradley-terry", "k-wise", "plackett-luce"


@dataclass(frozen=True, kw_only=True)
class RewardLoss(Options):
    """The loss of a proxy RM, and what is added to it; by default that of Bradley and Terry and nothing.

    Args of the loss of one comparison, x = reward of the preferred response less that of the other:
        -(1 - s) log sigmoid(x - m) - s log sigmoid(-(x - m)) + c (sum of the two rewards)^2
    and with it, p the probability that a language model's head gives to the preferred response:
        (1 - a) loss - a log sigmoid(b log p)
    """

    HEADING: ClassVar[str] = "Comparisons and proxy RMs"

    rm_loss: str = option(
        "loss of a proxy RM: bradley-terry, of single pairs; k-wise, the mean of it over all pairs of a ranking, which "
        "are in one batch (Ouyang et al. 2022); plackett-luce, the likelihood of whole rankings",
        default=BRADLEY_TERRY,
        choices=(BRADLEY_TERRY, K_WISE, PLACKETT_LUCE),
    )
    rm_margin: float = option(
        "margin that a proxy RM must reach for a gold difference of one standard deviation (Touvron et al. 2023)",
        default=0.0,
        minimum=0,
        maximum=1000,
    )
    rm_label_smoothing: float = option(
        "share of the labels that the loss of a proxy RM takes to be flipped", default=0.0, minimum=0, maximum=0.499
    )
    center_rewards_coefficient: float = option(
        "weight of the squared sum of a pair's rewards, which centres them (Eisenstein et al. 2023; TRL's name)",
        default=0.0,
        minimum=0,
        maximum=1000,
    )
    rm_text_weight: float = option(
        "share of the loss of a proxy RM that is a language model's, on the preferred responses, by an output layer "
        "that it has while it is trained (GRM, Yang et al. 2024, who use .01)",
        default=0.0,
        minimum=0,
        maximum=0.999,
    )
    rm_text_beta: float = option(
        "what the log-probability of a response is multiplied by in that share", default=0.1, minimum=1e-6, maximum=1000
    )
