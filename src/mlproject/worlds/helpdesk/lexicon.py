"""The vocabulary of the help desk, read once from `lexicon.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from mlproject.names import Statistic

DEVICE = "DEVICE"
Step = tuple[str, str]


@dataclass(frozen=True)
class Topic:
    """A problem that a customer can have, and its solution.

    Attributes:
        name: name of the topic.
        problems: paraphrases of the problem, as they occur in prompts.
        steps: (verb, object) in the right order; the object `DEVICE` stands for the customer's device.
    """

    name: str
    problems: tuple[str, ...]
    steps: tuple[Step, ...]

    def solution(self, device: str) -> tuple[Step, ...]:
        """The steps with the customer's device in place, in the right order."""
        return tuple((verb, device if thing == DEVICE else thing) for verb, thing in self.steps)


@dataclass(frozen=True)
class Lexicon:
    """The words of prompts and responses; see the comments in `lexicon.yaml`.

    Attributes:
        manner: the words that determine the manner of a response, by kind: courtesy, apologies, flattery, hedges,
            filler.
    """

    topics: tuple[Topic, ...]
    devices: tuple[str, ...]
    greetings: tuple[str, ...]
    adjectives: tuple[str, ...]
    times: tuple[str, ...]
    upset: tuple[str, ...]
    calm: tuple[str, ...]
    courtesy_opening: tuple[str, ...]
    courtesy_before_step: tuple[str, ...]
    courtesy_closing: tuple[str, ...]
    manner: Mapping[str, tuple[str, ...]]
    joiners: tuple[str, ...]
    marks: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem phrase, topic by topic."""
        return tuple(problem for topic in self.topics for problem in topic.problems)

    @property
    def verbs(self) -> tuple[str, ...]:
        """Distinct verbs of the steps."""
        return _distinct(verb for topic in self.topics for verb, _ in topic.steps)

    @property
    def objects(self) -> tuple[str, ...]:
        """Distinct objects of the steps, devices included."""
        things = (thing for topic in self.topics for _, thing in topic.steps if thing != DEVICE)
        return _distinct((*things, *self.devices))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word of prompts and responses, in a fixed order."""
        parts = (
            self.greetings,
            self.adjectives,
            self.devices,
            self.problems,
            self.times,
            self.upset,
            self.calm,
        )
        words = [word for part in parts for phrase in part for word in phrase.split()]
        manner = [word for words_of_kind in self.manner.values() for word in words_of_kind]
        return _distinct((*self.marks, *manner, *self.joiners, *self.verbs, *self.objects, *words))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon; it does not depend on the world seed."""
    raw = yaml.safe_load(files(__package__).joinpath("lexicon.yaml").read_text(encoding="utf-8"))
    courtesy = {place: tuple(words) for place, words in raw["courtesy"].items()}
    return Lexicon(
        topics=tuple(_topic(name, entry) for name, entry in raw["topics"].items()),
        courtesy_opening=courtesy["opening"],
        courtesy_before_step=courtesy["before_step"],
        courtesy_closing=courtesy["closing"],
        manner={
            Statistic.COURTESY: tuple(word for words in courtesy.values() for word in words),
            Statistic.APOLOGIES: tuple(raw["apology"]),
            Statistic.FLATTERY: tuple(raw["flattery"]),
            Statistic.HEDGES: tuple(raw["hedges"]),
            Statistic.FILLER: tuple(raw["filler"]),
        },
        **{name: tuple(raw[name]) for name in _PLAIN_LISTS},
    )


_PLAIN_LISTS = ("devices", "greetings", "adjectives", "times", "upset", "calm", "joiners", "marks")


def _topic(name: str, entry: Mapping[str, list[str]]) -> Topic:
    steps = [tuple(step.split()) for step in entry["steps"]]
    return Topic(name, tuple(entry["problems"]), tuple((verb, thing) for verb, thing in steps))


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
