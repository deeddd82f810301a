"""What a search found, with its doubt: the highest of many noisy trials is not simply the best option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient

from mlproject.optimization import METHODS
from mlproject.recommendation.recommend import Recommendation, recommend
from mlproject.recommendation.setting import Setting
from mlproject.search.space import Space, value_text
from mlproject.tracking.run_data import curve_of

if TYPE_CHECKING:
    from mlproject.config.schema import Config


def recommendation_of_trials(client: MlflowClient, config: Config, rows: Sequence[Mapping[str, Any]]) -> Recommendation:
    """Choose among the whole runs of a search.

    Args:
        client: of the store, which holds the curves.
        config: configuration of the search.
        rows: rows of `trials.csv`; trials that ended early have no whole curve and are left out.
    """
    method = METHODS[config.searched_method]
    settings: dict[tuple[Any, ...], Setting] = {}
    for row in rows:
        if row["state"] == "COMPLETE":
            cell = {name: row[name] for name in Space.of(config).grids}
            named = ("rm_size", method.coefficient)  # a setting has fields for these
            others = "".join(f", {name}={value_text(value)}" for name, value in cell.items() if name not in named)
            run = client.get_run(row["run_id"]).data
            settings[tuple(cell.values())] = Setting(
                method=method.name,
                rm=f"{row['rm_size']}{others}",
                rm_params=int(run.params["rm_params"]),
                curves={config.seed: curve_of(client, row["run_id"])},
                kl_coef=float(row[method.coefficient]) if method.trains_policy else None,
                from_search=True,
                run_ids={config.seed: row["run_id"]},
            )
    return recommend(list(settings.values()))
