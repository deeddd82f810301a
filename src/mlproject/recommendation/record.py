"""The recommendation as plain data: the content of `recommendation.json`, and of what else is stored."""

from __future__ import annotations

from typing import Any

from mlproject.recommendation.recommend import Evaluated, Recommendation
from mlproject.recommendation.sentences import lines_of

VERSION = 1


def to_dict(recommendation: Recommendation) -> dict[str, Any]:
    """Plain data; KL in nats, gold in standard deviations.

    Returns:
        `version`; `choice` (None without one) and `ties`, each a setting with its stop; `rms`, the names that are as
        good; `settings`, all of them; `trends`; `seed_spread` by method; `sentences`.
    """
    return {
        "version": VERSION,
        "choice": _evaluated(recommendation.choice) if recommendation.choice else None,
        "ties": [_evaluated(each) for each in recommendation.ties],
        "rms": recommendation.rms,
        "settings": [_evaluated(each) for each in recommendation.evaluated],
        "trends": [
            {
                "method": trend.method,
                "direction": str(trend.direction),
                "gold_per_tenfold_parameters": trend.slope,
                "interval": list(trend.interval),
                "sizes": trend.sizes,
            }
            for trend in recommendation.trends
        ],
        "seed_spread": {
            method: {"sd": spread.sd if spread.known else None, "dof": spread.dof}
            for method, spread in recommendation.spreads.items()
        },
        "sentences": lines_of(recommendation),
    }


def _evaluated(evaluated: Evaluated) -> dict[str, Any]:
    setting, stop = evaluated.setting, evaluated.stop
    return {
        "method": setting.method,
        "rm": setting.rm,
        "rm_params": setting.rm_params,
        "kl_coef": setting.kl_coef,
        "from_search": setting.from_search,
        "seeds": sorted(setting.curves),
        "run_ids": {str(seed): run_id for seed, run_id in setting.run_ids.items()},
        "progress": str(stop.progress),
        "stop_step": stop.step,
        "stop_kl": stop.kl,
        "stop_kl_window": list(stop.kl_window),
        "gold": stop.gold,
        "gold_interval": list(stop.gold_interval),
        "human": setting.human,
        "seeds_known": stop.seeds_known,
        "end_step": stop.end_step,
        "end_kl": stop.end_kl,
        "drop": stop.drop,
        "drop_interval": list(stop.drop_interval),
        "proxy_rise": stop.proxy_rise,
    }
