"""The saved views are what MLflow's interface reads, and its charts show the paper's figure."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from mlproject.curve import Array
from mlproject.models.sizes import SIZES
from mlproject.names import MlflowTag
from mlproject.optimization import METHODS
from mlproject.plotting.colours import rm_colours
from mlproject.tracking.views import (
    BEST_TWO,
    FORECASTS,
    HUMAN_AND_STATISTICS,
    RUNS_ONE_BY_ONE,
    SAMPLES,
    SEARCH,
    figure_key,
    install_views,
    view_link,
)

BOTH = (METHODS["best-of-n"], METHODS["ppo"])
FIGURE_BEST_OF_N, FIGURE_PPO = map(figure_key, BOTH)

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_START_SECONDS = 120
_BROWSER_SECONDS = 180


class _CountingClient(MlflowClient):
    """Counts the tags it writes."""

    writes = 0

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        self.writes += 1
        super().set_experiment_tag(experiment_id, key, value)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    shutil.copy(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture
def client(database: str) -> _CountingClient:
    return _CountingClient(database)


@pytest.fixture
def experiment(client: MlflowClient, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return client.create_experiment(request.node.name, artifact_location=str(tmp_path))


def _tags(client: MlflowClient, experiment: str) -> dict[str, str]:
    return {
        k: v for k, v in client.get_experiment(experiment).tags.items() if k.startswith(MlflowTag.SHARED_VIEW_PREFIX)
    }


def _read_like_mlflow_3_17(tag: str) -> dict[str, Any]:
    envelope = json.loads(tag)
    assert isinstance(envelope["name"], str) and isinstance(envelope["createdAt"], int)
    scheme, text = envelope["state"].split(";", 1)
    assert scheme == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(text, validate=True)))


@pytest.mark.parametrize(
    ("key", "metrics"),
    [
        (FIGURE_BEST_OF_N, [["curve/gold", "curve/proxy", "curve/peak"]]),
        (FIGURE_PPO, [["curve/gold", "curve/proxy", "curve/peak"]]),
        (RUNS_ONE_BY_ONE, [["curve/gold", "curve/proxy", "curve/peak"]]),
        (FORECASTS, [["curve/gold", "forecast/peak_gold"], ["forecast/p_past_peak"]]),
        (HUMAN_AND_STATISTICS, [["curve/gold", "curve/human"], ["signs/length"], ["signs/repetition"]]),
    ],
)
def test_a_view_decodes_to_lines_over_sqrt_kl_with_every_run_shown(
    client: MlflowClient, experiment: str, key: str, metrics: list[list[str]]
) -> None:
    install_views(client, experiment, BOTH)

    state = _read_like_mlflow_3_17(_tags(client, experiment)[MlflowTag.SHARED_VIEW_PREFIX + key])

    charts = state["compareRunCharts"]
    assert [chart["selectedMetricKeys"] for chart in charts] == metrics
    assert [chart["metricKey"] for chart in charts] == [names[0] for names in metrics]
    assert {(c["xAxisKey"], c["selectedXAxisMetricKey"]) for c in charts} == {("metric", "curve/sqrt_kl")}
    assert {chart["metricSectionId"] for chart in charts} == {
        section["uuid"] for section in state["compareRunSections"] if section["display"]
    }
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert {"params.`rm_size`", "params.`seed`", "metrics.`peak/gold`", "metrics.`law/beta`"} <= set(
        state["selectedColumns"]
    )


def test_runs_are_never_grouped_and_stand_in_the_order_of_their_sizes(client: MlflowClient, experiment: str) -> None:
    sizes = {"1k": 968, "25k": 25408, "3k": 3024, "100k": 100160}
    for name, params in sizes.items():
        client.log_metric(client.create_run(experiment, run_name=name).info.run_id, "rm/params", params)
    install_views(client, experiment, BOTH)
    states = {key: _read_like_mlflow_3_17(tag) for key, tag in _tags(client, experiment).items()}

    assert {state["groupBy"] for state in states.values()} == {None}
    state = states[MlflowTag.SHARED_VIEW_PREFIX + RUNS_ONE_BY_ONE]
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    listed = client.search_runs([experiment], order_by=[order])
    assert [run.info.run_name for run in listed] == ["1k", "3k", "25k", "100k"]


def test_every_view_has_sections_for_alarms_and_the_other_metrics_of_a_curve(
    client: MlflowClient, experiment: str
) -> None:
    install_views(client, experiment, BOTH)

    for tag in _tags(client, experiment).values():
        names = {section["name"] for section in _read_like_mlflow_3_17(tag)["compareRunSections"]}
        assert {"alarms", "curve", "forecast", "law", "peak", "signs"} <= names


def test_samples_open_as_tables_and_every_other_view_as_charts() -> None:
    modes = {key: parse_qs(view_link("", "1", key).split("?")[1])["compareRunsMode"] for key in (SAMPLES, SEARCH)}
    assert modes == {SAMPLES: ["ARTIFACT"], SEARCH: ["CHART"]}


def test_older_interfaces_find_the_state_beside_the_name_within_their_limit(
    client: MlflowClient, experiment: str
) -> None:
    install_views(client, experiment, list(METHODS.values()))

    for tag in _tags(client, experiment).values():
        state = _read_like_mlflow_3_17(tag)
        assert {field: json.loads(tag)[field] for field in state} == state
        assert len(tag) <= 5000, "MLflow 3.10 refuses longer experiment tags"


def test_lists_and_the_search_show_the_coefficients_of_the_methods(client: MlflowClient, experiment: str) -> None:
    install_views(client, experiment, [METHODS[name] for name in ("ppo", "dpo")])
    states = {key: _read_like_mlflow_3_17(tag) for key, tag in _tags(client, experiment).items()}

    def columns(part: str) -> list[str]:
        [state] = [state for key, state in states.items() if key.endswith(part)]
        return [name for name in state["selectedColumns"] if name in ("params.`kl_coef`", "params.`align_beta`")]

    assert columns("-ppo") == ["params.`kl_coef`"] and columns("-dpo") == ["params.`align_beta`"]
    assert columns(SEARCH) == ["params.`kl_coef`", "params.`align_beta`"]
    [search] = [state for key, state in states.items() if key.endswith(SEARCH)]
    drawn = [chart["xaxis"]["key"] for chart in search["compareRunCharts"] if chart["type"] == "SCATTER"]
    assert drawn == ["kl_coef", "align_beta"]


def test_figures_have_the_keys_that_links_name_and_only_methods_that_are_asked_for_have_one(
    client: MlflowClient, experiment: str
) -> None:
    assert (FIGURE_BEST_OF_N, FIGURE_PPO) == ("overoptimization-best-of-n", "overoptimization-ppo")
    views = install_views(client, experiment, BOTH)
    assert list(views) == [
        "Over-optimization, best-of-n",
        "Over-optimization, PPO",
        "Runs of all methods",
        "Search",
        "Samples side by side",
        "Forecasts",
        "Human judgement and text statistics",
    ]
    assert list(install_views(client, experiment, BOTH[1:]))[:2] == ["Over-optimization, PPO", "Runs of all methods"]


@pytest.mark.parametrize(
    ("key", "listed"),
    [
        (FIGURE_PPO, {"ppo", "ppo of old"}),
        (FORECASTS, {"ppo"}),
        (SEARCH, {"ppo"}),
        (RUNS_ONE_BY_ONE, {"ppo", "ppo of old", "bon"}),
    ],
)
def test_the_filter_of_a_view_lists_its_runs(client: MlflowClient, experiment: str, key: str, listed: set[str]) -> None:
    for name, method, p in (("ppo", "ppo", 0.2), ("ppo of old", "ppo", None), ("bon", "best-of-n", None)):
        run_id = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run_id, "method", method)
        if p is not None:
            client.log_metric(run_id, "forecast/p_past_peak", p)
            client.set_tag(run_id, "optuna.study_name", "a search")
    install_views(client, experiment, BOTH)
    state = _read_like_mlflow_3_17(_tags(client, experiment)[MlflowTag.SHARED_VIEW_PREFIX + key])
    assert {run.info.run_name for run in client.search_runs([experiment], state["searchFilter"])} == listed


def test_installing_again_writes_nothing(client: _CountingClient, experiment: str) -> None:
    first = install_views(client, experiment, BOTH)
    tags, writes = _tags(client, experiment), client.writes

    assert install_views(client, experiment, BOTH) == first
    assert client.writes == writes == len(first)
    assert _tags(client, experiment) == tags
    assert set(tags) == {MlflowTag.SHARED_VIEW_PREFIX + key for key in first.values()}


def test_only_a_changed_view_is_set_back_and_other_peoples_views_stay(client: _CountingClient, experiment: str) -> None:
    install_views(client, experiment, BOTH)
    shipped = _tags(client, experiment)
    client.set_experiment_tag(experiment, MlflowTag.SHARED_VIEW_PREFIX + FIGURE_PPO, "{}")
    client.set_experiment_tag(experiment, MlflowTag.SHARED_VIEW_PREFIX + "mine", "{}")
    client.writes = 0

    install_views(client, experiment, BOTH)

    assert client.writes == 1
    assert _tags(client, experiment) == shipped | {MlflowTag.SHARED_VIEW_PREFIX + "mine": "{}"}


@pytest.mark.parametrize("server", ["http://host:5000", "http://host:5000/"])
def test_a_link_names_the_view_and_asks_for_runs_as_charts(server: str) -> None:
    link = view_link(server, "12", "some-key")

    address, query = link.split("?")
    assert address == "http://host:5000/#/experiments/12/runs"
    assert parse_qs(query) == {
        "viewStateShareKey": ["some-key"],
        "compareRunsMode": ["CHART"],
        "workflowType": ["machine_learning"],
    }


def _curve(method: str, rm_size: str, seed: int) -> dict[str, Array]:
    """A hump: best-of-n at the same KLs in every run, PPO at KLs of its own."""
    d = np.linspace(0.0, 2.4, 9) if method == "best-of-n" else np.linspace(0.0, 5.0 + seed / 10, 12)
    beta = {"1k": 0.4, "100k": 0.2}[rm_size] + seed / 20
    gold = d * (1.0 - beta * d)
    return {
        "curve/sqrt_kl": d,
        "curve/gold": gold,
        "curve/proxy": d * (0.9 + seed / 20),
        "curve/human": gold - d / 5,
    }


def _log_policy_run(client: MlflowClient, experiment: str, method: str, rm_size: str, seed: int) -> None:
    run_id = client.create_run(experiment, run_name=f"{method} {rm_size} {seed}").info.run_id
    curve = _curve(method, rm_size, seed)
    metrics = [Metric(name, float(y), 1, step) for name, ys in curve.items() for step, y in enumerate(ys)]
    peak = int(curve["curve/gold"].argmax())
    metrics += [
        Metric("curve/peak", float(curve["curve/gold"][peak]), 1, peak),
        Metric("rm/params", len(rm_size), 1, 0),
    ]
    params = [Param("method", method), Param("rm_size", rm_size), Param("seed", str(seed))]
    client.log_batch(run_id, metrics, params, [RunTag(MlflowTag.RUN_COLOR, rm_colours([rm_size])[rm_size])])
    client.set_terminated(run_id)


@pytest.fixture(scope="module")
def shown(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A running user interface over eight policy runs: its address, and the experiment's id."""
    folder = tmp_path_factory.mktemp("ui")
    client = MlflowClient(database)
    experiment = client.create_experiment("shown", artifact_location=str(folder / "artifacts"))
    for method in ("best-of-n", "ppo"):
        for rm_size in ("1k", "100k"):
            for seed in (0, 1):
                _log_policy_run(client, experiment, method, rm_size, seed)
    install_views(client, experiment, BOTH)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", database, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            _await_health(address, process, folder / "server.log")
            yield address, experiment
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await_health(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(_START_SECONDS):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(1)
    raise AssertionError(log.read_text())


def _page(link: str, profile: Path) -> str:
    """The page as a browser that has never seen the server has it once its scripts have run."""
    assert _CHROMIUM
    command = [_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={profile}", "--window-size=1600,1000"]
    command += ["--virtual-time-budget=60000", "--dump-dom", link]
    return subprocess.run(command, capture_output=True, text=True, timeout=_BROWSER_SECONDS, check=True).stdout


def _drawn_lines(page: str) -> dict[tuple[str, str], tuple[str, Array]]:
    """The style of every line and its corners in pixels, shape (corners, 2); by run or group, and metric.

    Legend and lines stand in the same order. The paler twin of each line, for smoothing, is left out.
    """
    legend = [entry for entry in re.findall(r">([^<>]+) \((curve/\w+)\)<", page) if entry[1] != "curve/peak"]
    paths = [re.findall(r'\b(?:d|style)="([^"]*)"', path) for path in re.findall(r'<path class="js-line"[^>]*>', page)]
    opaque = [(style, corners) for corners, style in paths if "stroke-opacity: 1;" in style and "L" in corners]
    corners = [np.array([p.split(",") for p in d.removeprefix("M").split("L")], dtype=float) for _, d in opaque]
    return dict(zip(legend, zip([style for style, _ in opaque], corners, strict=True), strict=True))


def _largest_deviation(drawn: Array, logged: Array) -> float:
    """In pixels, after the best change of scale; `logged` holds the values that `drawn` stands for."""
    design = np.stack([logged, np.ones_like(logged)], axis=1)
    fit, *_ = np.linalg.lstsq(design, drawn, rcond=None)
    return float(np.abs(design @ fit - drawn).max())


_RUNS = {
    f"{method} {rm_size} {seed}": _curve(method, rm_size, seed)
    for method in ("best-of-n", "ppo")
    for rm_size in ("1k", "100k")
    for seed in (0, 1)
}


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium to open the views with")
def test_the_view_of_the_best_two_draws_exactly_these_two_runs(
    shown: tuple[str, str], client: MlflowClient, tmp_path: Path
) -> None:
    server, experiment = shown
    names = ("ppo 100k 1", "ppo 1k 1")
    ids = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    install_views(client, experiment, BOTH, {BEST_TWO: [ids[name] for name in names]})
    page = _page(view_link(server, experiment, BEST_TWO), tmp_path / "profile")
    assert set(_drawn_lines(page)) == {(name, metric) for name in names for metric in ("curve/gold", "curve/proxy")}


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium to open the views with")
@pytest.mark.parametrize(
    ("key", "method", "dashed"),
    [
        (FIGURE_BEST_OF_N, "best-of-n", "curve/proxy"),
        (FIGURE_PPO, "ppo", "curve/proxy"),
        (RUNS_ONE_BY_ONE, "", "curve/proxy"),
        (HUMAN_AND_STATISTICS, "", "curve/human"),
    ],
    ids=[FIGURE_BEST_OF_N, FIGURE_PPO, RUNS_ONE_BY_ONE, HUMAN_AND_STATISTICS],
)
def test_a_browser_that_follows_the_link_draws_gold_solid_and_its_rival_dashed_over_sqrt_kl(
    shown: tuple[str, str], tmp_path: Path, key: str, method: str, dashed: str
) -> None:
    server, experiment = shown

    page = _page(view_link(server, experiment, key), tmp_path / "profile")

    assert re.search(r'class="xtitle"[^>]*>curve/sqrt_kl<', page), page[-2000:]
    lines, expected = _drawn_lines(page), {name: run for name, run in _RUNS.items() if name.startswith(method)}
    assert set(lines) == {(label, metric) for label in expected for metric in ("curve/gold", dashed)}
    assert {metric for (_, metric), (style, _) in lines.items() if "stroke-dasharray" in style} == {dashed}
    for (label, _), (style, _) in lines.items():
        red, green, blue = bytes.fromhex(rm_colours(SIZES)[label.split(" ")[-2]][1:])
        assert f"rgb({red}, {green}, {blue})" in style
    dots = 2 * len(expected) if dashed == "curve/proxy" else 0  # each has a paler twin too
    assert page.count('class="point"') == dots, "a dot for each peak"

    # Straight stretches lose corners, so the logged curve is read off at the corners that are drawn.
    left = min(corners[:, 0].min() for _, corners in lines.values())
    right = max(corners[:, 0].max() for _, corners in lines.values())
    furthest = max(curve["curve/sqrt_kl"][-1] for curve in expected.values())
    drawn, logged = [], []
    for (label, metric), (_, corners) in lines.items():
        d = (corners[:, 0] - left) / (right - left) * furthest
        drawn.append(corners[:, 1])
        logged.append(np.interp(d, expected[label]["curve/sqrt_kl"], expected[label][metric]))
    assert _largest_deviation(np.concatenate(drawn), np.concatenate(logged)) < 1.0
