"""Texts that others wrote (prompts, responses, names) where people read them: visible, and no more than a quotation.

A prompt may hold headings, links, HTML, or the codes that steer a terminal. Quoted, none of that has an effect.
"""

from __future__ import annotations

import re
import unicodedata

_LONGEST_LINE, _LONGEST_QUOTE = 300, 1500
_JOINERS = "\u200c\u200d"
"""Between letters of Persian and emoji: invisible, but part of the text."""

_MARKDOWN = re.compile(r"[\\`*_{\[\]#|!~$]|(?<=\])\(")
_LINE_START = re.compile(r"^( *(?:\d+(?=[.)]))?)([-+=:.)])", re.M)
_AUTOLINK = re.compile(r"(?i)(?<=\bhttp)s?:|\b(?:ftp|mailto|xmpp|javascript|data|www)(?=[:.])[:.]|@")


def visible(text: str) -> str:
    """A text whose control characters, marks of writing direction and invisible characters are seen, as in Python.

    Newlines and tabs stay.

    Examples:
        >>> from mlproject.names.quoting import visible
        >>> visible("one\\x1b[2Jtwo")
        'one\\\\x1b[2Jtwo'
    """
    return "".join(c if c in "\n\t" or not _is_hidden(c) else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """A text as it may stand in a log: on one line, visible, and cut.

    Args:
        text: anything.
        longest: characters, a dot that says that more follows included.
    """
    line = visible(text[: longest + 1]).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def markdown_text(text: str) -> str:
    """A text on one line of Markdown, where it is text alone: no emphasis, link, image, table, or HTML."""
    return _escaped(one_line(text))


def markdown_quote(text: str) -> str:
    """A text as part of a Markdown quotation: its lines but the first begin with `> `, and are text alone.

    Args:
        text: of several lines, perhaps; it is cut if it is long.
    """
    text = visible(text.replace("\r\n", "\n").replace("\r", "\n"))
    if len(text) > _LONGEST_QUOTE:
        text = f"{text[:_LONGEST_QUOTE]}… (cut)"
    return _escaped(text).replace("\n", "\n> ")


def filter_value(text: str) -> str:
    """A text as it is compared in MLflow's search syntax, which knows two kinds of quotes and no escape.

    Args:
        text: one that `can_be_searched`.
    """
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"


def can_be_searched(text: str) -> bool:
    """Whether a text can be written in MLflow's search syntax."""
    return not ("'" in text and '"' in text) and not text.endswith("\\")


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _AUTOLINK.sub(lambda match: f"{match[0][:-1]}&#{ord(match[0][-1])};", text)
    text = _MARKDOWN.sub(lambda match: f"\\{match[0]}" if match[0] not in "#|~$" else f"&#{ord(match[0])};", text)
    text = text.replace("&&#35;", "&#").replace("\t", "    ")  # the entities that were made first
    text = _LINE_START.sub(lambda match: f"{match[1]}&#{ord(match[2])};", text)
    return re.sub(r"^ +", lambda match: "&nbsp;" * len(match[0]), text, flags=re.M)  # no block of code


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Cf" and character not in _JOINERS)
