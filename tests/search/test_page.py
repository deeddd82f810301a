"""The page of a search shows the command, the best curve and every trial, and needs nothing but itself."""

from __future__ import annotations

import base64
import re

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from mlproject.config.schema import load_config
from mlproject.curve import Curve
from mlproject.names import TrialAttribute
from mlproject.plotting.colours import pale, rm_colours
from mlproject.search.figures import curves_figure, history_figure, peaks_figure
from mlproject.search.page import render_page
from mlproject.search.space import Space, coefficient_of

GRID = {"search_kl_coefs": "0,0.01,0.1", "search_rm_sizes": "1k,3k"}
CELLS = [(0, 1), (1, 0), (2, 1), (0, 0), (1, 1)]


@pytest.fixture(scope="module")
def config():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return load_config("laptop", GRID)


@pytest.fixture
def study(config):
    study = optuna.create_study(direction="maximize", study_name="night <1>")
    for number, (kl_coef, rm_size) in enumerate(CELLS):
        study.add_trial(
            optuna.create_trial(
                state=TrialState.PRUNED if number == 1 else TrialState.COMPLETE,
                params={"kl_coef_index": kl_coef, "rm_size_index": rm_size},
                distributions=Space.of(config).distributions(),
                value=None if number == 1 else 1.0 + number / 10,
                intermediate_values={0: 0.0, 1: 0.5, 2: 0.4},
                user_attrs={
                    TrialAttribute.RM_PARAMS: (968, 3024)[rm_size],
                    TrialAttribute.CURVE_KL: {"0": 0.0, "1": 1.0, "2": 4.0},
                },
            )
        )
    return study


@pytest.fixture
def curve():
    d_S = np.linspace(0, 3, 8)
    gold_SP = (d_S * (1.2 - 0.5 * np.log(np.maximum(d_S, 1e-9))))[:, None] + np.zeros((1, 4))
    return Curve(np.arange(8), d_S**2, 1.5 * d_S[:, None] + 0 * gold_SP, gold_SP)


def row(number, **changes):
    values = {
        "number": number, "state": "COMPLETE", "rm_size": "3k", "kl_coef": 0.01, "peak_gold": 1.25,
        "peak_gold_se": 0.02, "peak_kl": 4.5, "updates": 60, "run_id": f"run{number}", "reused": False, "verdict": "",
        "predicted_peak_gold": "", "predicted_upper": "", "best_peak_gold": "", "cost": "",
    }  # fmt: skip
    return values | changes


def test_the_page_has_the_command_the_curve_and_a_row_for_every_trial(study, config, curve):
    pruned = row(
        1, state="PRUNED", verdict="cannot win", predicted_peak_gold=0.71, predicted_upper=0.93, best_peak_gold=1.25
    )
    html = render_page(
        study, config, [row(0), pruned, row(2, reused=True)], curve, "mlflow run . -e ppo", ["Use <25k>.", "Stop."]
    )
    assert "<h1>Search night &lt;1&gt;</h1>" in html
    assert "<pre>mlflow run . -e ppo</pre>" in html
    picture = html.split("data:image/png;base64,")[1].split('"')[0]
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert "<td>cannot win</td><td>3k</td><td>0.01</td><td>60</td><td>0.710</td><td>0.930</td><td>1.250</td>" in html
    for cell in ("run0</td>", "run1</td>", "run2 (reused)</td>"):
        assert cell in html
    assert "<script" not in html and not re.findall(r'(?:src|href)="http', html)
    assert len(html) < 1_000_000


def test_the_page_says_run_date_command_and_commit(study, config, curve):
    facts = {"Run": "abc", "Date": "2026-11-26 08:00 UTC", "Command": "mlproject search --study=<x>", "Commit": "f00"}
    html = render_page(study, config, [row(0)], curve, "", ["Use <25k>."], facts)
    for text in ("<dd>abc</dd>", "<dd>2026-11-26 08:00 UTC</dd>", "--study=&lt;x&gt;</dd>", "<dd>f00</dd>"):
        assert text in html


