"""Descriptions of the project's experiments, which the tracking UI shows above their runs.

A browser that visits the server for the first time opens an experiment on its (empty) traces, with the first line of
the description above them. So that line is a row of links, to everything that people look for. MLflow's list of
experiments shows the first words as they are written, so these are no link.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
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
    BEST_TWO,
    BEST_TWO_OF_SAMPLES,
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
        methods: methods of the command that runs; those of earlier ones keep their views.
        registered_model: name of the model whose champion is linked.
    """
    installed = client.get_experiment(store.policy_runs).tags
    earlier = [m for m in METHODS.values() if f"{MlflowTag.SHARED_VIEW_PREFIX}{figure_key(m)}" in installed]
    methods = list(dict.fromkeys([*methods, *earlier]))
    newest, comparison = (_newest(client, store, tag) for tag in (Tag.NEWEST_STUDY, Tag.NEWEST_COMPARISON))
    study = newest or comparison
    best_two = {BEST_TWO: newest.get("runs", ()), BEST_TWO_OF_SAMPLES: comparison.get("runs", ())}
    views = install_views(client, store.policy_runs, methods, best_two)
    short = {figure_key(method): method.label for method in _one_of_each_kind(methods)}
    short |= {
        BEST_TWO: "best two",
        BEST_TWO_OF_SAMPLES: "best two of samples",
        RUNS_ONE_BY_ONE: "all runs",
        SEARCH: "search",
        SAMPLES: "samples",
    }
    curves = [_link(short[key], _view(store, key)) for key in views.values() if key in short]
    answer = [_link("recommendation", study["page"]), _link("report", study["report"])] if study else []
    champion = [_link("champion", _champion_page(client, registered_model))]
    every_view = "\n".join(f"- {_link(name, _view(store, key))}" for name, key in views.items())
    runs = {experiment: _link("runs", runs_link(experiment)) for experiment in store.experiments}
    result = "".join(
        f"\n\nNewest {what}: {_link(each['name'], each['page'])}. {each['text']}"
        for what, each in (("study", newest), ("comparison of samples", comparison))
        if each
    )
    texts = {
        store.policy_runs: (
            f"Curves: {_row(curves + answer + champion)}{result}\n\n"
            "Every run is a policy run: one optimization of a policy against one proxy reward model, with a curve of "
            "gold and proxy score over KL. The dot of a run is its own highest gold; the stop that is recommended is "
            f"that of all seeds together.\n\nViews:\n\n{every_view}\n\nWhat they were made from: "
            f"{_link('models', runs_link(store.models))}, {_link('studies', runs_link(store.studies))}."
        ),
        store.models: (
            f"Reward models: {_row([runs[store.models], *champion])}\n\nInitial policies, gold and proxy reward "
            "models, comparisons and pools of samples."
        ),
        store.studies: (
            f"Studies: {_row([runs[store.studies], *answer, *champion])}{result}\n\nOne run for every command, and "
            "the laws, searches, audits and promotions."
        ),
    }
    for experiment_id, text in texts.items():
        if client.get_experiment(experiment_id).tags.get(MlflowTag.NOTE) != text:
            client.set_experiment_tag(experiment_id, MlflowTag.NOTE, text)


def record_newest_study(
    client: MlflowClient,
    store: Store,
    run: Run,
    sentences: Sequence[str],
    runs: Sequence[str] = (),
    is_comparison: bool = False,
) -> None:
    """Keep what `describe_experiments` says of the newest study, or of the newest comparison of samples.

    Args:
        client: of the tracking server.
        store: names the experiments.
        run: of the study; `mlflow run` puts it into another experiment than our own commands do.
        sentences: its recommendation.
        runs: policy runs that a view draws alone, against each other.
        is_comparison: whether it compared reward models on a table of samples, which does not replace a study.
    """
    study = {
        "experiment_id": run.info.experiment_id,
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "sentences": list(sentences),
        "runs": list(runs),
    }
    tag = Tag.NEWEST_COMPARISON if is_comparison else Tag.NEWEST_STUDY
    client.set_experiment_tag(store.studies, tag, strict_json(study))


def describe_study(
    store: Store, run: Run, sentences: Sequence[str], methods: Sequence[Method], best_two: str = ""
) -> str:
    """Description of the run of a study: its recommendation, and links.

    Args:
        store: names the experiments.
        run: of the study.
        sentences: its recommendation.
        methods: methods with a saved view of their own.
        best_two: key of the view of its two best reward models; empty without one.
    """
    place = run.info.experiment_id, run.info.run_id
    files = [_link(name, run_page(*place, name)) for name in (Artifact.REPORT, Artifact.RECOMMENDATION)]
    views = {"best two": best_two} if best_two else {}
    views |= {method.label: figure_key(method) for method in methods}
    views |= {"all runs": RUNS_ONE_BY_ONE, "samples": SAMPLES}
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


def _one_of_each_kind(methods: Sequence[Method]) -> list[Method]:
    """The two methods of a first line, of which MLflow shows little more than a hundred letters."""
    kinds = {method.trains_policy: method for method in reversed(methods)}
    return [kinds[trains] for trains in sorted(kinds)]


def _newest(client: MlflowClient, store: Store, tag: str) -> dict[str, Any]:
    """Name, text, pages and compared runs of the newest study or comparison; empty where there is none."""
    study = json.loads(client.get_experiment(store.studies).tags.get(tag, "{}"))
    if not study:
        return {}
    place = study["experiment_id"], study["run_id"]
    return {
        "name": markdown_text(study["name"]),
        "text": " ".join(map(markdown_quote, study["sentences"])),
        "runs": study.get("runs", []),
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
