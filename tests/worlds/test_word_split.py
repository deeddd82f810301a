"""Words of a text, against those that a person would mark."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest

from mlproject.worlds import load_world
from mlproject.worlds.word_split import is_word, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don\u2019t panic... it's WELL-known!", ["don't", "panic", "...", "it's", "well-known", "!"]),
        ("## Title\n- **bold** _x_", ["##", "title", "-", "**", "bold", "**", "_", "x", "_"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("我喜欢。すごい", ["我", "喜", "欢", "。", "す", "ご", "い"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("cafe\u0301 CAFÉ \ufb01ne", ["café", "café", "fine"]),
        ("3-4 or 5", ["3-4", "or", "5"]),
        (" \n", []),
    ],
)
def test_words_are_those_a_reader_sees_in_any_script(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_words_of_the_help_desk_are_what_stands_between_spaces() -> None:
    world = load_world("helpdesk", 0)
    prompts, authored = world.corpus(500, np.random.default_rng(0))
    for text in [*authored, *world.distort(prompts, authored, np.random.default_rng(1))]:
        assert split_words(text) == text.split()


def test_plain_text_is_read_as_any_other() -> None:
    rng = random.Random(0)
    for _ in range(300):
        plain = "".join(rng.choice("aB9'-_.,! #\n\tz") for _ in range(12))
        assert split_words(plain + " é")[:-1] == split_words(plain)  # a letter beyond ASCII takes the general way


def test_nothing_but_space_is_lost() -> None:
    text = "Ça va? 1,5 % «oui» — naïve\u00a0test 🙂🙂 日本"
    assert "".join(split_words(text)) == "".join(unicodedata.normalize("NFKC", text).casefold().split())
    assert [token for token in split_words(text) if is_word(token)] == [
        "ça",
        "va",
        "1",
        "5",
        "oui",
        "naïve",
        "test",
        "日",
        "本",
    ]
