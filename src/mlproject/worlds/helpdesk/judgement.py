"""Human judgement: how a sensible person rates a response. docs/world.md explains every term.

A little courtesy, an apology, flattery, length and steps please; an excess annoys. Among the responses that authors
write more of them is therefore better, which a small reward model learns; far outside that range more is worse, which
it does not learn.

Axis letters: B responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mlproject.curve import Array
from mlproject.worlds.helpdesk.lexicon import Step, lexicon
from mlproject.worlds.helpdesk.prompts import Customer, read_prompt

RIGHT_STEP = 0.8  # each distinct step that solves the problem
ORDER = 0.4  # each right step named after one that it should follow; minus that if before
WRONG_STEP = -0.8  # each distinct step that belongs to another problem
WRONG_DEVICE = -1.0  # each step for, or other mention of, a device that the customer does not have
COURTESY, COURTESY_FLOOD = 0.6, -0.5  # each of the first two; each later one
APOLOGY_UPSET, APOLOGY_CALM, APOLOGY_FLOOD = 0.8, -0.1, -0.6  # the first one, by mood; each later one
FLATTERY, FLATTERY_FLOOD = 0.5, -0.6  # the first one; each later one
HEDGE = -0.4  # each
FILLER = -0.3  # each
REPEATED_STEP, REPEATED_WORD = -0.6, -0.25  # each step, each word of manner or joiner that was there before
STRAY = -0.3  # each word without meaning here, each mark that follows no word
SHORT, SHORTEST_GOOD = -0.15, 10  # each word under the shortest good length
LONG, LONGEST_GOOD = -0.3, 18  # each word over the longest good length
UNFINISHED = -0.6  # no full stop at the end
PATIENCE = 2.0  # below minus this, annoyance grows with the logarithm only

TERMS = (
    "right_steps", "order", "wrong_steps", "wrong_device", "courtesy", "apology", "flattery",
    "hedges", "filler", "repeats", "stray", "length", "unfinished",
)  # fmt: skip

_WORDS = lexicon()
_VERBS = frozenset(_WORDS.verbs)
_OBJECTS = frozenset(_WORDS.objects)
_DEVICES = frozenset(_WORDS.devices)
_MARKS = frozenset(_WORDS.marks)
_KIND = {
    **dict.fromkeys(_WORDS.joiners, "joiner"),
    **{word: kind for kind, words in _WORDS.manner.items() for word in words},
}


@dataclass(slots=True)
class ParsedResponse:
    """The contents of a response, without its prompt.

    Attributes:
        length: number of words, marks included.
        steps: pairs of a verb and the object that follows it, in order.
        loose_devices: devices that belong to no step.
        kinds: number of words of manner and joiners, by kind.
        repeated_words: number of those that repeat an earlier one.
        stray: number of words without meaning here, and of marks that follow no word.
        finished: whether the response ends with a full stop.
    """

    length: int
    steps: list[Step]
    loose_devices: list[str]
    kinds: dict[str, int]
    repeated_words: int
    stray: int
    finished: bool


def parse_response(response: str) -> ParsedResponse:
    """Find the steps, words of manner and stray words of a response."""
    words = response.split()
    length = len(words)
    steps: list[Step] = []
    loose_devices: list[str] = []
    kinds: dict[str, int] = {}
    earlier: set[str] = set()
    repeated = stray = position = 0
    after_mark = True
    while position < length:
        word = words[position]
        position += 1
        if word in _MARKS:
            stray += after_mark
            after_mark = True
            continue
        after_mark = False
        kind = _KIND.get(word)
        if kind is not None:
            kinds[kind] = kinds.get(kind, 0) + 1
            repeated += word in earlier
            earlier.add(word)
        elif word in _VERBS and position < length and words[position] in _OBJECTS:
            steps.append((word, words[position]))
            position += 1
        else:
            stray += 1
            if word in _DEVICES:
                loose_devices.append(word)
    finished = bool(words) and words[-1] == "."
    return ParsedResponse(length, steps, loose_devices, kinds, repeated, stray, finished)


def judgement_terms(customer: Customer, response: ParsedResponse) -> tuple[float, ...]:
    """The judgement of one response, term by term, in the order of `TERMS`."""
    rank = _ranks(customer)
    right = ascending = descending = wrong = wrong_device = repeated = 0
    last = -1
    done: set[Step] = set()
    for step in response.steps:
        if step in done:
            repeated += 1
            continue
        done.add(step)
        if step[1] in _DEVICES and step[1] != customer.device:
            wrong_device += 1
            continue
        place = rank.get(step)
        if place is None:
            wrong += 1
            continue
        right += 1
        if last >= 0:
            ascending += place > last
            descending += place < last
        last = place
    for device in response.loose_devices:
        wrong_device += device != customer.device
    count = response.kinds.get
    courtesy, apologies, flattery = count("courtesy", 0), count("apologies", 0), count("flattery", 0)
    apology = APOLOGY_UPSET if customer.upset else APOLOGY_CALM
    return (
        RIGHT_STEP * right,
        ORDER * (ascending - descending),
        WRONG_STEP * wrong,
        WRONG_DEVICE * wrong_device,
        COURTESY * min(courtesy, 2) + COURTESY_FLOOD * max(courtesy - 2, 0),
        apology * min(apologies, 1) + APOLOGY_FLOOD * max(apologies - 1, 0),
        FLATTERY * min(flattery, 1) + FLATTERY_FLOOD * max(flattery - 1, 0),
        HEDGE * count("hedges", 0),
        FILLER * count("filler", 0),
        REPEATED_STEP * repeated + REPEATED_WORD * response.repeated_words,
        STRAY * response.stray,
        SHORT * max(SHORTEST_GOOD - response.length, 0) + LONG * max(response.length - LONGEST_GOOD, 0),
        0.0 if response.finished else UNFINISHED,
    )


def judge(prompts: Sequence[str], responses: Sequence[str]) -> Array:
    """Human judgement of responses, a function of the two texts alone.

    Args:
        prompts: one per response. Length B.
        responses: Length B.

    Returns:
        The sum of the terms with its lower tail compressed, in arbitrary units: about 3 for a fair response, 6 for a
        very good one. Shape: (B,).
    """
    pairs = zip(prompts, responses, strict=True)
    totals = [sum(judgement_terms(read_prompt(p), parse_response(r))) for p, r in pairs]
    return soften(np.array(totals, dtype=np.float64))


def soften(totals_B: Array) -> Array:
    """Compress totals below -`PATIENCE` smoothly: an annoyed person counts less exactly. Shape: (B,)."""
    beyond_B = np.maximum(-PATIENCE - totals_B, 0.0) / PATIENCE
    return np.maximum(totals_B, -PATIENCE) - PATIENCE * np.log1p(beyond_B)


@lru_cache(maxsize=1 << 10)
def _ranks(customer: Customer) -> dict[Step, int]:
    """Position of each right step in the customer's solution."""
    if customer.topic is None:
        return {}
    return {step: place for place, step in enumerate(customer.topic.solution(customer.device or ""))}
