"""Regularized best-of-n: keep the response that is best by the proxy and typical of what the policy says.

Minimum Bayes risk as a regularizer (Jinnai et al. 2024, arXiv 2404.01054): the argmax of
r_i + beta * mean_j utility(y_i, y_j). A response that is like many others cannot be an outlier that only the proxy
likes. The utility is the cosine of the token counts of two responses, 0 to 1, and the mean is over all N samples of the
prompt, whatever n is, so that one pool serves every n.

Axis letters: P prompts, N samples per prompt in the pool, G values of n, B responses, T tokens of a sequence, R tokens
of a response, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlproject.curve import Array
from mlproject.estimators import BestOfN, best_of_n_kl_bound, effective_sample_size, n_grid
from mlproject.names import Diagnostic
from mlproject.optimization import best_of_n
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.method_config import MethodConfig
from mlproject.options.declaration import option, shared_option

if TYPE_CHECKING:
    from mlproject.curve import CurvePoint
    from mlproject.models.prompt_format import Responses
    from mlproject.optimization.task import OptimizationTask


@dataclass(frozen=True, kw_only=True)
class RegularizedBestOfNConfig(MethodConfig):
    """Options of regularized best-of-n, beside those of best-of-n."""

    HEADING: ClassVar[str] = "Regularized best-of-n"

    bon_n_max: int = shared_option(BestOfNConfig, "bon_n_max")
    bon_points: int = shared_option(BestOfNConfig, "bon_points")
    mbr_beta: float = option(
        "weight of a response's likeness to the others, gold standard deviations", default=2.0, minimum=0, maximum=1000
    )

    @property
    def last_step(self) -> int:
        return self.bon_n_max


METHOD = replace(
    best_of_n.METHOD,
    name="regularized-best-of-n",
    label="regularized best-of-n",
    config_class=RegularizedBestOfNConfig,
    module=__name__,
    version=1,
)


def optimize(task: OptimizationTask[RegularizedBestOfNConfig]) -> Iterator[CurvePoint]:
    """Yield one point per n on a logarithmic grid; its step is n, its KL the bound log n - (n - 1)/n."""
    proxy_PN = task.rate_samples()
    likeness_PN = task.samples.rate(lambda responses: likeness(responses, task.samples_per_prompt))
    rank_PN = proxy_PN + task.config.mbr_beta * likeness_PN
    task.progress(0.8)
    n_G = n_grid(task.config.bon_n_max, task.config.bon_points)
    yield from task.evaluator.evaluate_selection(
        n_G.tolist(),
        best_of_n_kl_bound(n_G),
        proxy_PN,
        BestOfN(rank_PN, n_G),
        np.stack([rank_PN[:, :n].argmax(axis=1) for n in n_G]),
        [{Diagnostic.EFFECTIVE_SAMPLES: effective_sample_size(proxy_PN.shape[1], n)} for n in n_G.tolist()],
    )


def likeness(responses: Responses, samples: int) -> Array:
    """Mean cosine of the token counts of each response with those of all samples of its prompt, itself included.

    Args:
        responses: those of one prompt side by side.
        samples: N, samples of each prompt.

    Returns:
        0 to 1; 0 for a response without tokens. Shape: (B,).
    """
    ids_BT, mask_BT = (x.numpy() for x in (responses.sequences.response_ids_BR, responses.sequences.response_mask_BR))
    means = []
    for start in range(0, len(ids_BT), samples):
        row_B, column_B = mask_BT[start : start + samples].nonzero()
        _, token_B = np.unique(ids_BT[start : start + samples][row_B, column_B], return_inverse=True)
        count_NV = np.zeros((samples, token_B.max(initial=-1) + 1))
        np.add.at(count_NV, (row_B, token_B), 1.0)
        length_N = np.linalg.norm(count_NV, axis=1, keepdims=True)
        direction_NV = np.divide(count_NV, length_N, out=count_NV, where=length_N > 0)
        means.append(direction_NV @ direction_NV.mean(axis=0))
    return np.concatenate(means)