def test_without_a_complete_trial_the_page_says_so(config):
    study = optuna.create_study(direction="maximize", study_name="empty")
    html = render_page(study, config, [], None, "", ["Use <25k>.", "Stop."])
    assert "there is no final policy to train" in html
    assert "<p>None.</p>" in html


@pytest.fixture
def rows():
    """Of the trials of the study, which lie in an order of their own; numbers as `read_trials` gives them."""
    sizes = ["3k", "1k", "3k", "1k", "3k"]
    states = ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "COMPLETE"]
    return [
        row(float(i), rm_size=size, state=state, kl_coef=0.1 * (i % 2), peak_gold=1.0 + i / 10)
        for i, (size, state) in enumerate(zip(sizes, states, strict=True))
    ]


COLOURS = rm_colours(["1k", "3k"])


def crosses(figure):
    """Colour and height of every cross."""
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    return [(line.get_color(), float(y)) for line in lines for y in line.get_ydata()]


def test_pruned_trials_are_crosses_in_the_colour_of_their_size(rows):
    for figure in (peaks_figure(rows, COLOURS, coefficient_of(rows)), history_figure(rows, COLOURS)):
        assert crosses(figure) == [(COLOURS["1k"], pytest.approx(1.1))]
        texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
        assert texts[:4] == ["RM size:", "1k", "3k", "pruned"]


def test_the_best_so_far_is_that_of_whole_trials(rows):
    rows[1]["peak_gold"] = 9.0
    steps = [line for line in history_figure(rows, COLOURS).axes[0].get_lines() if line.get_drawstyle() == "steps-post"]
    assert [line.get_ydata().tolist() for line in steps] == [pytest.approx([1.0, 1.2, 1.3, 1.4])]


def test_curves_of_trials_lie_over_sqrt_kl_with_their_peak_and_pruned_ones_are_pale(study, rows):
    figure = curves_figure(list(zip(study.trials, rows, strict=True)), COLOURS)
    lines = figure.axes[0].get_lines()
    whole = [line for line in lines if line.get_color() in COLOURS.values() and len(line.get_xdata()) == 3]
    assert [line.get_xdata().tolist() for line in whole] == [[0.0, 1.0, 2.0]] * 4
    assert [line.get_ydata().tolist() for line in whole] == [[0.0, 0.5, 0.4]] * 4
    peaks = [(float(each.get_xdata()[0]), float(each.get_ydata()[0])) for each in lines if each.get_marker() == "o"]
    assert peaks == [(1.0, 0.5)] * 4
    assert [line.get_color() for line in lines if line.get_linestyle() == "--"] == [pale(COLOURS["1k"])]
    assert crosses(figure) == [(COLOURS["1k"], 0.4)]


def test_two_objectives_are_shown_as_a_pareto_front(config, curve):
    two = config.replace(search_objective="peak-and-updates")
    study = optuna.create_study(directions=["maximize", "minimize"], study_name="two")
    study.add_trial(
        optuna.create_trial(
            params={"kl_coef_index": 0, "rm_size_index": 0},
            distributions=Space.of(config).distributions(),
            values=[1.0, 20.0],
        )
    )
    html = render_page(study, two, [row(0, cost=20.0)], curve, "", ["Use <25k>.", "Stop."])
    assert "<h2>Peak gold against its cost</h2>" in html
    assert "Peak gold by trial" not in html


def test_what_the_search_found_comes_first_and_is_escaped(study, config, curve):
    page = render_page(study, config, [row(0)], curve, "mlflow run .", ["Use <25k>.", "Stop."])
    body = page[page.index("<body>") :]
    assert body.index("<b>Use &lt;25k&gt;.</b>") < body.index("<p>Stop.</p>") < body.index("Train the final policy")
