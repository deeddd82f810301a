"""A chat template that eats time or memory is refused in one line, and leaves no limit behind."""

from __future__ import annotations

import resource
import signal

import pytest
from tests.support.checkpoints import CHAT_TEMPLATE, byte_tokenizer

from mlproject.errors import UserError
from mlproject.models import template_limits
from mlproject.models.chat_template import refusal
from mlproject.models.turns import left_out

BOMBS = {
    "nested loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "longer than 0.2",
    ),
    "a power": ("{{ 9 ** (9 ** 9) }}", "longer than 0.2"),
    "a text many times": ("{{ 'a' * 10 ** 10 }}", "more than 512 MB"),
    "a list many times": ("{{ (range(99999) | list * 99999) | length }}", "more than 512 MB"),
    # whichever is over first, time or memory
    "doubling": (
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "it ",
    ),
    "doubling blocks": (
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set y %}{{ n.x }}{{ n.x }}{% endset %}"
        "{% set n.x = y %}{% endfor %}",
        "it ",
    ),
    "padding": ("{{ '%2000000000d' % 1 }}", "more than 512 MB"),
    "a wide format": ("{{ '{:>2000000000}'.format(1) }}", "more than 512 MB"),
    "centred": ("{{ 'a' | center(2000000000) }}", "more than 512 MB"),
    "a long layout": ("{% for i in range(99999) %}" + "a" * 50 + "{% endfor %}", "adds more than 1,000,000 characters"),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    "deep nesting": ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "RecursionError"),
}


@pytest.fixture
def tokenizer(monkeypatch):
    monkeypatch.setattr(template_limits, "LONGEST_SECONDS", 0.2)
    return byte_tokenizer(300, chat=True)


@pytest.mark.parametrize(("bomb", "why"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_and_the_process_is_as_it_was(bomb, why, tokenizer):
    before = resource.getrlimit(resource.RLIMIT_AS)
    tokenizer.chat_template = bomb + CHAT_TEMPLATE
    problem = refusal(tokenizer, "Hello")
    assert why in problem and "\n" not in problem
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL and signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_a_bomb_for_one_conversation_alone_is_found_there(tokenizer):
    tokenizer.chat_template = "{% if messages[0].content == '0' %}{{ 'a' * 10 ** 10 }}{% endif %}" + CHAT_TEMPLATE
    assert refusal(tokenizer, "Hello") == ""
    with pytest.raises(UserError, match=r"chat template: must lay out each conversation, but fails .*512 MB"):
        left_out(tokenizer)


def test_many_conversations_have_as_much_more_time(tokenizer):
    tokenizer.chat_template = "{% for i in range(30000) %}{% endfor %}" + CHAT_TEMPLATE
    conversations = [[{"role": "user", "content": str(i)}] for i in range(200)]
    assert len(template_limits.rendered(tokenizer, conversations)) == 200


def test_what_a_long_conversation_says_is_no_bomb(tokenizer):
    text = "word " * 300_000
    assert refusal(tokenizer, text) == ""
