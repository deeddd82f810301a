"""What a reward that is no model is called, and what identifies it. Free of torch: the command line imports it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from mlproject.errors import UserError
from mlproject.names import GoldKind
from mlproject.options.secrets import has_secret, mask
from mlproject.rewards.code import source_digest
from mlproject.rewards.functions import load_function

FORMS = "PACKAGE.MODULE:FUNCTION or http://HOST/PATH"
TOKEN_VARIABLE = "MLPROJECT_SCORER_TOKEN"
"""Environment variable with the token that a service asks for."""

_FUNCTION = re.compile(r"[\w.]+:\w+")
_SERVICE = re.compile(r"https?://[^/\s]", re.I)


def is_function(name: str) -> bool:
    """Whether a name has the form of a Python function, PACKAGE.MODULE:FUNCTION."""
    return bool(_FUNCTION.fullmatch(name))


def is_service(name: str) -> bool:
    """Whether a name is the address of a service."""
    return bool(_SERVICE.match(name))


def is_reward(name: str) -> bool:
    """Whether a name is a reward that is no model: a function or a service."""
    return is_function(name) or is_service(name)


@dataclass(frozen=True)
class RewardSource:
    """A reward that is no model.

    Attributes:
        name: PACKAGE.MODULE:FUNCTION, or the address of a service.
        version: what the user calls its present state (`scorer_version`); may be empty.
    """

    name: str
    version: str = ""

    @property
    def kind(self) -> str:
        """A `GoldKind`: `function` or `service`."""
        return GoldKind.SERVICE if is_service(self.name) else GoldKind.FUNCTION

    @property
    def short_name(self) -> str:
        """For names of runs: the function, or host and path of the service."""
        if self.kind == GoldKind.FUNCTION:
            return self.name.rpartition(":")[2]
        return self.name.partition("://")[2].rstrip("/")

    @cached_property
    def params(self) -> dict[str, str]:
        """What identifies it beside its name, for fingerprints: the digest of a function's code, and the version.

        Raises:
            UserError: if there is no such function, or the address holds a password.
        """
        version = {"scorer_version": self.version} if self.version else {}
        if self.kind == GoldKind.SERVICE:
            self._check_address()
            return version
        load_function(self.name)
        return {"function_sha256": source_digest(self.name.partition(":")[0]), **version}

    def _check_address(self) -> None:
        if has_secret(self.name):
            raise UserError(
                f"{mask(self.name)}: must not hold a password or token. Set the environment variable {TOKEN_VARIABLE}."
            )
        try:
            known = bool(urlsplit(self.name).hostname) and urlsplit(self.name).port != 0
        except ValueError:
            known = False
        if not known:
            raise UserError(f"{self.name}: must be the address of a service, http://HOST:PORT/PATH. Correct it.")
