"""What runs are, where they are kept, and what they read."""

from __future__ import annotations

from typing import Final

from mlproject.names.table import NameTable

EXPERIMENTS: Final = NameTable()
KINDS: Final = NameTable()
ROLES: Final = NameTable()
SPLITS: Final = NameTable()
STAGE_NAMES: Final = NameTable()
GOLD_KINDS: Final = NameTable()


def _experiment(suffix: str, meaning: str) -> str:
    EXPERIMENTS.add(f"<experiment>{suffix}", meaning)
    return suffix


class ExperimentSuffix:
    """What follows the option `experiment` in the names of the MLflow experiments."""

    POLICY_RUNS: Final = _experiment("", "policy runs, flat, so that MLflow charts them together")
    MODELS: Final = _experiment("/models", "initial policies, gold RMs, comparisons, pools, proxy RMs, test RMs")
    STUDIES: Final = _experiment("/studies", "laws, searches, experiments, audits, promotions, fits, invocations")


class Kind:
    """Values of the tag `mlproject.kind`."""

    STUDY: Final = KINDS.add("study", "one invocation of a command; lists the runs that answered it", "every command")
    INITIAL_POLICY: Final = KINDS.add("initial-policy", "the policy before optimization", "trained, or imported")
    GOLD_RM: Final = KINDS.add("gold-rm", "what plays gold", "trained, imported, or a test RM")
    COMPARISONS: Final = KINDS.add("comparisons", "labelled pairs of responses", "generated, or imported")
    POOL_SAMPLES: Final = KINDS.add(
        "pool-samples", "samples of the initial policy on one split of the prompts", "one for each split", since="0.2.0"
    )
    POOL: Final = KINDS.add("pool", "gold and human scores of these samples", "one for each split")
    SCORED_SAMPLES: Final = KINDS.add(
        "scored-samples", "a user's table of scored samples, as it was read", "`compare`", since="0.2.0"
    )
    PROXY_RM: Final = KINDS.add("proxy-rm", "a reward model that policies are optimized against", "each size and seed")
    TEST_RM: Final = KINDS.add(
        "test-rm", "a reward model trained on the half of the comparisons that no proxy sees", "`test_rms`, `gold=none`"
    )
    PROBES: Final = KINDS.add(
        "probes", "what cheap changes of responses do to a reward's score", "`probe`, `promote`", since="0.2.0"
    )
    POLICY_RUN: Final = KINDS.add(
        "policy-run", "one optimization of the policy against one proxy: one curve", "each method, size and seed"
    )
    MEASURED_CHECKPOINT: Final = KINDS.add(
        "measured-checkpoint",
        "one checkpoint of a user's training, measured as a curve point",
        "`measure`",
        since="0.2.0",
    )
    LAW: Final = KINDS.add("law", "laws fitted to all curves of a study", "`main`")
    EXPERIMENT: Final = KINDS.add("experiment", "the policy runs of one grid, with figure and table", "`experiment`")
    SEARCH: Final = KINDS.add("search", "a search over policy runs, with its trials", "`main`, `search`")
    AUDIT: Final = KINDS.add("audit", "gold of a policy at its peak on the `audit` prompts", "`promote`")
    PROMOTION: Final = KINDS.add("promotion", "one promotion or rollback", "`main`, `promote`, `rollback`")
    FIT: Final = KINDS.add("fit", "the law and the forecast of a curve that was logged elsewhere", "`fit`")
    TRAINER_RUN: Final = KINDS.add(
        "trainer-run", "somebody else's training with our callback; no study reuses it", "`OveroptimizationCallback`"
    )
    CHECKPOINT: Final = KINDS.add(
        "checkpoint", "an MLflow LoggedModel: the policy at one stage", "PPO runs, at the end"
    )


class Role:
    """Keys of the tag `mlproject.inputs`. Part of fingerprints."""

    INITIAL_POLICY: Final = ROLES.add("initial-policy", "writes the responses; KL is measured from it")
    GOLD_RM: Final = ROLES.add("gold-rm", "plays gold")
    COMPARISONS: Final = ROLES.add("comparisons", "what a reward model is trained on")
    POOL: Final = ROLES.add("pool", "scores of the initial policy's samples on the prompts that are measured on")
    SAMPLES: Final = ROLES.add("samples", "these samples", since="0.2.0")
    SCORED_SAMPLES: Final = ROLES.add(
        "scored-samples", "the table of scored samples that a best-of-n curve is computed from", since="0.2.0"
    )
    PROXY_RM: Final = ROLES.add("proxy-rm", "the proxy that is optimized, audited or promoted")
    TEST_RM: Final = ROLES.add("test-rm", "the test RM that plays gold where there is nothing better")
    POLICY_RUN: Final = ROLES.add("policy-run", "the curve that is audited, or that a promotion rests on")
    LAW: Final = ROLES.add("law", "whose priors a forecast starts from")
    EARLIER: Final = ROLES.add("earlier", "policy run of the round before")
    OPTIMIZED: Final = ROLES.add("optimized", "policy run whose policy writes the comparisons of a later round")
    CURVE: Final = ROLES.add("0", "of a law run: its policy runs, counted `0`, `1`, ...")


class RolePrefix:
    """What the roles of several inputs of one kind begin with."""

    EARLIER: Final = ROLES.add_family("earlier-", "<i>", "comparisons of earlier rounds, counted from 0")
    TEST_RM: Final = ROLES.add_family("test_rm.", "<size>", "a test RM that scores every curve point")
    POINT: Final = ROLES.add_family("point-", "<i>", "a measured checkpoint of a series, counted from 0", since="0.2.0")
    MEMBER: Final = ROLES.add_family(
        "member.",
        "<seed>",
        "a proxy of another seed that scores every curve point; counted from 0, a part of a reward with cures",
    )


class Split:
    """Disjoint sets of prompts: params are named `<split>_prompts`."""

    TRAIN: Final = SPLITS.add("train", "comparisons and rollouts")
    CURVE: Final = SPLITS.add("curve", "every curve point of every run")
    AUDIT: Final = SPLITS.add("audit", "promotions only")


class Stage:
    """Points of a curve whose responses and weights are saved: values of the tag `mlproject.stage`."""

    START: Final = STAGE_NAMES.add("start", "the first point: the initial policy")
    PEAK: Final = STAGE_NAMES.add("peak", "the point of the highest gold score")
    END: Final = STAGE_NAMES.add("end", "the last point")


STAGES: Final = (Stage.START, Stage.PEAK, Stage.END)


class GoldKind:
    """Values of the tag `mlproject.gold`: what plays gold."""

    TRAINED: Final = GOLD_KINDS.add("trained", "a gold RM that the study trains")
    CHECKPOINT: Final = GOLD_KINDS.add("checkpoint", "a user's reward model")
    FUNCTION: Final = GOLD_KINDS.add("function", "a user's Python function")
    SERVICE: Final = GOLD_KINDS.add("service", "a service over HTTP", since="0.2.0")
    COLUMN: Final = GOLD_KINDS.add("column", "a column of a user's table of scored samples", since="0.2.0")
    TEST_RM: Final = GOLD_KINDS.add("test-rm", "a test RM, where nothing better was to be had")
