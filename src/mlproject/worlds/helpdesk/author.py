"""The authors: simulated people of varying skill and manners who answer customers.

Skill determines steps, order and device, and the number of hedges and fillers. Manners vary more freely and have tails:
a few authors in a hundred are over-courteous, flatter or apologize twice, so optimization can push a policy that
imitates all of them there.
"""

from __future__ import annotations

from random import Random

from mlproject.worlds.helpdesk.lexicon import Step, lexicon
from mlproject.worlds.helpdesk.prompts import Customer

MAX_WORDS = 24
_WORDS = lexicon()


def write(customer: Customer, rng: Random, skill: float | None = None) -> str:
    """A response by one author.

    Args:
        customer: the customer whom the response answers; topic and device must be known.
        rng: source of randomness.
        skill: skill of the author, 0 to 1; None: drawn from a broad distribution.

    Returns:
        At most `MAX_WORDS` words, punctuation marks counted, separated by spaces.
    """
    if skill is None:
        skill = rng.betavariate(1.5, 1.2)
    steps = [[*step] for step in _choose_steps(customer, skill, rng)]
    openings, closings = _manners(customer, steps, skill, rng)
    finished = rng.random() < 0.93 + 0.06 * skill
    while True:
        words = _sentences(openings, steps, closings)
        if len(words) <= MAX_WORDS:
            return " ".join(words if finished else words[:-1])
        (closings or openings if len(closings) + len(openings) > len(steps) else steps).pop()


def _choose_steps(customer: Customer, skill: float, rng: Random) -> list[Step]:
    """The steps that the response names, in order: a better author names more and makes fewer mistakes."""
    topic, device = customer.topic, customer.device
    if topic is None or device is None:
        raise ValueError("the customer must have a known topic and device")
    mistake = 1.0 - skill
    if rng.random() < 0.12 * mistake:
        topic = rng.choice(_WORDS.topics)
    if rng.random() < 0.3 * mistake:
        device = rng.choice(_WORDS.devices)
    solution = topic.solution(device)
    steps = [step for step in solution if rng.random() < 0.4 + 0.55 * skill] or [rng.choice(solution)]
    if rng.random() < 0.6 * mistake:
        rng.shuffle(steps)
    for _ in range(_tail(0.45 * mistake, rng)):
        steps.insert(rng.randrange(len(steps) + 1), rng.choice(rng.choice(_WORDS.topics).solution(device)))
    if rng.random() < 0.05:
        steps.append(rng.choice(steps))
    return steps


def _manners(customer: Customer, steps: list[list[str]], skill: float, rng: Random) -> tuple[list[str], list[str]]:
    """Opening sentences and closing words; words that belong before a step are inserted into `steps`."""
    openings: list[str] = []
    closings: list[str] = []
    for word in _courtesies(skill, rng):
        if word in _WORDS.courtesy_opening:
            openings.append(word)
        elif word in _WORDS.courtesy_closing:
            closings.append(word)
        else:
            _before_step(word, steps, rng)
    for kind, chance in (("hedges", 0.4), ("filler", 0.35)):
        words = rng.sample(_WORDS.manner[kind], len(_WORDS.manner[kind]))
        for word in words[: _tail(chance * (1.0 - skill), rng)]:
            _before_step(word, steps, rng)
    if len(steps) > 1 and rng.random() < 0.15:
        rng.choice(steps[1:]).insert(0, rng.choice(("then", "now")))
    if rng.random() < (0.5 if customer.upset else 0.2):
        openings.append(rng.choice(("sorry", "sorry", "apologies", "sorry about that")))
        if rng.random() < 0.08:
            closings.insert(0, rng.choice(_WORDS.manner["apologies"]))
    if rng.random() < 0.08 + 0.2 * skill:
        praise = rng.sample(_WORDS.manner["flattery"], min(1 + _tail(0.1, rng), 4))
        openings.extend(f"{word} {rng.choice(('question', 'choice'))}" for word in praise)
    return openings, closings


def _before_step(word: str, steps: list[list[str]], rng: Random) -> None:
    """Insert a word before a random step, preferably one that has no such word yet."""
    bare = [step for step in steps if len(step) == 2]
    rng.choice(bare or steps).insert(0, word)


def _courtesies(skill: float, rng: Random) -> list[str]:
    """Words of courtesy: zero to two from most authors, three to six from a few."""
    words = _WORDS.manner["courtesy"]
    if rng.random() < 0.06:
        count = min(3 + _tail(0.45, rng), 6)
        return ["please"] * count if rng.random() < 0.3 else rng.sample(words, count)
    return rng.sample(words, sum(rng.random() < 0.25 + 0.4 * skill for _ in range(2)))


def _tail(chance: float, rng: Random) -> int:
    """A geometric count: it goes up by one with the given chance until it does not."""
    count = 0
    while rng.random() < chance:
        count += 1
    return count


def _sentences(openings: list[str], steps: list[list[str]], closings: list[str]) -> list[str]:
    """The response as tokens: one sentence per opening, one of steps, one of closings."""
    sentences = [*openings, " , ".join(" ".join(step) for step in steps), " , ".join(closings)]
    return [*" . ".join(sentence for sentence in sentences if sentence).split(), "."]
