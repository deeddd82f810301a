"""Names of users: MLflow's own checks take what is made of them, no two become one, and each comes back."""

from __future__ import annotations

import random

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

from mlproject.names.escape import MAX_LENGTH, escape, fit_key, full_names, original_name, unescape
from mlproject.names.metrics import METRICS
from mlproject.names.tags import TAGS

PARTS = ["_", "x", "0041", "003E", "_x0041_", "_xL", ">", ":", "/", "..", ".", "a", "é", "𝔸", "\n", "\ud800", "\0", "%",
         " ", "f" * 32, "(8B)", "long" * 40]  # fmt: skip


def names() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choice(PARTS) for _ in range(rng.randint(1, 8))) for _ in range(5000)]


def test_any_name_becomes_one_that_mlflow_takes_and_comes_back():
    keys: dict[str, str] = {}
    for name in names():
        key = fit_key(name)
        for validate in (_validate_metric_name, _validate_param_name, _validate_tag_name):
            validate(key)
        assert len(key) <= MAX_LENGTH
        assert keys.setdefault(key, name) == name, "two names have become one"
        assert original_name(key, full_names([name])) == name and unescape(escape(name)) == name


def test_a_name_that_mlflow_takes_is_not_changed():
    taken = []
    for name in (*names(), "curve/kl", "alarms/kl-budget", "signs/test_rm.100k", "org/model:v2", "Länge 2", "a_x_b"):
        try:
            _validate_metric_name(name)
        except MlflowException:
            continue
        if len(name) <= MAX_LENGTH and "_x00" not in name and "_xL" not in name and "\n" not in name:
            taken.append(name)
            assert fit_key(name) == name
    assert len(taken) > 100


def test_names_of_the_project_are_not_changed():
    assert all(fit_key(spec.name) == spec.name for table in (METRICS, TAGS) for spec in table if "<" not in spec.name)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("alarms/length > 1.5x", "alarms/length _x003E_ 1.5x"),
        ("signs/test_rm.org/model:v2 (8B)", "signs/test_rm.org/model:v2 _x0028_8B_x0029_"),
        ("alarms//etc/", "alarms_x002F_/etc_x002F_"),
        ("a_x0041_", "a_x005F_x0041_"),
        ("_x0041", "_x005F_x0041"),
        ("a/../b", "a/_x002E_./b"),
    ],
)
def test_examples(name, key):
    assert (fit_key(name), original_name(key)) == (key, name)


def test_a_shortened_name_begins_like_the_whole_one_and_needs_it_to_come_back():
    one, other = "signs/" + "n" * 400 + "1", "signs/" + "n" * 400 + "2"
    assert fit_key(one) != fit_key(other) and fit_key(one).startswith("signs/nnnn")
    with pytest.raises(KeyError):
        original_name(fit_key(one), full_names([other]))
