"""Rewards with cures as folders: `reward.json` says how they are made, and each part has a folder of its own.

`mlproject.registry.pyfunc_scorer` reads the same folders without this project.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mlproject.cures.cure import Start
from mlproject.cures.scorers import EnsembleScorer, ShapedScorer
from mlproject.models.scorers import Scorer
from mlproject.strict_json import strict_json

RECIPE, REFERENCES = "reward.json", "references.json"


def is_recipe(folder: Path) -> bool:
    """Whether a folder holds a reward with cures."""
    return (folder / RECIPE).is_file()


def save_recipe(scorer: EnsembleScorer | ShapedScorer, folder: Path, save_part: Callable[[Scorer, Path], None]) -> None:
    """Write a reward with cures.

    Args:
        scorer: the reward.
        folder: a new one.
        save_part: writes a part that is made of no others into a folder.
    """
    folder.mkdir(parents=True)
    parts = scorer.members if isinstance(scorer, EnsembleScorer) else (scorer.scorer,)
    names = [f"part-{number}" for number in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        if isinstance(part, EnsembleScorer | ShapedScorer):
            save_recipe(part, folder / name, save_part)
        else:
            save_part(part, folder / name)
    recipe = {
        "how": scorer.how,
        "parts": names,
        "options": dict(scorer.options),
        "centre": scorer.centre,
        "scale": scorer.scale,
    }
    if isinstance(scorer, ShapedScorer):
        recipe["start"] = asdict(scorer.start)
        if scorer.references:
            (folder / REFERENCES).write_text(strict_json({text: list(row) for text, row in scorer.references.items()}))
    (folder / RECIPE).write_text(strict_json(recipe, indent=1))


def prompts_with_references(folder: Path) -> set[str]:
    """The prompts to which a reward in a folder, with all that it is made of, has reference responses.

    Args:
        folder: of a reward of which some part reads reference responses.
    """
    return set.intersection(*(set(json.loads(path.read_text())) for path in folder.rglob(REFERENCES)))


def load_recipe(folder: Path, load_part: Callable[[Path], Scorer]) -> EnsembleScorer | ShapedScorer:
    """Read what `save_recipe` wrote.

    Args:
        folder: of the reward.
        load_part: reads a part that is made of no others.
    """
    recipe = json.loads((folder / RECIPE).read_text())
    parts = [
        load_recipe(path, load_part) if is_recipe(path) else load_part(path)
        for path in (folder / name for name in recipe["parts"])
    ]
    units = {name: recipe[name] for name in ("options", "centre", "scale")}
    if "start" not in recipe:
        return EnsembleScorer(recipe["how"], tuple(parts), **units)
    path = folder / REFERENCES
    references = {text: tuple(row) for text, row in json.loads(path.read_text()).items()} if path.exists() else {}
    return ShapedScorer(recipe["how"], parts[0], Start(**recipe["start"]), references, **units)
