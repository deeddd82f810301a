"""What promotions write: on their runs, and on versions of the registered model."""

from __future__ import annotations

from typing import Final

from mlproject.names.metrics import METRICS, Metric
from mlproject.names.table import NameTable
from mlproject.names.tags import Tag

OUTCOMES: Final = NameTable()
ACTIONS: Final = NameTable()
GATE_RESULTS: Final = NameTable()
ALIASES: Final = NameTable()
VERSION_TAGS: Final = NameTable()
STATUSES: Final = NameTable()

_REGISTERED = "when it is registered"


class Action:
    """Values of the tag `promotion.action`."""

    PROMOTE: Final = ACTIONS.add("promote", "put a candidate to the gates")
    ROLLBACK: Final = ACTIONS.add("rollback", "give the alias back to the previous champion")


class Outcome:
    """Values of the tag `promotion.outcome`."""

    PROMOTED: Final = OUTCOMES.add("promoted", "the candidate is champion")
    CONFIRMED: Final = OUTCOMES.add(
        "confirmed", "the champion passed again, by what was measured since its promotion", since="0.2.0"
    )
    REFUSED: Final = OUTCOMES.add("refused", "a gate did not hold")
    ROLLED_BACK: Final = OUTCOMES.add("rolled-back", "the previous champion is champion again")
    DRY_RUN: Final = OUTCOMES.add("dry-run", "the registry was left as it was")
    INTERRUPTED: Final = OUTCOMES.add("cut-off", "its process died before the alias moved")


class PromotionResult:
    """Values of the tag `promotion.verdict`."""

    PASSED: Final = GATE_RESULTS.add("passed", "all gates hold")
    REFUSED: Final = GATE_RESULTS.add("refused", "at least one gate does not hold")


class Alias:
    """Aliases of versions of the registered model."""

    CHAMPION: Final = ALIASES.add("champion", "the version in use")
    CHALLENGER: Final = ALIASES.add(
        "challenger", "a version on its way to champion, or the last that failed only the margin over the champion"
    )


class Status:
    """Values of the version tag `status`."""

    CANDIDATE: Final = STATUSES.add("candidate", "registered, and not judged yet")
    PASSED: Final = STATUSES.add("passed", "passed all gates: the champion")
    REFUSED: Final = STATUSES.add("refused", "failed a gate")
    RETIRED: Final = STATUSES.add("retired", "was champion before")


class VersionTag:
    """Tags of versions of the registered model."""

    PROXY_RUN_ID: Final = VERSION_TAGS.add(Tag.PROXY_RUN_ID, "run id of the proxy RM", _REGISTERED)
    STATUS: Final = VERSION_TAGS.add("status", "see below", "at every promotion")
    SHA256: Final = VERSION_TAGS.add("sha256", "digest of the files; checked before the version is used", _REGISTERED)
    PROMOTION_RUN_ID: Final = VERSION_TAGS.add(
        "promotion_run_id", "promotion that the status rests on", "when it was judged"
    )
    RM_SIZE: Final = VERSION_TAGS.add("rm_size", "RM size, repeated from the proxy RM", _REGISTERED)
    REWARD: Final = VERSION_TAGS.add(
        "reward", "the cures of a reward, repeated from the proxy RM", _REGISTERED, since="0.2.0"
    )
    RM_PARAMS: Final = VERSION_TAGS.add("rm_params", "parameters, repeated from the proxy RM", _REGISTERED)
    SEED: Final = VERSION_TAGS.add("seed", "seed, repeated from the proxy RM", _REGISTERED)
    N_COMPARISONS: Final = VERSION_TAGS.add("n_comparisons", "comparisons, repeated from the proxy RM", _REGISTERED)


for _metric in (Metric.RM_VAL_ACCURACY, Metric.RM_VAL_LOSS, Metric.RM_ECE, Metric.RM_SCALE):
    VERSION_TAGS.add(_metric, "metric, repeated from the proxy RM", _REGISTERED, METRICS[_metric].unit)


class VersionTagPrefix:
    """What version tags begin with that there is one of for each method."""

    KL_BUDGET: Final = VERSION_TAGS.add_family(
        "kl_budget.", "<method>", "KL at which gold peaks: a budget for further runs", "at every promotion", "nats"
    )
    PEAK_GOLD: Final = VERSION_TAGS.add_family(
        "peak_gold.", "<method>", "highest gold on the `curve` prompts", "at every promotion", "standard deviations"
    )
    POLICY_RUN_ID: Final = VERSION_TAGS.add_family(
        "policy_run_id.", "<method>", "policy run with the highest peak gold", "at every promotion"
    )
    KL_COEF: Final = VERSION_TAGS.add_family(
        "kl_coef.", "<method>", "its KL coefficient", "at every promotion", "standard deviations per nat"
    )
