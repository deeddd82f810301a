"""Imports that version 0.1 documented still work, with a warning that names the new place."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator

import optuna
import pytest

MOVED = {
    "mlproject.monitor": (
        "mlproject.monitoring.monitor",
        {
            "OveroptimizationMonitor": "OveroptimizationMonitor", "AlarmRule": "AlarmRule", "on_signal": "on_signal",
            "over_kl_budget": "over_kl_budget", "Reading": "MonitorReading", "Raised": "Alarm",
            "SIGN_RULES": "DEFAULT_RULES",
        },
    ),
    "mlproject.warning": (
        "mlproject.monitoring",
        {"DEFAULT_WARNINGS": "DEFAULT_ALARMS", "SIGNALS": "SIGNALS", "SignalRule": "SignalRule", "Signal": "Signal"},
    ),
    "mlproject.warning.signals": ("mlproject.monitoring.signals", {"SIGNALS": "SIGNALS", "Signal": "Signal"}),
    "mlproject.optimization.policy_watch": (
        "mlproject.monitoring.policy_evaluator", {"PolicyWatch": "PolicyEvaluator", "as_scorer": "as_scorer"},
    ),
    "mlproject.optimization.advantages": (
        "mlproject.optimization.on_policy.gae", {"whiten": "whiten", "shaped_rewards": "shaped_rewards"},
    ),
    "mlproject.models.reader": (
        "mlproject.models.prompt_format", {"Reader": "PromptFormat", "Responses": "Responses"},
    ),
    "mlproject.models.build": (
        "mlproject.models.init", {"new_policy": "new_policy", "new_reward_model": "new_reward_model"},
    ),
    "mlproject.models.policy": ("mlproject.models.sft", {"train_policy": "train_sft"}),
    "mlproject.tracking.law_pruner": ("mlproject.search.law_pruner", {"report": "report_point"}),
}  # fmt: skip
UNMOVED = {
    "mlproject.curve": ("CurvePoint", "Curve"),
    "mlproject.laws": ("Forecast", "Prior"),
    "mlproject.integrations.trainer_callback": ("OveroptimizationCallback",),
    "mlproject.models.live_policy": ("as_reference",),
    "mlproject.models.generation": ("sample",),
    "mlproject.models.reward_model": ("RewardModel",),
    "mlproject.models.sizes": ("SIZES",),
    "mlproject.models.training": ("Schedule",),
    "mlproject.preferences.bradley_terry": ("train_reward_model",),
    "mlproject.preferences.comparisons": ("encode_comparisons", "label_comparisons"),
    "mlproject.worlds": ("load_world",),
}


@pytest.fixture(autouse=True)
def first_import() -> Iterator[None]:
    """Each test imports an old place as if for the first time."""
    for name in MOVED:
        sys.modules.pop(name, None)
    yield
    for name in MOVED:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("old", MOVED)
def test_an_import_that_was_documented_works_and_names_the_new_place(old: str) -> None:
    new, names = MOVED[old]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(f"import {old}", "notebook.py", "exec"))
    assert {each.category for each in caught} == {DeprecationWarning}
    assert {each.filename for each in caught} == {"notebook.py"}  # the warning points at the line that imports it
    assert f"{old} has moved to {new}" in [str(each.message) for each in caught]
    module = sys.modules[old]
    for name, new_name in names.items():
        assert getattr(module, name) is getattr(importlib.import_module(new), new_name)


@pytest.mark.parametrize("name", UNMOVED)
def test_an_import_that_has_not_moved_warns_of_nothing(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        module = importlib.import_module(name)
    assert all(hasattr(module, each) for each in UNMOVED[name])


def test_a_study_that_was_written_for_the_old_pruner_still_runs() -> None:
    with pytest.warns(DeprecationWarning):
        from mlproject.tracking.law_pruner import LawPruner, Verdict, report
    pruner = LawPruner(budget=8)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    trial, kinds = study.ask(), []
    gold_by_kl = {0.0: 0.0, 0.5: 0.38, 1.0: 0.5, 2.0: 0.59, 4.0: 0.65, 8.0: 0.62, 16.0: 0.45, 24.0: 0.28}
    for step, (kl, gold) in enumerate(gold_by_kl.items()):
        report(trial, step, gold, 0.03, kl)
        kinds.append(pruner.verdict(study, trial).kind)
    assert kinds[0] is Verdict.GO_ON
    assert kinds[-1] is Verdict.PEAK_IS_BEHIND


@pytest.mark.parametrize(
    ("old", "new"), [("look_up", "inspect_checkpoint"), ("look_up_reward_model", "inspect_reward_model")]
)
def test_functions_that_left_a_module_are_found_in_their_new_one(old: str, new: str) -> None:
    checkpoints = importlib.import_module("mlproject.models.checkpoints")
    inspection = importlib.import_module("mlproject.models.inspection")
    with pytest.warns(DeprecationWarning, match=f"is now mlproject.models.inspection.{new}"):
        assert getattr(checkpoints, old) is getattr(inspection, new)
