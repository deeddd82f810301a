"""What people look at after a search: one self-contained page; Optuna's plots, the best curve, what was ended early."""

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
from mlproject.plotting import theme
from mlproject.plotting.curve_figure import PlottedCurve, curve_figure
from mlproject.plotting.png import png
from mlproject.search.space import Space

if TYPE_CHECKING:
    from mlproject.config.schema import Config

_LEAST_FOR_IMPORTANCE = 4
"""Complete trials below which importances say nothing."""

PEAK = "peak gold (standard deviations)"


def search_page(
    study: optuna.Study, config: Config, rows: Sequence[Mapping[str, Any]], best: Curve | None, command: str
) -> str:
    """The page as HTML, with all scripts in it.

    Args:
        study: with its finished trials.
        config: of the search.
        rows: of `trials.csv`.
        best: curve of the best trial; None where no trial is complete.
        command: that trains the final policy.
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
        best=None if best is None else base64.b64encode(_best_curve(best)).decode(),
        command=command,
        early=[row for row in rows if row["verdict"]],
    )


def readable(study: optuna.Study, config: Config) -> optuna.Study:
    """The same trials with the values of the options in place of their indices, for plots."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space.of(config)
    shown = optuna.create_study(directions=[direction.name.lower() for direction in study.directions])
    distributions = {name: CategoricalDistribution(list(values)) for name, values in space.grids.items()}
    for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
        shown.add_trial(
            optuna.create_trial(
                state=trial.state,
                params=space.cell(trial.params),
                distributions=dict(distributions),
                values=trial.values,
                intermediate_values=trial.intermediate_values,
            )
        )
    return shown


def _plots(study: optuna.Study, config: Config) -> list[tuple[str, Any]]:
    """Optuna's own figures, by title."""
    shown = readable(study, config)
    complete = shown.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        return []
    if config.search_objective != "peak":
        names = [PEAK, config.search_objective.removeprefix("peak-and-")]
        return [("Pareto front: peak gold against its cost", plots.plot_pareto_front(shown, target_names=names))]
    found = [
        ("Optimization history", plots.plot_optimization_history(shown, target_name=PEAK)),
        ("Parallel coordinates", plots.plot_parallel_coordinate(shown, target_name=PEAK)),
        ("Gold on the way (intermediate values by PPO update)", plots.plot_intermediate_values(shown)),
    ]
    values = {trial.value for trial in complete}
    if len(complete) >= _LEAST_FOR_IMPORTANCE and len(values) > 1 and len(Space.of(config).grids) > 1:
        found.append(("Importance of the options", plots.plot_param_importances(shown, target_name=PEAK)))
    return found


def _best_curve(curve: Curve) -> bytes:
    """Gold, proxy and the law of the best trial, as a PNG."""
    try:
        law = fit(FORMS["rl"], curve.sqrt_kl_S, curve.gold_S, MIN_D["rl"])
    except ValueError:  # too few points away from the origin
        law = None
    return png(curve_figure([PlottedCurve(curve, theme.METHOD_COLOURS[1])], law))
