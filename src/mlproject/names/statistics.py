"""What the metrics `signs/<statistic>`, `<method>/<diagnostic>` and `meter/<diagnostic>` are of."""

from __future__ import annotations

from typing import Final

from mlproject.names.runs import RolePrefix
from mlproject.names.table import NameTable

STATISTICS: Final = NameTable()
DIAGNOSTICS: Final = NameTable()

_SD, _NATS, _COUNT, _SHARE = "standard deviations", "nats", "count", "share"
_TEXTS, _SAMPLED, _PHRASES = "always", "not with `best-of-n`", "count per response"
_ON_POLICY = "`ppo`, `grpo`, `rloo`, `reinforce`"
_ALIGNED = "direct alignment (`dpo`, `ipo`, `slic`, `chi-po`, `kto`)"
_EVALUATOR = f"{_ON_POLICY}, {_ALIGNED}, `meter`"


class Statistic:
    """Quantities of a point's responses that need no gold; as metrics `signs/<name>`."""

    LENGTH: Final = STATISTICS.add("length", "length of a response", _TEXTS, "words")
    REPETITION: Final = STATISTICS.add("repetition", "words of a response that repeat an earlier one", _TEXTS, _SHARE)
    DISTINCT_2: Final = STATISTICS.add(
        "distinct-2", "distinct pairs of neighbouring words in a response", _TEXTS, _SHARE
    )
    HEDGES: Final = STATISTICS.add("hedges", "words and phrases that take back what is said", _TEXTS, _PHRASES)
    APOLOGIES: Final = STATISTICS.add("apologies", "apologies", _TEXTS, _PHRASES)
    FLATTERY: Final = STATISTICS.add("flattery", "praise of the reader", _TEXTS, _PHRASES)
    COURTESY: Final = STATISTICS.add("courtesy", "words of courtesy", "in the embedded world", _PHRASES)
    FILLER: Final = STATISTICS.add("filler", "filler words", "in the embedded world", _PHRASES)
    STOCK_PHRASES: Final = STATISTICS.add(
        "stock-phrases", "stock phrases of assistants", "with `world=files`", _PHRASES
    )
    REFUSALS: Final = STATISTICS.add("refusals", "refusals", "with `world=files`", _PHRASES)
    DISTINCT_RESPONSES: Final = STATISTICS.add("distinct-responses", "distinct responses among all", _SAMPLED, _SHARE)
    COMPRESSION: Final = STATISTICS.add("compression", "compression ratio of all responses together", _SAMPLED, "ratio")
    ENTROPY: Final = STATISTICS.add("entropy", "entropy of the policy", _SAMPLED, "nats per token")
    RM_DISAGREEMENT: Final = STATISTICS.add(
        "rm_disagreement", "standard deviation over the proxy and the ensemble's members", "with `ensemble`", _SD
    )


class StatisticPrefix:
    """What the statistics of auxiliary reward models begin with."""

    TEST_RM: Final = STATISTICS.add_family(
        RolePrefix.TEST_RM, "<size>", "score of a test RM above the initial policy's", "with `test_rms`", _SD
    )
    MEMBER: Final = STATISTICS.add_family(
        RolePrefix.MEMBER,
        "<seed>",
        "score of a proxy of another seed above the initial policy's",
        "with `ensemble`",
        _SD,
    )
    RM_GAP: Final = STATISTICS.add_family("rm_gap.", "<size>", "proxy score less the test RM's", "with `test_rms`", _SD)


