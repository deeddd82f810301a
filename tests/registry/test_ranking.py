"""The candidate with the highest peak that passes is selected; those below it are not checked."""

import numpy as np
import pytest

from mlproject.registry.gates import Gate, Gates
from mlproject.registry.ranking import rank_by_peak_gold, select_challenger

ACCURATE = Gate("val_accuracy", 0.7, np.inf, "value", "It is bad.", "Make it better.")


@pytest.fixture
def candidates(evidence):
    return {
        "middle": evidence(height=1.0),
        "highest but inaccurate": evidence(height=2.0, trained={"rm/val_accuracy": 0.6}),
        "low": evidence(height=0.5),
    }


def test_candidates_are_ranked_by_peak_gold(candidates):
    assert rank_by_peak_gold(candidates) == ["highest but inaccurate", "middle", "low"]


def test_the_highest_that_passes_is_selected_and_those_above_it_have_failed(candidates):
    challenger, results = select_challenger(Gates("best-of-n", (ACCURATE,), b""), candidates)
    assert challenger == "middle"
    assert [name for name, checked in results.items() if not all(result.passed for result in checked)] == [
        "highest but inaccurate"
    ]
    assert "low" not in results


def test_if_none_passes_none_is_selected_and_all_are_checked(candidates):
    impossible = Gate("val_accuracy", 0.99, np.inf, "value", "It is bad.", "Make it better.")
    challenger, results = select_challenger(Gates("best-of-n", (impossible,), b""), candidates)
    assert challenger is None
    assert list(results) == rank_by_peak_gold(candidates)
