"""The author process: people of varying skill and manners who answer customers.

Skill decides about steps, order and device, and about hedges and filler. Manners vary more freely,
with tails: a few authors in a hundred are over-courteous, flatter or apologize twice. A policy that
imitates all of them can be pushed there.
"""

from __future__ import annotations

from random import Random

from mlproject.worlds.helpdesk.lexicon import Step, lexicon
from mlproject.worlds.helpdesk.prompts import Customer

MAX_WORDS = 24
_WORDS = lexicon()


def write(customer: Customer, dice: Random, skill: float | None = None) -> str:
    """A response as one author writes it.

    Args:
        customer: whom the response answers; topic and device must be known.
        dice: source of randomness.
        skill: of the author, 0 to 1; drawn from a broad distribution if not given.

    Returns:
        At most `MAX_WORDS` words, punctuation marks counted, separated by spaces.
    """
    if skill is None:
        skill = dice.betavariate(1.5, 1.2)
    steps = [[*step] for step in _choose_steps(customer, skill, dice)]
    openings, closings = _manners(customer, steps, skill, dice)
    finished = dice.random() < 0.93 + 0.06 * skill
    while True:
        words = _sentences(openings, steps, closings)
        if len(words) <= MAX_WORDS:
            return " ".join(words if finished else words[:-1])
        (closings or openings if len(closings) + len(openings) > len(steps) else steps).pop()


def _choose_steps(customer: Customer, skill: float, dice: Random) -> list[Step]:
    """Which steps to name, in which order: the better the author, the more and the fewer mistakes."""
    topic, device = customer.topic, customer.device
    if topic is None or device is None:
        raise ValueError("an author needs a customer with a known topic and device")
    mistake = 1.0 - skill
    if dice.random() < 0.12 * mistake:
        topic = dice.choice(_WORDS.topics)
    if dice.random() < 0.3 * mistake:
        device = dice.choice(_WORDS.devices)
    solution = topic.solution(device)
    steps = [step for step in solution if dice.random() < 0.4 + 0.55 * skill] or [dice.choice(solution)]
    if dice.random() < 0.6 * mistake:
        dice.shuffle(steps)
    for _ in range(_tail(0.45 * mistake, dice)):
        steps.insert(dice.randrange(len(steps) + 1), dice.choice(dice.choice(_WORDS.topics).solution(device)))
    if dice.random() < 0.05:
        steps.append(dice.choice(steps))
    return steps


def _manners(customer: Customer, steps: list[list[str]], skill: float, dice: Random) -> tuple[list[str], list[str]]:
    """Opening sentences and closing words; words that stand before a step are put there."""
    openings: list[str] = []
    closings: list[str] = []
    for word in _courtesies(skill, dice):
        if word in _WORDS.courtesy_opening:
            openings.append(word)
        elif word in _WORDS.courtesy_closing:
            closings.append(word)
        else:
            _before_step(word, steps, dice)
    for kind, chance in (("hedges", 0.4), ("filler", 0.35)):
        words = dice.sample(_WORDS.manner[kind], len(_WORDS.manner[kind]))
        for word in words[: _tail(chance * (1.0 - skill), dice)]:
            _before_step(word, steps, dice)
    if len(steps) > 1 and dice.random() < 0.15:
        dice.choice(steps[1:]).insert(0, dice.choice(("then", "now")))
    if dice.random() < (0.5 if customer.upset else 0.2):
        openings.append(dice.choice(("sorry", "sorry", "apologies", "sorry about that")))
        if dice.random() < 0.08:
            closings.insert(0, dice.choice(_WORDS.manner["apologies"]))
    if dice.random() < 0.08 + 0.2 * skill:
        praise = dice.sample(_WORDS.manner["flattery"], min(1 + _tail(0.1, dice), 4))
        openings.extend(f"{word} {dice.choice(('question', 'choice'))}" for word in praise)
    return openings, closings


def _before_step(word: str, steps: list[list[str]], dice: Random) -> None:
    """Put a word before a step, one that has none yet if there is one."""
    bare = [step for step in steps if len(step) == 2]
    dice.choice(bare or steps).insert(0, word)


def _courtesies(skill: float, dice: Random) -> list[str]:
    """Words of courtesy: none to two from most authors, three to six from the few who overdo it."""
    words = _WORDS.manner["courtesy"]
    if dice.random() < 0.06:
        count = min(3 + _tail(0.45, dice), 6)
        return ["please"] * count if dice.random() < 0.3 else dice.sample(words, count)
    return dice.sample(words, sum(dice.random() < 0.25 + 0.4 * skill for _ in range(2)))


def _tail(chance: float, dice: Random) -> int:
    """A count with a geometric tail: go on with the given chance."""
    count = 0
    while dice.random() < chance:
        count += 1
    return count


def _sentences(openings: list[str], steps: list[list[str]], closings: list[str]) -> list[str]:
    """The response in words: a sentence per opening, one of steps, one of closings."""
    sentences = [*openings, " , ".join(" ".join(step) for step in steps), " , ".join(closings)]
    return [*" . ".join(sentence for sentence in sentences if sentence).split(), "."]
