"""The likelihood of rankings (Plackett 1975; Luce 1959) as a loss of reward models.

Axis letters: B rankings, N responses to a prompt in a batch.
"""

from __future__ import annotations

from torch import Tensor


def plackett_luce_loss(rewards_BN: Tensor) -> Tensor:
    """Mean of -sum_k [r_k - log sum_(j >= k) exp r_j], nats per ranking. Shape: ().

    The negative log-likelihood of rankings in which the best response is drawn with probability softmax(r), then the
    best of the rest, and so on; of two responses, that of Bradley and Terry.

    Args:
        rewards_BN: the best response first. Shape: (B, N).
    """
    rest_BN = rewards_BN.flip(1).logcumsumexp(1).flip(1)
    return (rest_BN - rewards_BN)[:, :-1].sum(1).mean()
