"""Tables of scored samples with a planted answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlproject.samples.pool import ScoredPool


def planted(prompts: int = 6, samples: int = 5, seed: int = 0) -> pd.DataFrame:
    """One row for each response: `good` is gold with little noise, `bad` with much, which has heavy tails."""
    rng = np.random.default_rng(seed)
    gold = rng.normal(size=(prompts, samples)) * 2 + rng.normal(size=(prompts, 1)) + 7
    return pd.DataFrame(
        {
            "prompt": np.repeat([f"What is {i}?" for i in range(prompts)], samples),
            "response": [f"It is {i}." for i in range(prompts * samples)],
            "gold": gold.ravel(),
            "good": (gold + rng.normal(size=gold.shape)).ravel(),
            "bad": (gold + 2 * rng.standard_t(2, size=gold.shape)).ravel(),
        }
    )


def wide(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The same with one row for each prompt."""
    return [
        {"prompt": prompt, **{name: rows[name].tolist() for name in rows.columns if name != "prompt"}}
        for prompt, rows in table.groupby("prompt", sort=False)
    ]


def scores_by_prompt(pool: ScoredPool, name: str) -> dict[str, list[float]]:
    """Scores of each prompt's responses, in ascending order: what a file's order cannot change."""
    ends = np.cumsum(pool.counts_P)
    parts = np.split(pool.gold_B if name == "gold" else pool.scores[name], ends[:-1])
    return {prompt: sorted(part.tolist()) for prompt, part in zip(pool.prompts, parts, strict=True)}
