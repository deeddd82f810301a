"""A check of the exact KL by what the sampled tokens alone say."""

from __future__ import annotations

from mlproject.curve import mean_and_se
from mlproject.estimators import k1, k3
from mlproject.models.log_probs import Divergence
from mlproject.names import Diagnostic


def sampled_estimates(divergence: Divergence) -> dict[str, float]:
    """Estimates of KL from the sampled tokens alone, as a check of the exact KL.

    Returns:
        k1 and k3, summed over tokens and averaged over responses, nats; and k1 less the exact KL in standard errors of
        the difference: beyond about 3, one of the two is wrong.
    """
    log_ratio_BR, kl_B = divergence.log_ratio_BR.cpu().numpy(), divergence.kl_B.cpu().numpy()
    k1_B, k3_B = k1(log_ratio_BR).sum(axis=1), k3(log_ratio_BR).sum(axis=1)
    gap, gap_se = mean_and_se(k1_B - kl_B)
    return {
        Diagnostic.KL_K1: float(k1_B.mean()),
        Diagnostic.KL_K3: float(k3_B.mean()),
        Diagnostic.KL_DISAGREEMENT: gap / gap_se if gap_se > 0 else 0.0,
    }
