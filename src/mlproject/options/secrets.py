"""Passwords and tokens in URLs: found, and masked in everything that is shown or kept.

An address such as postgresql://USER:PASSWORD@HOST/NAME holds a secret. So does one with `?token=...` or `#...`, and one
whose user is a token (https://TOKEN@HOST). `mask` is the only place that knows how they look.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import IO, Any
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"

STORAGE_VARIABLE = "OPTUNA_STORAGE"
"""Environment variable with the URL of Optuna's storage; an option would show it to whoever sees the command."""

_SCHEME = r"\b(?P<scheme>[a-z][a-z0-9+.\-]*)://"
_USER_INFO = re.compile(_SCHEME + r"(?P<user>[^\s:/@?#]*):(?P<secret>\S+)@", re.I)
_ANY_USER_INFO = re.compile(r"\b(?P<scheme>https?)://(?P<user>)(?P<secret>\S+)@", re.I)
_USER_ALONE = re.compile(_SCHEME + r"(?P<user>)(?P<secret>[^\s:/@?#*]+)@", re.I)
_DATABASE = re.compile(r"postgres|mysql|mariadb|mssql|oracle|cockroach|redshift|snowflake|mongo", re.I)
_NAME = (
    r"[\w.\-]*(?:password|passwd|passphrase|pwd|token|secret|signature|credentials?)[\w.\-]*|pass|auth|authorization|"
    r"sig|odbc_connect|(?:[\w.\-]*(?:api|access|account|private|auth|client|shared|ssl|service|storage)[_.\-]?)?"
    r"key(?:[_.\-]?id)?"
)
_QUERY = re.compile(rf"(?P<name>[?&;#](?:{_NAME})=)(?P<secret>[^&\s]+)", re.I)
_PAGE = r"/(?:(?:experiments|models|compare-\w+|metric|prompts)\b|(?!\S))"
_FORGE = r"(?:L\d+(?:-L\d+)?|(?:issuecomment|discussion|pullrequestreview|comment|note)[-_]r?\d+)(?![^\s)\],.;:'\"])"
_FRAGMENT = re.compile(
    r"(?P<name>(?<![\w+.\-])(?!sqlite|file:)[a-z][a-z0-9+.\-]*://[^\s#]*#)"
    rf"(?!{_PAGE}|{_FORGE})(?P<secret>\S*[^\s:;,.)\]'\"])",  # what a message goes on with is no part of it
    re.I,
)
"""What stands behind a `#` is a secret, but for a page of MLflow's, and a line or comment of a forge."""
_WORD = (
    r"[\w.\-]*(?:password|passwd|passphrase|pwd|secret|(?:auth|access|api|refresh|bearer|hub|hf)[_.\-]?token|"
    r"(?:api|access|private)[_.\-]?key)"
)
_SETTING = re.compile(rf"(?P<name>\b{_WORD}=)(?P<secret>[^&;\s]+)", re.I)
_FIELD = re.compile(rf"(?P<name>['\"](?:{_WORD}|token)['\"]\s*:\s*)(?P<secret>'[^']*'|\"[^\"]*\"|[^\s,}}]+)", re.I)
"""A field of a mapping, as Python and JSON write it."""
_PATTERNS = (_USER_INFO, _ANY_USER_INFO, _USER_ALONE, _QUERY, _FRAGMENT, _SETTING, _FIELD)

_VARIABLE = re.compile(r"(PASSWORD|PASSWD|(^|_)TOKEN|(^|_)SECRET|API_?KEY|ACCESS_KEY)$", re.I)
_PARTS = re.compile(r"[@/:?#\s=;&]")
_STARTS_AS_URL = re.compile(r"[a-z][a-z0-9+.\-]*://[^\n]*$", re.I)
_OWN_WORDS = {"password", "token"}
"""What an address with an odd secret may seem to hold, and what messages say of secrets."""
_SHORTEST = 5
"""Characters of a secret that is also looked for outside of its URL: a shorter one would be found in other words."""

_known: set[str] = set()


def mask(text: str) -> str:
    """A text in which `***` stands for every secret.

    Args:
        text: a URL, or anything that may hold one: a message, a traceback.

    Returns:
        the text without user-info, fragments and values of queries that are secret by their place, and without those
        that this process was told (see `remember`), wherever they are.

    Examples:
        >>> from mlproject.options.secrets import mask
        >>> mask("postgresql://me:p@ss/word@host/optuna?sslpassword=key and https://token@host/")
        'postgresql://me:***@host/optuna?sslpassword=*** and https://***@host/'
    """
    for secret in sorted(_known, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    if not any(sign in text for sign in ("://", "=", "':", '":')):
        return text
    if _STARTS_AS_URL.match(text) and " " in text:  # a password may hold a space
        return mask(text.replace(" ", "\0")).replace("\0", " ")
    text = _USER_INFO.sub(_hide_user_info, text)
    text = _ANY_USER_INFO.sub(_hide_user_info, text)
    text = _USER_ALONE.sub(lambda match: match[0] if _is_user(match) else f"{match['scheme']}://{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<name>{HIDDEN}", text)
    text = _FRAGMENT.sub(rf"\g<name>{HIDDEN}", text)
    text = _SETTING.sub(rf"\g<name>{HIDDEN}", text)
    return _FIELD.sub(rf"\g<name>{HIDDEN}", text)


def has_secret(text: str) -> bool:
    """Whether a value, as a user gave it, holds a secret."""
    return bool(_secrets_of(text))


def remember(values: Iterable[str]) -> None:
    """Tell the secrets of this process, so that they are masked also in other forms than that of a URL."""
    _known.update(secret for value in values for secret in _secrets_of(value) if len(secret) >= _SHORTEST)


def remember_environment() -> None:
    """Tell the secrets that environment variables hold: in URLs, and in variables whose name says so."""
    remember(os.environ.values())
    _known.update(v for k, v in os.environ.items() if _VARIABLE.search(k) and len(v) > 7 and not v.startswith("/"))


def mask_output() -> None:
    """From now on, whatever this process writes to its standard streams is masked, tracebacks included."""
    if _known and not isinstance(sys.stdout, _MaskedStream):
        sys.stdout, sys.stderr = _MaskedStream(sys.stdout), _MaskedStream(sys.stderr)


class _MaskedStream:
    """A text stream that masks what is written to it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hide_user_info(match: re.Match[str]) -> str:
    scheme, user = match["scheme"], match["user"]
    if scheme.lower() in ("http", "https"):  # the user may be the token: https://TOKEN:x-oauth-basic@HOST
        return f"{scheme}://{HIDDEN}@"
    return f"{scheme}://{user}:{HIDDEN}@"


def _is_user(match: re.Match[str]) -> bool:
    """Whether user-info without a password is the name of a database's user, and no token."""
    return bool(_DATABASE.search(match["scheme"]))


def _secrets_of(value: str) -> set[str]:
    """The secrets in a value that a user gave: as they are written, as they are meant, and the parts that a driver
    might take for the host."""
    found = set[str]()
    compact = re.sub(r"\s", "\0", value) if _STARTS_AS_URL.match(value) else value
    for pattern in _PATTERNS:
        for match in pattern.finditer(compact):
            if pattern is _USER_ALONE and _is_user(match):
                continue
            secret = match["secret"].replace("\0", " ")
            secret = secret.strip("'\"") if pattern is _FIELD else secret
            if set(secret) - {"*"}:
                meant = unquote(secret)
                found |= {secret, meant, unquote_plus(secret), *_PARTS.split(secret), *_PARTS.split(meant)}
    return found - _OWN_WORDS
