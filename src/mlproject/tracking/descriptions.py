"""Descriptions of the project's experiments, which the tracking UI shows above their runs.

A browser that visits the server for the first time opens an experiment on its (empty) traces, with the first line of
the description above them. So that line is a row of links, to everything that people look for. MLflow's list of
experiments shows the first words as they are written, so these are no link.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlproject.names import Alias, Artifact, MlflowTag, Tag
from mlproject.names.quoting import markdown_quote, markdown_text
from mlproject.optimization import METHODS, Method
from mlproject.strict_json import strict_json
from mlproject.tracking.store import Store
from mlproject.tracking.views import (
    IN_TRAINING_MODE,
    RUNS_ONE_BY_ONE,
    SAMPLES,
    SEARCH,
    experiment_page,
    figure_key,
    install_views,
    view_link,
)


def describe_experiments(client: MlflowClient, store: Store, methods: Sequence[Method], registered_model: str) -> None:
    """Write what the experiments hold, with links to the saved views, the newest study and the champion.

    Nothing is written where nothing changes.

    Args:
        client: of the tracking server.
        store: names the experiments.
        methods: methods with a saved view of their own.
        registered_model: name of the model whose champion is linked.
    """
    views = install_views(client, store.policy_runs, methods)
    short = {figure_key(method): method.label for method in METHODS.values()}
    short |= {RUNS_ONE_BY_ONE: "all runs", SEARCH: "search", SAMPLES: "samples"}
    curves = [_link(short[key], _view(store, key)) for key in views.values() if key in short]
    newest = _newest_study(client, store)
    study = [_link("recommendation", newest["page"]), _link("report", newest["report"])] if newest else []
    champion = [_link("champion", _champion_page(client, registered_model))]
    every_view = "\n".join(f"- {_link(name, _view(store, key))}" for name, key in views.items())
    runs = {experiment: _link("runs", runs_link(experiment)) for experiment in store.experiments}
    result = f"\n\nNewest study: {_link(newest['name'], newest['page'])}. {newest['text']}" if newest else ""
    texts = {
        store.policy_runs: (
            f"Curves: {_row(curves + study + champion)}{result}\n\n"
            "Every run is a policy run: one optimization of a policy against one proxy reward model, with a curve of "
            f"gold and proxy score over KL.\n\nViews:\n\n{every_view}\n\nWhat they were made from: "
            f"{_link('models', runs_link(store.models))}, {_link('studies', runs_link(store.studies))}."
        ),
        store.models: (
            f"Reward models: {_row([runs[store.models], *champion])}\n\nInitial policies, gold and proxy reward "
            "models, comparisons and pools of samples."
        ),
        store.studies: (
            f"Studies: {_row([runs[store.studies], *study, *champion])}{result}\n\nOne run for every command, and "
            "the laws, searches, audits and promotions."
        ),
    }
    for experiment_id, text in texts.items():
        if client.get_experiment(experiment_id).tags.get(MlflowTag.NOTE) != text:
            client.set_experiment_tag(experiment_id, MlflowTag.NOTE, text)


def record_newest_study(client: MlflowClient, store: Store, run: Run, sentences: Sequence[str]) -> None:
    """Keep what `describe_experiments` says of the newest study.

    Args:
        client: of the tracking server.
        store: names the experiments.
        run: of the study; `mlflow run` puts it into another experiment than our own commands do.
        sentences: its recommendation.
    """
    study = {
        "experiment_id": run.info.experiment_id,
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "sentences": list(sentences),
    }
    client.set_experiment_tag(store.studies, Tag.NEWEST_STUDY, strict_json(study))


def describe_study(store: Store, run: Run, sentences: Sequence[str], methods: Sequence[Method]) -> str:
    """Description of the run of a study: its recommendation, and links.

    Args:
        store: names the experiments.
        run: of the study.
        sentences: its recommendation.
        methods: methods with a saved view of their own.
    """
    place = run.info.experiment_id, run.info.run_id
    files = [_link(name, run_page(*place, name)) for name in (Artifact.REPORT, Artifact.RECOMMENDATION)]
    views = {method.label: figure_key(method) for method in methods} | {"all runs": RUNS_ONE_BY_ONE, "samples": SAMPLES}
    curves = [_link(name, _view(store, key)) for name, key in views.items()]
    first, *others = map(markdown_quote, sentences)
    parts = [f"**{first}**", _row(files + curves), *others]
    return "\n\n".join(parts)


def describe_policy_run(experiment_id: str, run_id: str, result: str, figure: str) -> str:
    """Description of a policy run: its result, its curve as a picture, and where it lies beside others.

    Args:
        experiment_id, run_id: of the run.
        result: one sentence.
        figure: artifact with the picture.
    """
    views = {"all runs over sqrt(KL)": RUNS_ONE_BY_ONE, "samples side by side": SAMPLES}
    links = [_link(name, view_link("", experiment_id, key)) for name, key in views.items()]
    return f"**{markdown_quote(result)}**\n\n{artifact_image(run_id, figure)}\n\nCompare with {_row(links)}"


def artifact_image(run_id: str, artifact: str) -> str:
    """An image in a description; MLflow shows those that its server has, and drops images that the text holds."""
    return f"![{artifact}](get-artifact?{urlencode({'path': artifact, 'run_uuid': run_id})})"


def runs_link(experiment_id: str) -> str:
    """The address, within the server, that opens an experiment on its runs."""
    return f"{experiment_page(experiment_id)}?{urlencode(IN_TRAINING_MODE)}"


def run_page(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The address, within the server, of a run, or of the page that shows one of its artifacts."""
    page = f"{experiment_page(experiment_id)}/{quote(run_id, safe='')}"
    return f"{page}{f'/artifacts/{quote(artifact)}' if artifact else ''}?{urlencode(IN_TRAINING_MODE)}"


def _newest_study(client: MlflowClient, store: Store) -> dict[str, str]:
    """Name, text and pages of the newest study; empty where there is none."""
    study = json.loads(client.get_experiment(store.studies).tags.get(Tag.NEWEST_STUDY, "{}"))
    if not study:
        return {}
    place = study["experiment_id"], study["run_id"]
    return {
        "name": markdown_text(study["name"]),
        "text": " ".join(map(markdown_quote, study["sentences"])),
        "page": run_page(*place),
        "report": run_page(*place, Artifact.REPORT),
    }


def _champion_page(client: MlflowClient, registered_model: str) -> str:
    """The page with the champion's card, or that of the model while no version is champion."""
    page = f"#/models/{quote(registered_model, safe='')}"
    try:
        version = client.get_model_version_by_alias(registered_model, Alias.CHAMPION).version
    except MlflowException:
        return page
    return f"{page}/versions/{version}"


def _view(store: Store, key: str) -> str:
    return view_link("", store.policy_runs, key)


def _link(text: str, address: str) -> str:
    return f"[{text}]({address})"


def _row(links: Sequence[str]) -> str:
    return " · ".join(links)
