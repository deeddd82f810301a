"""The page of a search: what was found, the final command, figures and all trials in one self-contained file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from optuna.importance import get_param_importances
from optuna.trial import TrialState

from mlproject.curve import Curve
from mlproject.laws import FORMS, MIN_D, fit_form
from mlproject.laws.weighted import quoted_peak
from mlproject.names import TrialAttribute
from mlproject.optimization import METHODS, Method
from mlproject.plotting.colours import rm_colours
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.recommendation.words import place_of_kl
from mlproject.search.figures import curves_figure, history_figure, pareto_figure, peaks_figure
from mlproject.search.space import Space, coefficient_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlproject.config.schema import Config

_MIN_TRIALS_FOR_IMPORTANCE = 4
"""Complete trials that importances of the options need."""


def render_page(
    study: optuna.Study,
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    best: Curve | None,
    command: str,
    sentences: Sequence[str],
    facts: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML, without scripts.

    Args:
        study: the Optuna study with its finished trials.
        config: configuration of the search.
        rows: rows of `trials.csv`.
        best: curve of the recommended trial, or else of the highest; None if no trial is complete.
        command: command that trains the final policy.
        sentences: what the search found, with its doubt.
        facts: about the search (run, date, commit, command), as text by label.
    """
    sizes = _sizes(study, rows)
    colours = rm_colours([*config.rm_sizes, *sizes])
    colours = {name: colours[name] for name in sizes}
    best_row = max((row for row in rows if row["state"] == "COMPLETE"), key=lambda row: row["peak_gold"], default=None)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=select_autoescape()
    )
    return environment.get_template("page.html").render(
        name=study.study_name,
        rows=rows,
        coefficient=coefficient_of(rows),
        plots=[(title, _data_uri(figure)) for title, figure in _figures(study, config, rows, colours)],
        importances=_importances(study, config),
        best=""
        if best is None or best_row is None
        else _data_uri(_best_curve(best, METHODS[config.searched_method], colours[best_row["rm_size"]])),
        command=command,
        place=lambda kl: f" ({place})" if (place := place_of_kl(config.searched_method, kl)) else "",
        sentences=sentences,
        early=[row for row in rows if row["verdict"]],
        facts=facts or {},
    )


def _sizes(study: optuna.Study, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Number of parameters by RM size, smallest first."""
    params = {trial.number: trial.user_attrs.get(TrialAttribute.RM_PARAMS, 0) for trial in study.trials}
    sizes = {row["rm_size"]: int(params.get(int(row["number"]), 0)) for row in rows}
    return dict(sorted(sizes.items(), key=lambda item: item[1]))


def _figures(
    study: optuna.Study, config: Config, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]
) -> list[tuple[str, Figure]]:
    """Figures with their titles."""
    scored = [row for row in rows if row["peak_gold"] is not None]
    if not any(row["state"] == "COMPLETE" for row in scored):
        return []
    if config.search_objective != "peak":
        cost = config.search_objective.removeprefix("peak-and-")
        whole = [row for row in scored if row["state"] == "COMPLETE"]
        return [("Peak gold against its cost", pareto_figure(whole, cost, colours))]
    trials = {trial.number: trial for trial in study.trials}
    drawn = [(trials[int(row["number"])], row) for row in scored if int(row["number"]) in trials]
    drawn = [(trial, row) for trial, row in drawn if trial.user_attrs.get(TrialAttribute.CURVE_KL)]
    option = coefficient_of(scored)
    return [
        *([("Gold during the trials", curves_figure(drawn, colours))] if drawn else []),
        *([(f"Peak gold by {option.label} and RM size", peaks_figure(scored, colours, option))] if option else []),
        ("Peak gold by trial", history_figure(scored, colours)),
    ]


def _importances(study: optuna.Study, config: Config) -> dict[str, float]:
    """Share of each option in the variance of peak gold; empty where too few trials say anything about it."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    few = len(complete) < _MIN_TRIALS_FOR_IMPORTANCE or len(Space.of(config).grids) < 2
    if few or config.search_objective != "peak" or len({trial.value for trial in complete}) < 2:
        return {}
    return {name.removesuffix("_index"): share for name, share in get_param_importances(study).items()}


def _best_curve(curve: Curve, method: Method, colour: str) -> Figure:
    """Gold, proxy and the law of the best trial."""
    form = FORMS[method.law]
    try:
        law = fit_form(form, curve.sqrt_kl_S, curve.gold_S, MIN_D[form.name])
    except ValueError:  # too few points away from the origin
        law = None
    return curve_figure([PlottedCurve(curve, colour)], law, law_fits=quoted_peak(form, curve).fits)


def _data_uri(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode()
