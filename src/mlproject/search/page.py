"""The page of a search: the final command, the best curve, Optuna's plots and all trials in one self-contained file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import optuna.visualization as plots
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from plotly.offline import get_plotlyjs

from mlproject.curve import Curve
from mlproject.laws import FORMS, MIN_D, fit
from mlproject.laws.weighted import quoted_peak
from mlproject.optimization import METHODS, Method
from mlproject.plotting import theme
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.search.space import Space

if TYPE_CHECKING:
    from mlproject.config.schema import Config

_MIN_TRIALS_FOR_IMPORTANCE = 4
"""Complete trials that importances of the options need."""

TARGET = "peak gold (standard deviations)"


def render_page(
    study: optuna.Study,
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    best: Curve | None,
    command: str,
    sentences: Sequence[str],
) -> str:
    """The page as HTML, with all scripts inline.

    Args:
        study: the Optuna study with its finished trials.
        config: configuration of the search.
        rows: rows of `trials.csv`.
        best: curve of the best trial; None if no trial is complete.
        command: command that trains the final policy.
        sentences: what the search found, with its doubt.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=select_autoescape()
    )
    return environment.get_template("page.html").render(
        name=study.study_name,
        rows=rows,
        plots=[
            (title, figure.to_html(full_html=False, include_plotlyjs=False)) for title, figure in _plots(study, config)
        ],
        plotly=get_plotlyjs() if rows else "",
        best=None if best is None else base64.b64encode(_best_curve(best, METHODS[config.search_method])).decode(),
        command=command,
        sentences=sentences,
        early=[row for row in rows if row["verdict"]],
    )


def with_option_values(study: optuna.Study, config: Config) -> optuna.Study:
    """A copy of the study, for plots, whose parameters are the values of the options instead of their indices."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space.of(config)
    copy = optuna.create_study(directions=[direction.name.lower() for direction in study.directions])
    distributions = {name: CategoricalDistribution(list(values)) for name, values in space.grids.items()}
    for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
        copy.add_trial(
            optuna.create_trial(
                state=trial.state,
                params=space.cell(trial.params),
                distributions=dict(distributions),
                values=trial.values,
                intermediate_values=trial.intermediate_values,
            )
        )
    return copy


def _plots(study: optuna.Study, config: Config) -> list[tuple[str, Any]]:
    """Optuna's figures with their titles."""
    readable = with_option_values(study, config)
    complete = readable.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        return []
    if config.search_objective != "peak":
        names = [TARGET, config.search_objective.removeprefix("peak-and-")]
        return [("Pareto front: peak gold against its cost", plots.plot_pareto_front(readable, target_names=names))]
    unit = METHODS[config.search_method].step_unit
    figures = [
        ("Optimization history", plots.plot_optimization_history(readable, target_name=TARGET)),
        ("Parallel coordinates", plots.plot_parallel_coordinate(readable, target_name=TARGET)),
        (f"Gold during the runs (intermediate values by {unit})", plots.plot_intermediate_values(readable)),
    ]
    values = {trial.value for trial in complete}
    if len(complete) >= _MIN_TRIALS_FOR_IMPORTANCE and len(values) > 1 and len(Space.of(config).grids) > 1:
        figures.append(("Importance of the options", plots.plot_param_importances(readable, target_name=TARGET)))
    return figures


def _best_curve(curve: Curve, method: Method) -> bytes:
    """Gold, proxy and the law of the best trial, as a PNG."""
    form = FORMS[method.law]
    try:
        law = fit(form, curve.sqrt_kl_S, curve.gold_S, MIN_D[form.name])
    except ValueError:  # too few points away from the origin
        law = None
    return png(
        curve_figure([PlottedCurve(curve, theme.METHOD_COLOURS[1])], law, law_fits=quoted_peak(form, curve).fits)
    )
