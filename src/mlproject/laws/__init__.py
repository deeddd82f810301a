"""Laws of over-optimization: functional forms, fits, peaks with intervals, trends over RM size, forecasts."""

from mlproject.laws.bootstrap import FitInterval, bootstrap_fit, interval_95, resampled_means
from mlproject.laws.curve_fit import fit
from mlproject.laws.extrapolation import LAST_VALUE, Extrapolation, extrapolate
from mlproject.laws.fits import MIN_D, Fit, FormScore, fit_form, rmse_by_form, score_forms
from mlproject.laws.forecast import Forecast, Prediction, forecast_of
from mlproject.laws.forms import FORMS, Form, law_for
from mlproject.laws.goodhart import Goodhart, decompose, gamma, gaussian_best_of_n
from mlproject.laws.intervals import Z_975, Estimate, Interval, t_975, wilson_interval
from mlproject.laws.joint import JointFit, joint_fit
from mlproject.laws.prior import Prior
from mlproject.laws.summaries import points_from_summaries
from mlproject.laws.trends import Plane, Trend, plane, spearman, trend

__all__ = [
    "FORMS",
    "LAST_VALUE",
    "MIN_D",
    "Z_975",
    "Estimate",
    "Extrapolation",
    "Fit",
    "FitInterval",
    "Forecast",
    "Form",
    "FormScore",
    "Goodhart",
    "Interval",
    "JointFit",
    "Plane",
    "Prediction",
    "Prior",
    "Trend",
    "bootstrap_fit",
    "decompose",
    "extrapolate",
    "fit",
    "fit_form",
    "forecast_of",
    "gamma",
    "gaussian_best_of_n",
    "interval_95",
    "joint_fit",
    "law_for",
    "plane",
    "points_from_summaries",
    "resampled_means",
    "rmse_by_form",
    "score_forms",
    "spearman",
    "t_975",
    "trend",
    "wilson_interval",
]
