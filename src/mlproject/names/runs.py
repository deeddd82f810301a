"""Experiments, kinds, inputs and tags of runs."""

from __future__ import annotations

from typing import Final


class ExperimentSuffix:
    """Suffixes of the option `experiment`: the MLflow experiments that hold the runs."""

    POLICY_RUNS: Final = ""
    MODELS: Final = "/models"
    STUDIES: Final = "/studies"


class Kind:
    """Values of the tag `mlproject.kind`: what a run is."""

    STUDY: Final = "study"
    INITIAL_POLICY: Final = "initial-policy"
    GOLD_RM: Final = "gold-rm"
    COMPARISONS: Final = "comparisons"
    POOL: Final = "pool"
    PROXY_RM: Final = "proxy-rm"
    TEST_RM: Final = "test-rm"
    POLICY_RUN: Final = "policy-run"
    LAW: Final = "law"
    EXPERIMENT: Final = "experiment"
    SEARCH: Final = "search"
    AUDIT: Final = "audit"
    PROMOTION: Final = "promotion"
    FIT: Final = "fit"
    TRAINER_RUN: Final = "trainer-run"
    CHECKPOINT: Final = "checkpoint"


class Role:
    """Keys of the tag `mlproject.inputs`: what an input is to the run that reads it. Part of fingerprints."""

    INITIAL_POLICY: Final = "initial-policy"
    GOLD_RM: Final = "gold-rm"
    COMPARISONS: Final = "comparisons"
    POOL: Final = "pool"
    PROXY_RM: Final = "proxy-rm"
    TEST_RM: Final = "test-rm"
    POLICY_RUN: Final = "policy-run"
    LAW: Final = "law"
    EARLIER: Final = "earlier"
    OPTIMIZED: Final = "optimized"


class RolePrefix:
    """What the roles of several inputs of one kind begin with."""

    EARLIER: Final = "earlier-"
    TEST_RM: Final = "test_rm."
    MEMBER: Final = "member."


class Split:
    """Disjoint sets of prompts."""

    TRAIN: Final = "train"
    CURVE: Final = "curve"
    AUDIT: Final = "audit"


class Stage:
    """Points of a curve whose responses and weights are kept."""

    START: Final = "start"
    PEAK: Final = "peak"
    END: Final = "end"


STAGES: Final = (Stage.START, Stage.PEAK, Stage.END)


class Tag:
    """Tags of runs and of logged models."""

    KIND: Final = "mlproject.kind"
    FINGERPRINT: Final = "mlproject.fingerprint"
    INPUTS: Final = "mlproject.inputs"
    MADE_BY: Final = "mlproject.made_by"
    ENTRY_POINT: Final = "mlproject.entry_point"
    STUDY_FINGERPRINT: Final = "mlproject.study_fingerprint"
    METHOD: Final = "mlproject.method"
    PROXY_RUN_ID: Final = "mlproject.proxy_run_id"
    GOLD: Final = "mlproject.gold"
    COMPLETE: Final = "mlproject.complete"
    VERDICT: Final = "mlproject.verdict"
    STAGE: Final = "mlproject.stage"
    WEIGHTS_SHA256: Final = "mlproject.weights_sha256"
    HOST: Final = "mlproject.host"
    PID: Final = "mlproject.pid"
    PID_STARTED: Final = "mlproject.pid_started"
    PROCESSES: Final = "mlproject.how.processes"
    LAW_FORM: Final = "law/form"
    FORECAST_STOPPED_AT: Final = "forecast/stopped_at"
    KL_BUDGET_STOPPED_AT: Final = "kl_budget.stopped_at"
    GOLD_SE: Final = "gold_se"
    STUDY_NAME: Final = "optuna.study_name"
    TRIAL_NUMBER: Final = "optuna.trial_number"
    BEST_RM_SIZE: Final = "best.rm_size"
    BEST_RUN_ID: Final = "best.run_id"
    PROMOTION_MODEL: Final = "promotion.registered_model"
    PROMOTION_ACTION: Final = "promotion.action"
    PROMOTION_TURN: Final = "promotion.turn"
    PROMOTION_FROM: Final = "promotion.from"
    PROMOTION_TO: Final = "promotion.to"
    PROMOTION_VERDICT: Final = "promotion.verdict"
    PROMOTION_OUTCOME: Final = "promotion.outcome"
    PROMOTION_WHO: Final = "promotion.who"
    PROMOTION_WHY: Final = "promotion.why"
    CANDIDATE_VERSION: Final = "candidate.version"
    CANDIDATE_RM_SIZE: Final = "candidate.rm_size"
    CANDIDATE_SEED: Final = "candidate.seed"


class TagPrefix:
    """What families of tags begin with."""

    VERDICT: Final = "mlproject.verdict."
    HOW: Final = "mlproject.how."
    ALARM: Final = "mlproject.alarm."


class MlflowTag:
    """Tags of MLflow's own that the project writes."""

    NOTE: Final = "mlflow.note.content"
    LOGGED_ARTIFACTS: Final = "mlflow.loggedArtifacts"
    RUN_COLOR: Final = "mlflow.runColor"
    SHARED_VIEW_PREFIX: Final = "mlflow.sharedViewState."


class GoldKind:
    """Values of the tag `mlproject.gold`: what plays gold."""

    TRAINED: Final = "trained"
    CHECKPOINT: Final = "checkpoint"
    FUNCTION: Final = "function"
    TEST_RM: Final = "test-rm"
