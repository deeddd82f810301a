"""What the methods of direct alignment declare: their options, and that they learn from comparisons.

Free of torch, so that the command line can show the options at once. A further loss is one file with `optimize(task)`
beside this one, and one line in `METHODS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlproject.optimization.method import Method
from mlproject.optimization.method_config import TrainedPolicyConfig, Work
from mlproject.optimization.on_policy.config import OnPolicyConfig
from mlproject.options.declaration import option, shared_option

_HEADING = "Direct alignment"
MEAN, SUM = "mean", "sum"


@dataclass(frozen=True, kw_only=True)
class DirectAlignmentConfig(TrainedPolicyConfig):
    """Options that the methods of direct alignment share."""

    HEADING: ClassVar[str] = _HEADING

    align_beta: float = option(
        "beta: how strongly direct alignment (dpo, ipo, slic, chi-po, kto) holds the policy near the initial one",
        minimum=1e-6,
        maximum=1000,
        heading=_HEADING,
    )
    align_updates: int = option("gradient steps of a run: its budget", minimum=1, maximum=1_000_000, heading=_HEADING)
    align_batch_size: int = option("comparisons per gradient step", minimum=1, maximum=1_000_000, heading=_HEADING)
    align_lr: float = option("learning rate of the policy", minimum=1e-9, maximum=1, heading=_HEADING)
    align_points: int = option(
        "curve points after the start: half of them dense at the beginning, half evenly spaced",
        minimum=3,
        maximum=1000,
        heading=_HEADING,
    )
    eval_samples: int = shared_option(OnPolicyConfig, "eval_samples")
    stop: str = shared_option(OnPolicyConfig, "stop")
    align_mixed_precision: str = option(
        "precision of the gradient passes", default="no", choices=("no", "bf16"), heading=_HEADING
    )

    @property
    def last_step(self) -> int:
        return self.align_updates

    @property
    def work(self) -> Work:
        """Both responses of each comparison."""
        return Work(trained=2 * self.align_batch_size)

    @property
    def variant(self) -> str:
        return f"beta {self.align_beta:g}"

    @property
    def process_limit(self) -> tuple[int, str]:
        """Processes share batches by comparisons."""
        return self.align_batch_size, f"align_batch_size={self.align_batch_size}"


@dataclass(frozen=True, kw_only=True)
class IPOConfig(DirectAlignmentConfig):
    """Options of IPO."""

    ipo_log_ratio: str = option(
        "what IPO compares: the mean log-ratio of a response's tokens, as TRL does, or the sum, as in the paper",
        default=MEAN,
        choices=(MEAN, SUM),
        heading=_HEADING,
    )


@dataclass(frozen=True, kw_only=True)
class ChiPOConfig(DirectAlignmentConfig):
    """Options of chi-PO."""

    chi_po_r_max: float = option(
        "chi-PO: half of the largest difference of two rewards, beyond which a comparison has no gradient",
        default=2.0,
        minimum=1e-3,
        maximum=1e6,
        heading=_HEADING,
    )


def _method(name: str, label: str, config_class: type[DirectAlignmentConfig] = DirectAlignmentConfig) -> Method:
    module = f"{__package__}.{name.replace('-', '_')}"
    return Method(
        name,
        label,
        config_class,
        module,
        needs_proxy=False,
        coefficient="align_beta",
        coefficient_label="beta",
        coefficient_unit="",
    )


METHODS = (
    _method("dpo", "DPO"),
    _method("ipo", "IPO", IPOConfig),
    _method("slic", "SLiC"),
    _method("chi-po", "χPO", ChiPOConfig),
    _method("kto", "KTO"),
)
