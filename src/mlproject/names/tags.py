"""Tags of runs and of logged models."""

from __future__ import annotations

from typing import Final

from mlproject.names.table import NameTable

TAGS: Final = NameTable()
MLFLOW_TAGS: Final = NameTable()

_OPENED = "every run, when it is opened"
_STEP = "every run but studies, when it is opened"
_POLICY = "policy runs, when they are opened"
_STOPPED = "policy runs ended before their budget"
_PROMOTION = "promotions"


class Tag:
    """Tags of runs and of logged models."""

    KIND: Final = TAGS.add("mlproject.kind", "one of the kinds above", "every run and logged model, when it is opened")
    FINGERPRINT: Final = TAGS.add(
        "mlproject.fingerprint",
        "hash of kind, version, params and the inputs' fingerprints: equal ones are reused",
        _STEP,
    )
    INPUTS: Final = TAGS.add("mlproject.inputs", "JSON: run id of every input by its role", _STEP)
    ARTIFACTS: Final = TAGS.add(
        "mlproject.artifacts",
        "JSON: sizes in bytes of the files that the run left, by path; a run that has lost one is made anew",
        "every run but studies, at the end",
        since="0.2.0",
    )
    MADE_BY: Final = TAGS.add("mlproject.made_by", "run id of the study or search that first asked for the run", _STEP)
    ENTRY_POINT: Final = TAGS.add("mlproject.entry_point", "the command", "studies")
    COMMAND: Final = TAGS.add(
        "mlproject.command", "the command line, as it can be given again", "studies", since="0.2.0"
    )
    COMMIT: Final = TAGS.add(
        "mlproject.commit",
        "commit of the code, with `-dirty` where files differ; missing where it is no git checkout",
        "studies",
        since="0.2.0",
    )
    STUDY_FINGERPRINT: Final = TAGS.add(
        "mlproject.study_fingerprint",
        "hash of the report's version and all members: equal studies share a report",
        "studies that wrote a report",
    )
    RECOMMENDED_RM: Final = TAGS.add(
        "mlproject.recommended.rm",
        "the recommended reward model; none where nothing is recommended",
        "studies of `main`, `compare`",
        since="0.2.0",
    )
    RECOMMENDED_METHOD: Final = TAGS.add(
        "mlproject.recommended.method",
        "the method of the recommendation; none where nothing is recommended",
        "studies of `main`, `compare`",
        since="0.2.0",
    )
    NEWEST_STUDY: Final = TAGS.add(
        "mlflow.mlproject.newestStudy",
        "JSON: the newest study of `main`, which the experiments' descriptions lead to: its run, and its sentences; "
        "so named because MLflow's list of experiments hides tags that begin with `mlflow.`",
        "the experiment `<experiment>/studies`",
        since="0.2.0",
    )
    NEWEST_COMPARISON: Final = TAGS.add(
        "mlflow.mlproject.newestComparison",
        "JSON: the same of `compare`",
        "the experiment `<experiment>/studies`",
        since="0.2.0",
    )
    METHOD: Final = TAGS.add("mlproject.method", "`best-of-n`, `ppo`, ...", "policy runs, audits, trainer runs")
    PROXY_RUN_ID: Final = TAGS.add(
        "mlproject.proxy_run_id", "run id of the proxy RM", "runs with an input `proxy-rm`, registered versions"
    )
    READ_AS: Final = TAGS.add(
        "mlproject.read_as",
        "kind of the user's file, what was taken as chosen, and the counts of what was read and left out",
        "imported initial policies and comparisons",
        since="0.2.0",
    )
    GOLD: Final = TAGS.add(
        "mlproject.gold", "what plays gold, see below", "gold RMs, policy runs, scored samples and their laws"
    )
    SCORES_NOTE: Final = TAGS.add(
        "mlproject.scores_note",
        "what is odd about the raw scores of a function or a service: all between 0 and 1",
        "imported proxy RMs, gold RMs",
        since="0.2.0",
    )
    REWARD: Final = TAGS.add(
        "mlproject.reward",
        "the cures that the optimized reward has, in their order: `worst-case+par`",
        "policy runs against a reward with cures",
        since="0.2.0",
    )
    COMPLETE: Final = TAGS.add(
        "mlproject.complete", "`false`: ended on purpose before its budget; not reused as a whole curve", _STOPPED
    )
    PEAK_STEP: Final = TAGS.add(
        "mlproject.peak_step",
        "step of the policy that is kept as the peak, or of the checkpoint with the highest gold",
        "trainer runs with `keep_peak`, policy runs of `measure`",
        since="0.2.0",
    )
    PEAK_FOLDER: Final = TAGS.add(
        "mlproject.peak_folder", "folder that holds it", "trainer runs with `keep_peak`", since="0.2.0"
    )
    VERDICT: Final = TAGS.add("mlproject.verdict", "why the search ended the run", "policy runs ended by a search")
    STAGE: Final = TAGS.add("mlproject.stage", "`peak` or `end`", "logged models")
    WEIGHTS_SHA256: Final = TAGS.add(
        "mlproject.weights_sha256", "digest of the weights", "gold RMs, proxy RMs, test RMs"
    )
    HOST: Final = TAGS.add("mlproject.host", "machine of the process that writes the run", _OPENED)
    PID: Final = TAGS.add("mlproject.pid", "its process id", _OPENED)
    PID_SPACE: Final = TAGS.add(
        "mlproject.pid_space",
        "whose process ids these are: digest of the machine's last start and of the container in it",
        _OPENED,
        since="0.2.0",
    )
    LEASE: Final = TAGS.add(
        "mlproject.lease",
        "JSON: how often and when that process has renewed the run's lease, and the lease's term in seconds",
        "every run, when it is opened, and every 20 seconds until its end",
        since="0.2.0",
    )
    PID_STARTED: Final = TAGS.add("mlproject.pid_started", "when that process started, seconds since 1970", _OPENED)
    PROCESSES: Final = TAGS.add(
        "mlproject.how.processes", "processes that shared the work", "runs executed by several processes (torchrun)"
    )
    LAW_FORM: Final = TAGS.add(
        "law/form", "form of the fitted law, `best-of-n` or `rl`", "policy runs and fits, at the end"
    )
    FORECAST_STOPPED_AT: Final = TAGS.add("forecast/stopped_at", "step at which the forecast ended the run", _STOPPED)
    KL_BUDGET_STOPPED_AT: Final = TAGS.add(
        "kl_budget.stopped_at", "step at which the KL budget ended the run", _STOPPED
    )
    GOLD_SE: Final = TAGS.add("gold_se", "`given` with the curve, or `guessed` from its scatter", "fits")
    STUDY_NAME: Final = TAGS.add("optuna.study_name", "the Optuna study", "searches and their policy runs")
    TRIAL_NUMBER: Final = TAGS.add(
        "optuna.trial_number", "the trial that the run was first made for", "policy runs of a search"
    )
    BEST_RM_SIZE: Final = TAGS.add("best.rm_size", "RM size of the best trial", "searches, at the end")
    BEST_RUN_ID: Final = TAGS.add("best.run_id", "policy run of the best trial", "searches, at the end")
    PROMOTION_MODEL: Final = TAGS.add("promotion.registered_model", "the registered model", _PROMOTION)
    PROMOTION_ACTION: Final = TAGS.add("promotion.action", "`promote` or `rollback`", _PROMOTION)
    PROMOTION_TURN: Final = TAGS.add("promotion.turn", "ticket of the lock: counts promotions of the model", _PROMOTION)
    PROMOTION_FROM: Final = TAGS.add(
        "promotion.from", "version that loses the alias, written before it moves", _PROMOTION
    )
    PROMOTION_TO: Final = TAGS.add("promotion.to", "version that gets the alias, written before it moves", _PROMOTION)
    PROMOTION_VERDICT: Final = TAGS.add("promotion.verdict", "`passed` or `refused`: what the gates say", _PROMOTION)
    PROMOTION_OUTCOME: Final = TAGS.add("promotion.outcome", "what became of it, written last", _PROMOTION)
    PROMOTION_WHO: Final = TAGS.add("promotion.who", "`user@host` that asked", _PROMOTION)
    PROMOTION_PROPOSED: Final = TAGS.add(
        "promotion.proposed",
        "why this reward model was proposed, and how that goes together with the recommendation",
        "promotions",
        since="0.2.0",
    )
    PROMOTION_NOT_ANSWERED: Final = TAGS.add(
        "promotion.not_answered",
        "the gates that a table of samples, or a champion that cannot be measured, leaves unanswered, with the reasons",
        "promotions",
        since="0.2.0",
    )
    PROMOTION_WHY: Final = TAGS.add("promotion.why", "the reason that was given", "rollbacks")
    CANDIDATE_VERSION: Final = TAGS.add("candidate.version", "version of the candidate; empty in a dry run", _PROMOTION)
    CANDIDATE_RM_SIZE: Final = TAGS.add("candidate.rm_size", "RM size of the candidate", _PROMOTION)
    CANDIDATE_SEED: Final = TAGS.add("candidate.seed", "seed of the candidate", _PROMOTION)


