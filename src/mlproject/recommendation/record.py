"""The recommendation as plain data: the content of `recommendation.json`, and of what else is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mlproject.recommendation.evidence import Figure
from mlproject.recommendation.outcome import Outcome, agrees, promotion_sentence
from mlproject.recommendation.recommend import Evaluated, Recommendation
from mlproject.recommendation.sentences import answer, rest

VERSION = 2


def to_dict(
    recommendation: Recommendation, evidence: Sequence[Figure] = (), outcome: Outcome | None = None
) -> dict[str, Any]:
    """Plain data; KL in nats, gold in standard deviations.

    Args:
        recommendation: what is recommended.
        evidence: what speaks for it.
        outcome: of the study's promotion; None without one.

    Returns:
        `version`; `choice` (None without one) and `ties`, each a setting with its stop; `rms`, the names that are as
        good; `best_two`, the run ids of the best reward model and of the next; `evidence`, each figure with its values,
        whether it agrees, and why not; `promotion` (None without one); `settings`, all of them; `trends`; `seed_spread`
        by method; `sentences`.
    """
    return {
        "version": VERSION,
        "choice": _evaluated(recommendation.choice) if recommendation.choice else None,
        "ties": [_evaluated(each) for each in recommendation.ties],
        "rms": recommendation.rms,
        "best_two": best_two(recommendation),
        "evidence": [{**asdict(figure), "sentence": figure.sentence()} for figure in evidence],
        "promotion": {**asdict(outcome), "agrees": agrees(recommendation, outcome)} if outcome else None,
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
        "sentences": sentences_of(recommendation, evidence, outcome),
    }


def best_two(recommendation: Recommendation) -> list[str]:
    """Run ids of the recommended reward model and of the best other one, to be looked at beside each other.

    By the same method, and of the same seed, where there are such runs; empty where nothing is recommended or compared.
    """
    choice = recommendation.choice
    others = [e for e in recommendation.evaluated if choice and e.setting.rm != choice.setting.rm]
    if choice is None or not others:
        return []
    planned = (choice.setting.method, False)
    other = max(others, key=lambda e: ((e.setting.method, e.setting.from_search) == planned, e.stop.gold)).setting
    run_ids, of_other = choice.setting.run_ids, other.run_ids
    if not run_ids or not of_other:
        return []
    seed = min(set(run_ids) & set(of_other), default=None)
    pair = (run_ids, of_other)
    return [each[min(each) if seed is None else seed] for each in pair]


def sentences_of(
    recommendation: Recommendation, evidence: Sequence[Figure] = (), outcome: Outcome | None = None
) -> list[str]:
    """All that is said on the console and in descriptions: the answer, what the promotion did, what differs, trends."""
    return [
        *answer(recommendation),
        *([promotion_sentence(recommendation, outcome)] if outcome else []),
        *[figure.sentence() for figure in evidence if figure.agrees is False],
        *rest(recommendation),
    ]


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
        "stop_step": stop.advised_step,
        "stop_kl": stop.advised_kl,
        "highest_gold_step": stop.step,
        "highest_gold_kl": stop.kl,
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
