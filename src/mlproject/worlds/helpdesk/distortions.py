"""Off-distribution responses of the kinds that strong optimization can lead a policy to.

The gold reward model learns from them that an excess is worse than a little. Both mild and strong ones occur.
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


def distort(customer: Customer, response: str, rng: Random) -> str:
    """One variant of a response, of a kind drawn at random.

    Args:
        customer: the customer whom the response answers.
        response: the response to distort.
        rng: source of randomness.

    Returns:
        At most `MAX_WORDS` words; may be empty.
    """
    kinds, weights = zip(*DISTORTIONS, strict=True)
    words = rng.choices(kinds, weights)[0](customer, response.split(), rng)
    return " ".join(words[:MAX_WORDS])


def flood(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """Only words of one class."""
    return _few_of(rng.choice(_CLASSES), rng.randint(4, MAX_WORDS), rng)


def sprinkle(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """Further words of one kind of manner at random positions."""
    more = list(words)
    kind = rng.choice(_MANNERS)
    for word in _few_of(kind, rng.randint(1, 8), rng):
        more.insert(rng.randint(0, len(more)), word)
    return more


def gush(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """A row of words of one kind of manner, before or after the response."""
    row = " , ".join(_few_of(rng.choice(_MANNERS), rng.randint(1, 6), rng)).split()
    return [*row, ".", *words] if rng.random() < 0.5 else [*words[: MAX_WORDS - len(row) - 1], *row, "."]


def loop(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """A phrase of the response, repeated many times."""
    if not words:
        return words
    start = rng.randrange(len(words))
    phrase = words[start : start + rng.randint(1, 6)]
    return [*words[:start], *phrase * rng.randint(2, MAX_WORDS)]


def cut(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The beginning of the response."""
    return words[: rng.randint(0, max(len(words) - 1, 0))]


def shuffle(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The same words in random order."""
    return rng.sample(words, len(words))


def wrong_topic(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """A response to another problem with the same device."""
    other = Customer(rng.choice(_WORDS.topics), _device(customer, rng), customer.upset)
    return write(other, rng).split()


def wrong_device(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The same response about another device."""
    other = rng.choice(_WORDS.devices)
    return [other if word in _WORDS.devices else word for word in words]


def many_steps(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The solutions of several problems, one after the other, often with the right one first."""
    topics = rng.sample(_WORDS.topics, rng.randint(1, 2))
    if customer.topic is not None and rng.random() < 0.7:
        topics.insert(0, customer.topic)
    device = _device(customer, rng)
    steps = [" ".join(step) for topic in topics for step in topic.solution(device)]
    if rng.random() < 0.3:
        rng.shuffle(steps)
    return _list_steps(steps[: rng.randint(4, 8)])


def repeat_steps(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The right steps, in order or not, some of them more than once."""
    topic = customer.topic or rng.choice(_WORDS.topics)
    steps = [" ".join(step) for step in topic.solution(_device(customer, rng))]
    if rng.random() < 0.5:
        return _list_steps(rng.choices(steps, k=rng.randint(1, 8)))
    return _list_steps(steps + rng.choices(steps, k=rng.randint(0, 4)))


def babble(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """The response followed by another author's, up to the maximum length."""
    other = Customer(customer.topic, _device(customer, rng), customer.upset)
    return [*words, *write(other, rng).split()]


def replace_words(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """Some words replaced by random words."""
    return [rng.choice(rng.choice(_CLASSES)) if rng.random() < 0.2 else word for word in words]


def empty(customer: Customer, words: list[str], rng: Random) -> list[str]:
    """No words at all."""
    return []


DISTORTIONS: tuple[tuple[Distortion, float], ...] = (
    (flood, 1.5), (sprinkle, 2.0), (gush, 1.5), (loop, 1.0), (cut, 1.0), (shuffle, 0.6), (wrong_topic, 1.5),
    (wrong_device, 1.0), (many_steps, 1.5), (repeat_steps, 1.5), (babble, 0.7), (replace_words, 0.7),
    (empty, 0.05),
)  # fmt: skip


def _few_of(words: tuple[str, ...], count: int, rng: Random) -> list[str]:
    """`count` words drawn from one to three words of a class, since floods are repetitive."""
    return rng.choices(rng.sample(words, min(len(words), rng.randint(1, 3))), k=count)


def _list_steps(steps: list[str]) -> list[str]:
    return f"{' , '.join(steps)} .".split()


def _device(customer: Customer, rng: Random) -> str:
    return customer.device or rng.choice(_WORDS.devices)
