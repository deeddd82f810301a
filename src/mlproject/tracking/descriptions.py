"""Descriptions of the project's experiments, which the tracking UI shows above their runs.

A browser that visits the server for the first time opens an experiment on its (empty) traces, with the description
above them: so the description leads on to the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run

from mlproject.names import Alias, MlflowTag
from mlproject.optimization import Method
from mlproject.tracking.store import Store
from mlproject.tracking.views import install_views, view_link

_NEWEST = "\n\n## Newest study\n\n"


def describe_experiments(client: MlflowClient, store: Store, methods: Sequence[Method], registered_model: str) -> None:
    """Write what the experiments hold, with links to every saved view, and keep what was said of the newest study.

    Args:
        client: of the tracking server.
        store: names the experiments.
        methods: methods with a saved view of their own.
        registered_model: name of the model whose champion is linked.
    """
    views = install_views(client, store.policy_runs, methods)
    links = "\n".join(f"- [{name}]({view_link('', store.policy_runs, key)})" for name, key in views.items())
    champion = f"[{registered_model}](/#/models/{registered_model}), alias `{Alias.CHAMPION}`"
    texts = {
        store.policy_runs: (
            f"**[Open the runs]({runs_link(store.policy_runs)})**, or one of the views below. Policy runs: "
            "optimizations of a policy against a proxy reward model, each a curve of gold and proxy score over KL.\n\n"
            f"{links}\n\nStudies and their reports: [runs of studies]({runs_link(store.studies)}). "
            f"Promoted reward model: {champion}."
        ),
        store.models: (
            f"**[Open the runs]({runs_link(store.models)})**: initial policies, gold and proxy reward models, "
            f"comparisons and pools of samples. Promoted reward model: {champion}."
        ),
        store.studies: (
            f"**[Open the runs]({runs_link(store.studies)})**: one for every command (report and recommendation are "
            "artifacts of the runs named *main ...*), and the laws, searches, audits and promotions."
        ),
    }
    for experiment_id, text in texts.items():
        _write(client, experiment_id, text)


def describe_newest_study(client: MlflowClient, store: Store, run: Run, sentences: Sequence[str]) -> None:
    """Add the newest study and its recommendation to the descriptions of policy runs and studies.

    Args:
        client: of the tracking server.
        store: names the experiments.
        run: of the study; `mlflow run` puts it into another experiment than our own commands do.
        sentences: its recommendation.
    """
    link = f"[{run.info.run_name}](/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"
    text = f"{link}: {' '.join(sentences)}"
    for experiment_id in (store.policy_runs, store.studies):
        description = client.get_experiment(experiment_id).tags.get(MlflowTag.NOTE, "").partition(_NEWEST)[0]
        client.set_experiment_tag(experiment_id, MlflowTag.NOTE, f"{description}{_NEWEST}{text}")


def runs_link(experiment_id: str) -> str:
    """The address, on the same server, that opens an experiment on its runs."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def _write(client: MlflowClient, experiment_id: str, text: str) -> None:
    """Set a description and keep its part on the newest study; nothing is written where nothing changes."""
    before = client.get_experiment(experiment_id).tags.get(MlflowTag.NOTE, "")
    _, marker, newest = before.partition(_NEWEST)
    if before != text + marker + newest:
        client.set_experiment_tag(experiment_id, MlflowTag.NOTE, text + marker + newest)
