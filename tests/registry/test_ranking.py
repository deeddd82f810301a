"""The highest peak that passes is chosen; what it outranks is not asked."""

import numpy as np
import pytest

from mlproject.registry.gates import Gate, Gates
from mlproject.registry.ranking import choose, ranked

ACCURATE = Gate("val_accuracy", 0.7, np.inf, "value", "It is bad.", "Make it better.")


@pytest.fixture
def candidates(evidence):
    return {
        "middle": evidence(height=1.0),
        "highest but inaccurate": evidence(height=2.0, trained={"rm/val_accuracy": 0.6}),
        "low": evidence(height=0.5),
    }


def test_candidates_are_ranked_by_peak_gold(candidates):
    assert ranked(candidates) == ["highest but inaccurate", "middle", "low"]


def test_the_highest_that_passes_is_chosen_and_those_above_it_are_told_why_not(candidates):
    chosen, verdicts = choose(Gates("best-of-n", (ACCURATE,), b""), candidates)
    assert chosen == "middle"
    assert [name for name, found in verdicts.items() if not all(v.holds for v in found)] == ["highest but inaccurate"]
    assert "low" not in verdicts


def test_where_none_passes_none_is_chosen_and_all_are_told_why(candidates):
    impossible = Gate("val_accuracy", 0.99, np.inf, "value", "It is bad.", "Make it better.")
    chosen, verdicts = choose(Gates("best-of-n", (impossible,), b""), candidates)
    assert chosen is None
    assert list(verdicts) == ranked(candidates)
