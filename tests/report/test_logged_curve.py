"""Curves logged elsewhere: read by arbitrary column names, and refused with row and column."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from mlproject.curve import Curve
from mlproject.errors import UserError
from mlproject.laws import FORMS, fit_form
from mlproject.report.fit import FitRequest
from mlproject.report.logged_curve import logged_curve
from mlproject.report.logs.columns import parse_columns
from mlproject.report.logs.join import join
from mlproject.report.logs.log import Log
from mlproject.report.logs.read import read_logs

D = np.linspace(0, 3, 13)
GOLD = 5 + 2 * D * (1.2 - 0.3 * D)  # the law of best-of-n with mean 5 and standard deviation 2


def table(**changes):
    columns = {
        "objective/kl": D**2,
        "eval": GOLD,
        "err": np.full(13, 0.1),
        "rm": 3 * D,
        "iteration": np.arange(13) * 10,
    }
    return pd.DataFrame(columns | changes)


NAMES = {"kl": "objective/kl", "gold": "eval", "gold_se": "err", "proxy": "rm", "step": "iteration"}


def convert(frame, columns=NAMES, **options):
    source = "curve=mine.csv"
    return logged_curve(join([Log("mine.csv", "a table", frame)], columns, source), source, "best-of-n", **options)


def read_table(path):
    [log], _ = read_logs(str(path), f"curve={path}")
    return log.table


def test_columns_are_mapped_and_units_are_converted():
    logged = convert(table(), gold_sd=2.0)
    curve = Curve.from_points(logged.points)
    assert logged.gold_start == 5.0
    np.testing.assert_allclose(curve.kl_S, D**2)
    np.testing.assert_allclose(curve.gold_S, D * (1.2 - 0.3 * D), atol=1e-12)
    np.testing.assert_allclose([point.gold_se for point in logged.points], 0.05)
    np.testing.assert_array_equal(curve.steps_S, np.arange(13) * 10)


def test_rows_may_come_in_any_order():
    shuffled = table().sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(convert(shuffled).table, convert(table()).table)


def test_missing_standard_errors_are_estimated_from_the_scatter_about_the_law():
    rng = np.random.default_rng(0)
    d = np.sqrt(np.linspace(0, 9, 250))
    frame = pd.DataFrame({"kl": d**2, "gold": d * (1.2 - 0.3 * d) + rng.normal(0, 0.05, 250) * (d > 0)})
    logged = convert(frame, {})
    assert logged.se_is_guessed
    assert logged.points[-1].gold_se == pytest.approx(0.05, rel=0.1)
    assert not convert(table()).se_is_guessed


def test_gold_start_is_needed_if_the_curve_starts_later():
    later = table().iloc[3:]
    with pytest.raises(UserError, match="Give gold_start=MEAN"):
        convert(later)
    assert convert(later, gold_start=5.0).points[0].gold == pytest.approx(GOLD[3] - 5)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet"])
def test_every_file_format_reads_the_same(tmp_path, form):
    path = tmp_path / f"mine.{form}"
    if form == "parquet":
        table().to_parquet(path)
    else:
        table().to_csv(path, index=False, sep="," if form == "csv" else "\t")
    read = join([Log("", "", read_table(path))], NAMES, "").numbers
    pd.testing.assert_frame_equal(read, join([Log("", "", table())], NAMES, "").numbers)


BAD_COLUMNS = {
    "no equals sign": ("kl", "name=column"),
    "an unknown name": ("reward=x", "reward must be one of kl, gold"),
    "nothing after it": ("kl=", "name=column"),
    "repeated": ("kl=a,kl=b", "is repeated"),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_an_invalid_mapping_is_refused(case):
    text, message = BAD_COLUMNS[case]
    with pytest.raises(UserError, match=message):
        parse_columns(text)


def test_a_mapping_is_parsed():
    assert parse_columns("kl=objective/kl, gold=eval") == {"kl": "objective/kl", "gold": "eval"}
    assert parse_columns("") == {}


def at(row, value):
    return [value if i == row else x for i, x in enumerate(D**2)]


BAD_TABLES = {
    "a column that is not there": (table(), NAMES | {"kl": "KL"}, ["no column KL for kl", "objective/kl"]),
    "needed and not named": (table(), {"kl": "objective/kl"}, ["no column gold for gold", "columns=gold=COLUMN"]),
    "a word": (table(**{"objective/kl": at(4, "far")}), NAMES, ["row 5", "objective/kl", "'far'"]),
    "an infinity": (table(**{"objective/kl": at(2, np.inf)}), NAMES, ["row 3", "inf"]),
    "a negative KL": (table(**{"objective/kl": at(2, -1.0)}), NAMES, ["step 20", "a KL must be at least 0"]),
    "a negative error": (table(err=np.full(13, -0.1)), NAMES, ["gold_se contains -0.1"]),
    "two points": (table().iloc[:2], NAMES, ["3+ points"]),
    "no point": (table().iloc[:0], NAMES, ["no value at any step"]),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_an_invalid_table_is_refused_in_one_line(case):
    frame, columns, parts = BAD_TABLES[case]
    with pytest.raises(UserError) as error:
        convert(frame, columns)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in [*parts, "curve=mine.csv"]), error.value


@pytest.mark.parametrize("spread", [0.0, -1.0, float("nan")])
def test_a_gold_sd_that_is_not_positive_is_refused(spread):
    with pytest.raises(UserError, match="gold_sd"):
        convert(table(), gold_sd=spread)


BAD_FILES = {
    "no such file": ("gone.csv", None, "no such file"),
    "another kind": ("mine.xlsx", b"", "must be a CSV, TSV, Parquet, JSON"),
    "an empty file": ("mine.csv", b"", "is empty"),
    "no Parquet inside": ("mine.parquet", b"kl,gold\n1,2\n", "cannot be read"),
    "not text": ("mine.csv", b"\xff\xfe\x00\x01\x80", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_an_invalid_file_is_refused_in_one_line(tmp_path, case):
    name, content, message = BAD_FILES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_table(tmp_path / name)
    assert "\n" not in str(error.value)
    assert message in str(error.value)
    assert name in str(error.value)


def many(rows, seed=0):
    """A noisy curve of any number of rows, the first ten at the initial policy."""
    kl = np.concatenate([np.zeros(10), np.sort(np.random.default_rng(seed).uniform(0.01, 9, rows - 10))])
    d = np.sqrt(kl)
    return pd.DataFrame(
        {"kl": kl, "gold": d * (1.2 - 0.3 * d), "gold_se": 0.05 * (kl > 0), "proxy": 2 * d, "step": range(rows)}
    )


def test_many_rows_are_averaged_to_points_that_have_the_same_law_and_that_is_said():
    logged = convert(many(5000), {})
    assert len(logged.points) == 254
    assert "thinned: 5000 rows are averaged to 254 points, neighbours in KL together" in logged.notes
    first, last = logged.points[0], logged.points[-1]
    assert (first.kl, first.gold, first.gold_se) == (0, 0, 0), "the initial policy stays a point of its own"
    assert last.gold_se == pytest.approx(0.05 * np.sqrt(0.4 + 0.6 / 20), rel=0.02)  # errors correlate by 0.4
    curve = Curve.from_points(logged.points)
    law = fit_form(FORMS["best-of-n"], curve.sqrt_kl_S, curve.gold_S)
    assert (law.alpha, law.beta) == pytest.approx((1.2, 0.3), rel=1e-3)
    np.testing.assert_allclose(curve.proxy_S, 2 * curve.sqrt_kl_S, rtol=1e-6)
    assert len(set(curve.steps_S.tolist())) == 254


def test_up_to_254_rows_nothing_is_averaged():
    table = many(254)
    logged = convert(table, {})
    np.testing.assert_array_equal([point.kl for point in logged.points], table.kl)
    assert logged.notes == ()


def test_memory_is_linear_in_the_rows(tmp_path):
    many(20_000).to_csv(tmp_path / "mine.csv", index=False)
    tracemalloc.start()
    logged = FitRequest(str(tmp_path / "mine.csv"), "", "best-of-n").load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(logged.points) == 254
    assert peak < 1000 * 20_000, "a kB a row"
