"""What the tests of logs share: reading a path, and the law of what was read."""

import pytest
from tests.report.logs.planted import ALPHA, BETA, COLUMNS, GOLD_SD

from mlproject.laws import FORMS, fit_form
from mlproject.report.fit import FitRequest


@pytest.fixture
def read():
    """Read a log as `fit` does."""

    def read(curve, columns=COLUMNS, gold_sd=GOLD_SD, **options):
        return FitRequest(str(curve), columns, "best-of-n", gold_sd, **options).load()

    return read


@pytest.fixture
def has_planted_law():
    """Whether the planted law comes back from a log that was read."""

    def has(logged, points=11):
        curve = [(point.sqrt_kl, point.gold) for point in logged.points]
        law = fit_form(FORMS["best-of-n"], *zip(*curve, strict=True))
        assert len(curve) == points
        assert (law.alpha, law.beta) == pytest.approx((ALPHA, BETA), abs=1e-4)
        return True

    return has
