"""What promotions write: on their runs, and on versions of the registered model."""

from __future__ import annotations

from typing import Final


class Action:
    """Values of the tag `promotion.action`."""

    PROMOTE: Final = "promote"
    ROLLBACK: Final = "rollback"


class Outcome:
    """Values of the tag `promotion.outcome`."""

    PROMOTED: Final = "promoted"
    REFUSED: Final = "refused"
    ROLLED_BACK: Final = "rolled-back"
    DRY_RUN: Final = "dry-run"
    INTERRUPTED: Final = "cut-off"


class GateResult:
    """Values of the tag `promotion.verdict`."""

    PASSED: Final = "passed"
    REFUSED: Final = "refused"


class Alias:
    """Aliases of versions of the registered model."""

    CHAMPION: Final = "champion"
    CHALLENGER: Final = "challenger"


class VersionTag:
    """Tags of versions of the registered model. Besides them a version repeats metrics of its proxy RM."""

    STATUS: Final = "status"
    SHA256: Final = "sha256"
    PROMOTION_RUN_ID: Final = "promotion_run_id"
    RM_SIZE: Final = "rm_size"
    RM_PARAMS: Final = "rm_params"
    SEED: Final = "seed"
    N_COMPARISONS: Final = "n_comparisons"


class VersionTagPrefix:
    """What version tags begin with that there is one of for each method; its name follows."""

    KL_BUDGET: Final = "kl_budget."
    PEAK_GOLD: Final = "peak_gold."
    POLICY_RUN_ID: Final = "policy_run_id."
    KL_COEF: Final = "kl_coef."


class Status:
    """Values of the version tag `status`."""

    CANDIDATE: Final = "candidate"
    PASSED: Final = "passed"
    REFUSED: Final = "refused"
    RETIRED: Final = "retired"
