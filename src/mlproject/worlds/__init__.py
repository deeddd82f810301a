"""Worlds: what models read and write, and where judgement comes from.

A further world is one package with a class that follows `World`, and one entry in `WORLDS`.
"""

from __future__ import annotations

from mlproject.worlds.files.spec import FilesSpec
from mlproject.worlds.world import AuthoredWorld, AuthoredWorldSpec, World, WorldSpec

_WORLDS: tuple[WorldSpec, ...] = (
    AuthoredWorldSpec("helpdesk", "embedded", "mlproject.worlds.helpdesk:Helpdesk"),
    FilesSpec(),
)

WORLDS: dict[str, WorldSpec] = {world.name: world for world in _WORLDS}

__all__ = ["WORLDS", "AuthoredWorld", "World", "WorldSpec", "load_world"]


def load_world(name: str, seed: int) -> AuthoredWorld:
    """Open a world that needs no files.

    Args:
        name: key of an authored world in `WORLDS`, such as `helpdesk`.
        seed: the world seed, 0 or more.

    Raises:
        ValueError: for any other name.
    """
    spec = WORLDS.get(name)
    if not isinstance(spec, AuthoredWorldSpec):
        authored = [world.name for world in _WORLDS if isinstance(world, AuthoredWorldSpec)]
        raise ValueError(f"world {name!r}: must be one of {', '.join(authored)}")
    return spec.create(seed)
