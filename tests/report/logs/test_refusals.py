"""What is no curve is refused in one line that names the place: nonsense never passes for a measurement."""

import gzip
import json
import os
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlproject.errors import UserError
from mlproject.report.logs.cells import numbers
from mlproject.report.logs.log import Log

TEXTS = {
    "a row with a field too many": ("kl,gold\n0,0\n1,1,9\n2,2\n", "line 3 has 3 fields, the header 2"),
    "all rows with a field too many": ("kl,gold\n9,0,0\n9,1,1\n9,2,2\n", "line 2 has 3 fields, the header 2"),
    "a row with a field too few": ("kl,gold\n0,0\n1\n2,2\n3,2\n", "line 3 has 1 field, the header 2"),
    "a name twice": ("kl,gold,kl\n0,0,5\n1,1,6\n2,2,7\n", "has 2 columns called kl"),
    "a step twice": ("step,kl,gold,step\n0,0,0,5\n1,1,1,6\n2,2,2,7\n", "has 2 columns called step"),
    "truth values": ("kl,gold\n0,True\n1,False\n2,True\n", "line 2, column gold: 'True' is a truth value"),
    "truth values as KL": ("kl,gold\nfalse,0\ntrue,1\n", "line 2, column kl: 'False' is a truth value"),
    "dates": ("kl,gold\n0,2026-01-01\n1,2026-01-02\n", "line 2, column gold: '2026-01-01' must be a finite number"),
    "a word": ("kl,gold\n0,0\n1,high\n2,2\n", "line 3, column gold: 'high' must be a finite number"),
    "digits with underscores": ("kl,gold\n0,0\n1_000,1\n2,2\n", "line 3, column kl: '1_000' must be"),
    "infinity": ("kl,gold\n0,0\n1,1\ninf,2\n3,2\n", "line 4 (step 2), column kl: inf must be a finite number"),
    "MLflow's infinity": ("kl,gold\n0,0\n1,1.7976931348623157e308\n2,2\n3,1\n", "line 3 (step 1), column gold: 1.79"),
    "an absurd KL": ("kl,gold\n0,0\n1,1\n2e9,2\n", "step 2: a KL of 2e+09 nats per response must be an error"),
    "an absurd gold": ("kl,gold\n0,0\n1,1\n2,3e200\n3,1\n", "gold moves by at most 3e+200 gold_sd"),
    "gold that does not move": ("kl,gold\n0,7\n1,7\n2,7\n3,7\n", "gold moves by at most 0 gold_sd from its start, 7"),
    "an absurd step": ("step,kl,gold\n0,0,0\n1e30,1,1\n2,2,2\n", "line 3, column step: 1e+30 is no step"),
    "an absurd error": ("kl,gold,gold_se\n0,0,0\n1,1,1e9\n2,2,1\n3,2,1\n", "column gold_se contains 1e+09"),
    "an absurd proxy": ("kl,gold,proxy\n0,0,0\n1,1,1e200\n2,2,1\n3,2,1\n", "column proxy holds 1e+200"),
    "names with line breaks": ('"kl\nnats",gold\n0,0\n1,1\n2,2\n', "its columns are kl nats, gold"),
    "sums beyond all floats": ("kl,gold\n0,-1e308\n1,1e308\n2,1e308\n3,1\n", "gold moves by at most inf gold_sd"),
    "no gold": ("kl,gold\n0,\n1,\n2,nan\n", "gold has no value at any step"),
    "no common step": ("step,kl,gold\n0,0,\n1,1,\n2,2,\n8,,1\n9,,1\n", "(steps 0 to 2) and gold (steps 8 to 9)"),
    "several runs": (
        "seed,step,kl,gold\n0,0,0,0\n0,1,1,1\n0,2,2,2\n1,0,0,0\n1,1,1,1\n1,2,2,2\n",
        "holds 2 runs (column seed: 0, 1)",
    ),
    "several named runs": (
        "arm,step,kl,gold\na,0,0,0\na,1,1,1\na,2,2,2\nb,0,0,0\nb,1,1,1\nb,2,2,2\n",
        "holds 2 runs (column arm: a, b)",
    ),
    "only a header": ("kl,gold\n", "kl has no value at any step"),
    "no header": ("\n0,0\n1,1\n", "has no header line"),
    "an open quote": ('kl,gold\n0,0\n1,"1\n2,2\n', "cannot be read (Error tokenizing"),
    "bytes": ("kl,gold\0\n0,0\n", "holds zero bytes"),
    "a comma that may mean two things": ('kl,gold\n"0","1,500"\n"1","2,250"\n', "may be a decimal one or separate"),
    "a KL below 0": ("kl,gold\n0,0\n-4,1\n2,2\n3,2\n", "kl is below 0 at 1 of 4 steps (-4 nats at step 1)"),
    "minus the KL": ("kl,gold\n0,0\n-1,1\n-2,2\n-3,2\n", "Turn its sign round with columns=kl=-kl"),
    "a KL that starts late": ("kl,gold\n1,0\n2,1\n3,2\n", "starts at 1 nats, so the initial policy's gold is unknown"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_table_that_is_no_curve_is_refused_in_one_line(tmp_path, read, case):
    text, message = TEXTS[case]
    path = tmp_path / "run.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read(path, "", gold_sd=None)
    assert "\n" not in str(error.value)
    assert message in str(error.value)


LINES = {
    "not JSON": ('{"kl": 0, "gold": 0}\n{"kl": 1,\n{"kl": 2, "gold": 2}', "line 2 is not JSON"),
    "a list": ('{"kl": 0, "gold": 0}\n[1, 1]\n{"kl": 2, "gold": 2}', "line 2 is a list"),
    "a key twice": ('{"kl": 0, "gold": 0, "kl": 1}\n{"kl": 1, "gold": 1}', "line 1 is not JSON (the key 'kl' is given"),
    "a truth value": ('{"kl": 0, "gold": true}\n{"kl": 1, "gold": false}', "line 1, column gold: 'True' is a truth"),
    "a text": ('{"kl": 0, "gold": "good"}\n{"kl": 1, "gold": 0.5}', "line 1, column gold: 'good' must be"),
    "400 digits": ('{"kl": 0, "gold": 0}\n{"kl": %s, "gold": 1}\n{"kl": 2, "gold": 2}' % ("9" * 400), "line 2"),
    "deep objects": (
        '{"a": ' * 20 + "1" + "}" * 20 + '\n{"kl": 1}',
        "objects within objects, deeper than 8",
    ),
    "deeper ones": ("[" * 10**5 + "\n{}\n{}", "line 1 is not JSON (nested too deeply)"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_log_that_is_no_curve_is_refused_in_one_line(tmp_path, read, case):
    text, message = LINES[case]
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read(path, "", gold_sd=None)
    assert "\n" not in str(error.value)
    assert message in str(error.value)


def missing(folder):
    return folder / "gone.csv", "no such file"


def long_name(folder):
    return "x" * 5000 + ".csv", "no such file"


def fifo(folder):
    os.mkfifo(folder / "pipe.csv")
    return folder / "pipe.csv", "is not a regular file"


def loop(folder):
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    return folder / "loop.csv", "no such file"


def empty_folder(folder):
    return folder, "is a folder without trainer_state.json and without TensorBoard events"


def wandb_file(folder):
    (folder / "run-1.wandb").write_bytes(b":W&B")
    return folder / "run-1.wandb", "Export the history as CSV"


def half_packed(folder):
    (folder / "run.csv.gz").write_bytes(gzip.compress(os.urandom(9000))[:5000])
    return folder / "run.csv.gz", "cannot be read"


def url(folder):
    return "https://somebody:s3cret@example.com/run.csv", "not a URL"


def damaged_events(folder):
    (folder / "events.out.tfevents.1").write_bytes(os.urandom(400))
    return folder, "holds no scalars"


def other_json(folder):
    (folder / "run.json").write_text(json.dumps({"lr": 0.1, "tags": ["a", "b"]}))
    return folder / "run.json", "is a list without a table"


def two_files_with_one_metric(folder):
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("kl,gold\n0,0\n1,1\n2,2\n")
    return f"{folder}/a.csv,{folder}/b.csv", "kl is in a.csv and in b.csv"


@pytest.mark.parametrize(
    "make",
    [missing, long_name, fifo, loop, empty_folder, wandb_file, half_packed, url, damaged_events, other_json,
     two_files_with_one_metric],
)  # fmt: skip
def test_what_is_no_log_is_refused_in_one_line(tmp_path, read, make):
    curve, message = make(tmp_path)
    with pytest.raises(UserError) as error:
        read(curve, "")
    assert "\n" not in str(error.value) and "s3cret" not in str(error.value)
    assert message in str(error.value)


TYPES = {
    "spans of time": pd.to_timedelta([0, 1, 2], unit="us"),
    "times": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]),
    "truth values": [True, False, True],
    "truth values with a gap": pd.array([True, None, False], dtype="boolean"),
    "dates": [date(2026, 1, 1), None, None],
    "date and time": pd.Series([datetime(2026, 1, 1), timedelta(1), 1], dtype=object),
    "complex": [1j, 0j, 1j],
    "lists": [[1.0], [2.0], [3.0]],
    "categories of words": pd.Categorical(["low", "high", "low"]),
}


@pytest.mark.parametrize("case", TYPES)
def test_a_column_of_another_type_is_refused(case):
    log = Log("mine", "a table", pd.DataFrame({"gold": TYPES[case]}))
    with pytest.raises(UserError, match=r"mine: row 1, column gold: .*(must be|is a truth|is a date)"):
        numbers(log, "gold", "mine")


@pytest.mark.parametrize(
    "cells",
    [
        [1, None, 2.5],
        ["1", "", "2.5"],
        ["1,0", "NaN", "2,5"],
        [Decimal("1"), None, "2.5"],
        pd.array([1, None, 2.5], dtype="Float64"),
        pd.Categorical(["1", None, "2.5"]),
        pd.Series(["1e0", pd.NA, "25e-1"], dtype="string"),
    ],
)
def test_numbers_are_numbers_in_whatever_dress_and_a_gap_is_a_gap(cells):
    log = Log("mine", "a table", pd.DataFrame({"gold": cells}))
    np.testing.assert_array_equal(numbers(log, "gold", "mine"), [1.0, np.nan, 2.5])


def test_thousands_with_decimal_commas():
    log = Log("mine", "a table", pd.DataFrame({"gold": ["1.234,5", "-0,25"]}))
    np.testing.assert_array_equal(numbers(log, "gold", "mine"), [1234.5, -0.25])


def test_blank_fields_behind_the_last_column_shift_nothing(tmp_path, read):
    (tmp_path / "run.csv").write_text('"kl",gold\n0,0,\n1,1,,\n\n2,2\n3,1,\n')
    assert read(tmp_path / "run.csv", "", 1.0).table[["kl", "gold"]].to_numpy().tolist() == [
        [0, 0],
        [1, 1],
        [2, 2],
        [3, 1],
    ]