class TagPrefix:
    """What families of tags begin with."""

    VERDICT: Final = TAGS.add_family(
        "mlproject.verdict.",
        "<figure>",
        "what the verdict rests on: predicted and best peak gold, ...",
        "with `mlproject.verdict`",
    )
    HOW: Final = TAGS.add_family(
        "mlproject.how.",
        "<option>",
        "options that change only the last digits of results: micro-batches, ...",
        "runs that train, where an option differs from its default",
    )
    ALARM: Final = TAGS.add_family(
        "mlproject.alarm.", "<alarm>", "step and reason of the alarm's first raise", "trainer runs"
    )
    FULL_NAME: Final = TAGS.add_family(
        "mlproject.full_name.",
        "<digest>",
        "the escaped name that a shortened key stands for, see below",
        "where a name of a user's is too long for MLflow",
        since="0.2.0",
    )


class MlflowTag:
    """Tags of MLflow's own that the project writes."""

    NOTE: Final = MLFLOW_TAGS.add(
        "mlflow.note.content",
        "the description that the interface shows: gate results; recommendation and links; the result of a policy run "
        "with its figure; what an experiment holds",
        "promotions, studies of `main`, `compare`, policy runs, experiments",
    )
    LOGGED_ARTIFACTS: Final = MLFLOW_TAGS.add(
        "mlflow.loggedArtifacts", "which artifacts are tables", "policy runs, promotions"
    )
    RUN_COLOR: Final = MLFLOW_TAGS.add(
        "mlflow.runColor", "a colour for each RM size, pale where a search pruned the run", _POLICY
    )
    SHARED_VIEW_PREFIX: Final = MLFLOW_TAGS.add_family(
        "mlflow.sharedViewState.", "<view>", "the saved views", "the experiment of policy runs"
    )
