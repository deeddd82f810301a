"""Laws of over-optimization: functional forms, fits, peaks with intervals, and trends over RM size."""

from mlproject.laws.bootstrap import FitInterval, bootstrap_fit
from mlproject.laws.fits import MIN_D, Fit, compare, fit
from mlproject.laws.forms import FORMS, Form, law_for
from mlproject.laws.trends import Trend, spearman, trend

__all__ = [
    "FORMS",
    "MIN_D",
    "Fit",
    "FitInterval",
    "Form",
    "Trend",
    "bootstrap_fit",
    "compare",
    "fit",
    "law_for",
    "spearman",
    "trend",
]
