"""Weight-averaged reward models (WARM): one reward model whose weights are the means of those of M others.

Rame et al. 2024 (arXiv 2401.12187): theta = (1/M) sum_m theta_m. Features that all of them have learned stay, what each
has memorised cancels; scoring costs as much as one. Weights average only where all trainings started at the same
weights: here from the trunk of the initial policy (or one language model's checkpoint) with one new head, and differ by
order, learning rate (1, 1/2, 2 times `rm_lr`) and dropout (.05, .1).
"""

from __future__ import annotations

from mlproject.cures.cure import COMBINE, Cure

CURE = Cure(
    "warm", "average of the weights of several, from one start", COMBINE, of_weights="mlproject.cures.warm_average"
)
