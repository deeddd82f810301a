"""Scored samples as a run keeps them: what every curve of theirs is computed from.

Two artifacts: an .npz file of arrays, and a JSON file of names, texts that sample tables may show, and how the file was
read. Responses are kept where one of the reward models may choose them on one of the first prompts.

Axis letters: P prompts, N samples per prompt in the pool, B responses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.curve import Array
from mlproject.names import Artifact, Statistic
from mlproject.optimization.evaluator import SHOWN_PROMPTS
from mlproject.samples.curves import GoldUnits
from mlproject.samples.pool import ScoredPool
from mlproject.strict_json import strict_json
from mlproject.worlds.text_stats import response_stats

MAX_TEXTS = 50_000
"""Responses, at most, that text statistics are computed of: those of the first prompts."""

_RM, _STATISTIC = "rm.", "stat."
_STATISTICS = (Statistic.LENGTH, Statistic.REPETITION, Statistic.DISTINCT_2)


@dataclass(frozen=True)
class StoredPool:
    """Scored samples without their texts.

    Attributes:
        pool: the samples.
        statistics: text statistics by name; nan for samples of prompts that have none. Shape: (B,) each.
        shown: of the first prompts, the responses that may be shown, by their position.
        facts: what else was written (see `save_pool`).
    """

    pool: ScoredPool
    statistics: Mapping[str, Array] = field(default_factory=dict)
    shown: list[dict[int, str]] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_pool(pool: ScoredPool, folder: Path) -> None:
    """Write a pool.

    Args:
        pool: what was read.
        folder: where `scored_samples.npz` and `scored_samples.json` are written.
    """
    arrays = {"counts_P": pool.counts_P, "gold_B": pool.gold_B}
    arrays |= {f"{_RM}{index}": scores_B for index, scores_B in enumerate(pool.scores.values())}
    arrays |= {f"{_STATISTIC}{name}": values_B for name, values_B in _text_statistics(pool).items()}
    if pool.log_prob_B is not None:
        arrays["log_prob_B"] = pool.log_prob_B
    np.savez(folder / Artifact.SCORED_SAMPLES, **arrays)  # type: ignore[arg-type]
    units = GoldUnits.of(pool.gold_B)
    facts = {
        "form": pool.form,
        "rms": list(pool.scores),
        "prompts": len(pool.prompts),
        "responses": len(pool.gold_B),
        "least_responses": pool.n_max,
        "most_responses": int(pool.counts_P.max()),
        "gold_mean": units.mean,
        "gold_sd": units.sd,
        "gold_is_right_or_wrong": bool(np.isin(pool.gold_B, (0, 1)).all()),
        "has_log_probs": pool.log_prob_B is not None,
        "read_as": pool.read_as,
        "notes": list(pool.notes),
        "shown_prompts": list(pool.prompts[:SHOWN_PROMPTS]),
        "shown": _shown(pool),
    }
    (folder / Artifact.SCORED_SAMPLES_INFO).write_text(strict_json(facts, indent=1), encoding="utf-8")


def load_pool(folder: Path, rm: str | None = None) -> StoredPool:
    """Read what `save_pool` wrote, with the scores of one reward model, or of all.

    Args:
        folder: artifacts of the run.
        rm: name of the reward model.
    """
    facts = json.loads((folder / Artifact.SCORED_SAMPLES_INFO).read_text(encoding="utf-8"))
    with np.load(folder / Artifact.SCORED_SAMPLES, allow_pickle=False) as arrays:
        names = [name for name in facts["rms"] if rm in (None, name)]
        pool = ScoredPool(
            form=facts["form"],
            prompts=facts["shown_prompts"],
            counts_P=arrays["counts_P"],
            gold_B=arrays["gold_B"],
            scores={name: arrays[f"{_RM}{facts['rms'].index(name)}"] for name in names},
            log_prob_B=arrays.get("log_prob_B"),
            read_as=facts["read_as"],
            notes=facts["notes"],
        )
        keys = [key for key in arrays.files if key.startswith(_STATISTIC)]
        statistics = {key.removeprefix(_STATISTIC): arrays[key] for key in keys}
    shown = [{int(position): text for position, text in texts.items()} for texts in facts.pop("shown")]
    return StoredPool(pool, statistics, shown, facts)


def _text_statistics(pool: ScoredPool) -> dict[str, Array]:
    """Length and repetition of the responses to as many of the first prompts as their number allows."""
    ends_P = np.cumsum(pool.counts_P)
    prompts = int((ends_P <= MAX_TEXTS).sum())
    if pool.responses is None or not prompts:
        return {}
    count = int(ends_P[prompts - 1])
    stats = response_stats([text or "" for text in pool.responses[:count].to_pylist()], phrases={})
    rest = np.full(len(pool.gold_B) - count, np.nan)
    return {name: np.concatenate([stats[name], rest]) for name in _STATISTICS}


def _shown(pool: ScoredPool) -> list[dict[int, str]]:
    """Of the first prompts, every response that is the best of the first n by some reward model, by its position."""
    if pool.responses is None:
        return []
    starts_P = np.cumsum(pool.counts_P) - pool.counts_P
    shown = []
    for start, count in zip(starts_P[:SHOWN_PROMPTS].tolist(), pool.counts_P.tolist(), strict=False):
        positions = {0}
        for scores_B in pool.scores.values():
            score_N = scores_B[start : start + count]
            highest_N = np.maximum.accumulate(score_N)
            positions |= set((np.flatnonzero(score_N[1:] > highest_N[:-1]) + 1).tolist())
        shown.append({position: pool.responses[start + position].as_py() or "" for position in sorted(positions)})
    return shown