class Diagnostic:
    """What a method and the evaluator report about themselves; as metrics `<method>/<name>` or `meter/<name>`."""

    KL_K1: Final = DIAGNOSTICS.add("kl_k1", "estimate k1 of KL from sampled tokens", _EVALUATOR, _NATS)
    KL_K3: Final = DIAGNOSTICS.add("kl_k3", "estimate k3 of KL from sampled tokens", _EVALUATOR, _NATS)
    KL_DISAGREEMENT: Final = DIAGNOSTICS.add(
        "kl_disagreement",
        "k1 less the exact KL, over the standard error of the difference",
        _EVALUATOR,
        "standard errors",
    )
    ROUND_KL: Final = DIAGNOSTICS.add(
        "round_kl", "KL from the policy that this round started from", f"{_ON_POLICY}, rounds after the first", _NATS
    )
    PROXY_ON_ROLLOUTS: Final = DIAGNOSTICS.add("proxy_on_rollouts", "mean proxy score of the rollouts", _ON_POLICY, _SD)
    LOG_RATIO: Final = DIAGNOSTICS.add(
        "log_ratio", "mean sampled log-ratio of the rollouts", f"{_ON_POLICY}, with a KL penalty", _NATS
    )
    KL_COEF: Final = DIAGNOSTICS.add(
        "kl_coef",
        "KL coefficient of the update",
        f"{_ON_POLICY}, with `kl_target`",
        "standard deviations of gold per nat",
        since="0.2.0",
    )
    KL_TARGET: Final = DIAGNOSTICS.add(
        "kl_target", "target of the KL controller", f"{_ON_POLICY}, with `kl_target=forecast`", _NATS, "0.2.0"
    )
    MULTIPLIER: Final = DIAGNOSTICS.add(
        "multiplier",
        "weight of the proxy in the update, the mean over reward terms",
        f"{_ON_POLICY}, with `reward_threshold`",
        "-1 to 1",
        since="0.2.0",
    )
    REWARD_THRESHOLD: Final = DIAGNOSTICS.add(
        "reward_threshold",
        "proxy score at which it is held, the mean over reward terms",
        f"{_ON_POLICY}, with `reward_threshold`",
        _SD,
        since="0.2.0",
    )
    CLIP_FRACTION: Final = DIAGNOSTICS.add(
        "clip_fraction", "tokens whose probability ratio was clipped", _ON_POLICY, _SHARE
    )
    APPROX_KL: Final = DIAGNOSTICS.add("approx_kl", "KL from the rollout policy", _ON_POLICY, "nats per token")
    ENTROPY: Final = DIAGNOSTICS.add("entropy", "entropy of the policy on the rollouts", _ON_POLICY, "nats per token")
    VALUE_LOSS: Final = DIAGNOSTICS.add(
        "value_loss", "half the mean squared error of the value head", "`ppo`", "variance"
    )
    EPOCH: Final = DIAGNOSTICS.add("epoch", "passes over the comparisons so far", _ALIGNED, _COUNT, "0.2.0")
    PREFERENCE_LOSS: Final = DIAGNOSTICS.add(
        "preference_loss", "the method's loss on held-out comparisons", _ALIGNED, "of the loss", "0.2.0"
    )
    PREFERENCE_ACCURACY: Final = DIAGNOSTICS.add(
        "preference_accuracy",
        "held-out comparisons that the implicit reward orders as labelled; ties count half",
        _ALIGNED,
        _SHARE,
        "0.2.0",
    )
    CHOSEN_LOG_RATIO: Final = DIAGNOSTICS.add(
        "chosen_log_ratio", "mean log-ratio of held-out preferred responses to the initial policy", _ALIGNED, _NATS,
        "0.2.0",
    )  # fmt: skip
    REJECTED_LOG_RATIO: Final = DIAGNOSTICS.add(
        "rejected_log_ratio", "that of the other responses", _ALIGNED, _NATS, "0.2.0"
    )
    KL_TRUE: Final = DIAGNOSTICS.add(
        "kl_true", "KL where responses repeat (Beirami et al. 2024); `curve/kl` is the bound", "`best-of-n`", _NATS
    )
    EFFECTIVE_SAMPLES: Final = DIAGNOSTICS.add(
        "effective_samples", "samples per prompt that the point rests on", "methods that choose from the pool", _COUNT
    )
