"""Every kind of log, damaged at random: it is read, or refused in one line."""

import random
import warnings

import numpy as np
import pytest
from tests.report.logs.test_kinds import KINDS, events

from mlproject.errors import UserError

PIECES = [b",", b";", b"\n", b'"', b"{", b"}", b"[", b"\0", b"\xff", b"nan", b"true", b"-", b"9" * 320, b"1e308", b"kl"]
MUTATIONS = 12


def damage(content, rng):
    """Replace, remove or insert something at one to three places, or cut the end."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        kind = rng.choice(["replace", "insert", "insert", "remove", "cut"])
        length = 0 if kind == "insert" else rng.randint(1, 20)
        piece = rng.choice(PIECES) if kind in ("replace", "insert") else b""
        content = content[:at] + piece + (b"" if kind == "cut" else content[at + length :])
    return content


def tensorboard_events(folder):
    return events(folder, "values")


@pytest.mark.parametrize("write", [*KINDS, tensorboard_events], ids=lambda write: write.__name__)
def test_a_damaged_log_is_read_or_refused_in_one_line(tmp_path, read, write):
    rng = random.Random(0)
    columns = "kl=kl,gold=gold" if write not in KINDS else "kl=objective/kl,gold=eval/gold"
    curve = write(tmp_path)
    files = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    for _ in range(MUTATIONS):
        for path, content in files.items():
            path.write_bytes(damage(content, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                logged = read(curve, columns)
            except UserError as refusal:
                assert "\n" not in str(refusal)
                continue
        numbers = [(point.kl, point.gold, point.gold_se) for point in logged.points]
        assert np.isfinite(numbers).all() and all("\n" not in note for note in logged.notes)
