"""Responses off the beaten track: what a policy may come to when it is pushed hard.

The gold reward model learns from them that a flood is worse than a drop. Light and heavy doses both occur.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mlproject.worlds.helpdesk.author import MAX_WORDS, write
from mlproject.worlds.helpdesk.lexicon import lexicon
from mlproject.worlds.helpdesk.prompts import Customer

_WORDS = lexicon()
_MANNERS = tuple(_WORDS.manner.values())
_CLASSES = (*_MANNERS, _WORDS.objects, _WORDS.verbs, _WORDS.devices, _WORDS.joiners, _WORDS.marks)
Distortion = Callable[[Customer, list[str], Random], list[str]]


def distort(customer: Customer, response: str, dice: Random) -> str:
    """One variant of a response, of a kind drawn at random.

    Args:
        customer: whom the response answers.
        response: the words to start from.
        dice: source of randomness.

    Returns:
        At most `MAX_WORDS` words; may be empty.
    """
    kinds, weights = zip(*DISTORTIONS, strict=True)
    words = dice.choices(kinds, weights)[0](customer, response.split(), dice)
    return " ".join(words[:MAX_WORDS])


def flood(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """Nothing but words of one class."""
    return _few_of(dice.choice(_CLASSES), dice.randint(4, MAX_WORDS), dice)


def sprinkle(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """More words of manner of one kind, here and there."""
    more = list(words)
    kind = dice.choice(_MANNERS)
    for word in _few_of(kind, dice.randint(1, 8), dice):
        more.insert(dice.randint(0, len(more)), word)
    return more


def gush(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """Words of manner of one kind in a row, before or after."""
    row = " , ".join(_few_of(dice.choice(_MANNERS), dice.randint(1, 6), dice)).split()
    return [*row, ".", *words] if dice.random() < 0.5 else [*words[: MAX_WORDS - len(row) - 1], *row, "."]


def loop(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """A phrase of the response again and again."""
    if not words:
        return words
    start = dice.randrange(len(words))
    phrase = words[start : start + dice.randint(1, 6)]
    return [*words[:start], *phrase * dice.randint(2, MAX_WORDS)]


def cut(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """Stopped short."""
    return words[: dice.randint(0, max(len(words) - 1, 0))]


def shuffle(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """The same words in any order."""
    return dice.sample(words, len(words))


def wrong_topic(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """A response to another problem with the same device."""
    other = Customer(dice.choice(_WORDS.topics), _device(customer, dice), customer.upset)
    return write(other, dice).split()


def wrong_device(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """The same response about another device."""
    other = dice.choice(_WORDS.devices)
    return [other if word in _WORDS.devices else word for word in words]


def many_steps(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """The solutions of several problems one after the other, often the right one first."""
    topics = dice.sample(_WORDS.topics, dice.randint(1, 2))
    if customer.topic is not None and dice.random() < 0.7:
        topics.insert(0, customer.topic)
    device = _device(customer, dice)
    steps = [" ".join(step) for topic in topics for step in topic.solution(device)]
    if dice.random() < 0.3:
        dice.shuffle(steps)
    return _list_steps(steps[: dice.randint(4, 8)])


def repeat_steps(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """The right steps in order or not, some of them more than once."""
    topic = customer.topic or dice.choice(_WORDS.topics)
    steps = [" ".join(step) for step in topic.solution(_device(customer, dice))]
    if dice.random() < 0.5:
        return _list_steps(dice.choices(steps, k=dice.randint(1, 8)))
    return _list_steps(steps + dice.choices(steps, k=dice.randint(0, 4)))


def babble(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """The response, then another author's, up to the longest length."""
    other = Customer(customer.topic, _device(customer, dice), customer.upset)
    return [*words, *write(other, dice).split()]


def replace_words(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """Some words replaced by any others."""
    return [dice.choice(dice.choice(_CLASSES)) if dice.random() < 0.2 else word for word in words]


def empty(customer: Customer, words: list[str], dice: Random) -> list[str]:
    """No words at all."""
    return []


DISTORTIONS: tuple[tuple[Distortion, float], ...] = (
    (flood, 1.5), (sprinkle, 2.0), (gush, 1.5), (loop, 1.0), (cut, 1.0), (shuffle, 0.6), (wrong_topic, 1.5),
    (wrong_device, 1.0), (many_steps, 1.5), (repeat_steps, 1.5), (babble, 0.7), (replace_words, 0.7),
    (empty, 0.05),
)  # fmt: skip


def _few_of(words: tuple[str, ...], count: int, dice: Random) -> list[str]:
    """`count` words out of one to three of a class: floods mostly repeat themselves."""
    return dice.choices(dice.sample(words, min(len(words), dice.randint(1, 3))), k=count)


def _list_steps(steps: list[str]) -> list[str]:
    return f"{' , '.join(steps)} .".split()


def _device(customer: Customer, dice: Random) -> str:
    return customer.device or dice.choice(_WORDS.devices)
