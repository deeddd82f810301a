"""Which column of a table of samples is what: as the user says, or by names and kinds that leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.errors import UserError
from mlproject.options.columns import hint, listed, plain
from mlproject.samples.columns import Column, Kind, Table

MEANINGS = {
    "prompt": "the prompt (text or messages), or an id of it",
    "response": "the response",
    "gold": "the gold score of the response, or a judge's",
    "logprob": "log-probability of the response under the policy, nats, summed over its tokens",
}

_PROMPT = (
    "prompt", "question", "instruction", "query", "user_prompt", "problem", "input", "context", "messages",
    "conversation", "conversations", "post", "request", "task", "prompts", "questions",
)  # fmt: skip
_PROMPT_WORDS = ({"prompt"}, {"question"}, {"instruction"}, {"query"})
_PROMPT_IDS = (
    "prompt_id", "question_id", "promptid", "qid", "pid", "prompt_idx", "prompt_index", "query_id", "problem_id",
    "task_id", "instance_id", "example_id", "group_id", "group", "uid", "id", "idx", "index",
)  # fmt: skip
_RESPONSE = (
    "response", "completion", "output", "answer", "generation", "responses", "completions", "outputs", "answers",
    "generations", "generated_text", "model_output", "reply", "candidate", "candidates", "samples", "sample",
    "continuation", "text", "generated",
)  # fmt: skip
_RESPONSE_WORDS = ({"response"}, {"completion"}, {"output"}, {"answer"}, {"generation"}, {"responses"}, {"completions"})
_GOLD_WORDS = (
    ({"gold"}, {"golden"}),
    ({"oracle"}, {"ground", "truth"}, {"groundtruth"}, {"true", "reward"}, {"true", "score"}),
    ({"human"}, {"annotator"}, {"annotators"}),
    ({"judge"}, {"judged"}, {"judgement"}, {"judgment"}, {"grader"}, {"graded"}),
    ({"correct"}, {"correctness"}, {"iscorrect"}, {"solved"}, {"passed"}, {"verified"}, {"label"}),
)
"""Words in the name of a column that holds gold, the surest first."""

_LOGPROBS = (
    "logprob", "log_prob", "logp", "cumulative_logprob", "sum_logprob", "sum_logprobs", "total_logprob", "seq_logprob",
    "sequence_logprob", "response_logprob", "completion_logprob", "policy_logprob", "logprobs", "logprob_sum",
)  # fmt: skip

_CLEARLY = 1.5
"""How many times more values responses have than prompts, where nothing else tells them apart."""

_REWARD_WORDS = {"rm", "reward", "rewards", "score", "scores"}
_META_WORDS = {
    "id", "ids", "idx", "index", "row", "line", "rank", "position", "seed", "step", "epoch", "count", "counts", "num",
    "number", "total", "n", "split", "fold", "shard", "batch", "turn", "turns", "se", "std", "stderr", "sd", "var",
    "variance", "time", "timestamp", "date", "created", "latency", "duration", "seconds", "ms", "temperature", "top",
    "logprob", "logprobs", "logp", "logps", "unnamed", "level", "ppl", "perplexity", "entropy", "kl",
}  # fmt: skip
_LABEL_WORDS = {
    "id", "ids", "uid", "uuid", "hash", "model", "name", "source", "subset", "split", "category", "dataset", "reason",
    "language", "lang", "date", "time", "timestamp", "system", "template", "engine", "version", "metadata",
}  # fmt: skip
"""Words in the names of columns of texts that are neither prompts nor responses."""

_LENGTH_WORDS = {"length", "lengths", "len", "tokens", "token", "chars", "characters", "words", "bytes"}


@dataclass(frozen=True)
class Roles:
    """What the columns mean.

    Attributes:
        prompt, gold: columns.
        response, logprob: columns; None where there is none.
        rms: the reward models.
        left_out: further columns of numbers, with the reason why they are no reward models.
    """

    prompt: Column
    response: Column | None
    gold: Column
    logprob: Column | None
    rms: Sequence[Column]
    left_out: Sequence[tuple[str, str]]


class Finder:
    """Finds the columns of a table.

    Args:
        table: the table.
        asked: columns that the user named, by meaning.
    """

    def __init__(self, table: Table, asked: Mapping[str, str]) -> None:
        self._table, self._asked = table, asked
        self.taken: set[str] = set()

    def named(self, name: str, option: str) -> Column:
        """The column of a name that the user gave.

        Raises:
            UserError: if there is none.
        """
        columns = self._table.columns
        close = [name] if name in columns else [other for other in columns if plain(other) == plain(name)]
        if len(close) != 1:
            raise UserError(
                f"{option}: must be a column of {self._table.source}{hint(name, list(columns))}; its columns are "
                f"{listed(list(columns))}. Correct the name."
            )
        self.taken.add(close[0])
        return columns[close[0]]

    def asked_for(self, meaning: str) -> Column | None:
        """The column that the user named for a meaning."""
        name = self._asked.get(meaning)
        return None if name is None else self.named(name, f"columns={meaning}={name}")

    def by_name(self, names: Iterable[str], fits: Callable[[Column], bool]) -> Column | None:
        """The first column of one of these names, which no other meaning has taken."""
        by_plain = {plain(each.name.rpartition(".")[2]): each for each in self.free(fits)}
        found = next((by_plain[name] for name in names if name in by_plain), None)
        if found is not None:
            self.taken.add(found.name)
        return found

    def by_words(self, wanted: Collection[set[str]], fits: Callable[[Column], bool], meaning: str) -> Column | None:
        """The one column whose name has all words of one of the sets.

        Raises:
            UserError: if there are several.
        """
        found = [each for each in self.free(fits) if any(words <= words_of(each.name) for words in wanted)]
        if len(found) > 1:
            exact = [each for each in found if words_of(each.name) in wanted]
            found = exact if len(exact) == 1 else found
        if len(found) > 1:
            raise UserError(
                f"{self._table.source}: may have {meaning} in {' or '.join(each.name for each in found)}. "
                f"Give columns={meaning}=ONE_OF_THEM."
            )
        if found:
            self.taken.add(found[0].name)
        return found[0] if found else None

    def by_kind(self, fits: Callable[[Column], bool]) -> Column | None:
        """The one free column that fits."""
        found = self.free(fits)
        if len(found) != 1:
            return None
        self.taken.add(found[0].name)
        return found[0]

    def refusal(self, meaning: str) -> UserError:
        """There is no column for a meaning, or no telling which."""
        kinds = [f"{each.name} ({each.kind})" for each in self._table.columns.values()]
        return UserError(
            f"{self._table.source}: must have a column of {MEANINGS[meaning]}, and none is known by its name; its "
            f"columns are {listed(kinds)}. Give columns={meaning}=COLUMN."
        )

    def free(self, fits: Callable[[Column], bool]) -> list[Column]:
        """The columns that no meaning has taken and that fit."""
        return [each for each in self._table.columns.values() if each.name not in self.taken and fits(each)]


def words_of(name: str) -> set[str]:
    """The words of a column's name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)}


def find_gold(finder: Finder) -> Column:
    """The column of gold.

    Raises:
        UserError: if there is none, or no telling which, or it holds no numbers.
    """
    if (gold := finder.asked_for("gold")) is not None:
        if not gold.is_scores:
            raise UserError(
                f"columns=gold={gold.name}: must hold numbers, or lists of them, not {gold.kind}. Name another."
            )
        return gold
    for wanted in _GOLD_WORDS:
        if gold := finder.by_words(wanted, lambda each: each.is_scores and not is_meta(each.name), "gold"):
            return gold
    raise finder.refusal("gold")


def find_prompt(finder: Finder, rows: int) -> Column | None:
    """The column of prompts, or of their ids; None if there is none, or no telling which."""

    def is_text(each: Column) -> bool:
        return each.kind in (Kind.TEXT, Kind.MESSAGES) and not _is_label(each)

    return (
        finder.asked_for("prompt")
        or finder.by_name(_PROMPT, is_text)
        or finder.by_words(_PROMPT_WORDS, is_text, "prompt")
        or finder.by_name(_PROMPT_IDS, lambda each: _is_id(each) and distinct(each) < rows)
    )


def find_response(finder: Finder, kinds: Sequence[Kind]) -> Column | None:
    """The column of responses, by its name; None if there is none, or no telling which."""

    def fits(each: Column) -> bool:
        return each.text_kind in kinds and not _is_label(each)

    return (
        finder.asked_for("response")
        or finder.by_name(_RESPONSE, fits)
        or finder.by_words(_RESPONSE_WORDS, fits, "response")
    )


def texts_by_repetition(finder: Finder) -> tuple[Column | None, Column | None]:
    """Prompt and response where the table has just two columns of texts, of which one repeats its values more often."""
    columns = finder.free(lambda each: each.kind is Kind.TEXT and not _is_label(each))
    texts = {each: distinct(each) for each in columns}
    several = sorted((each for each, count in texts.items() if count > 1), key=texts.__getitem__)
    if len(several) != 2 or _CLEARLY * texts[several[0]] > texts[several[1]]:
        return None, None
    finder.taken |= {each.name for each in several}
    return several[0], several[1]


def response_beside(finder: Finder, prompt: Column) -> Column | None:
    """The only column of texts that differ within prompts."""
    prompts = distinct(prompt) if prompt.kind is not Kind.MESSAGES else 1
    return finder.by_kind(lambda e: e.kind is Kind.TEXT and not _is_label(e) and distinct(e) > prompts)


def find_logprob(finder: Finder, kind: Callable[[Column], bool]) -> Column | None:
    """The column of log-probabilities; None if there is none."""
    return finder.asked_for("logprob") or finder.by_name(_LOGPROBS, kind)


def is_meta(name: str) -> bool:
    """Whether a column's name says that it counts, orders or describes samples, instead of scoring them."""
    words = words_of(name.rpartition(".")[2])
    return bool(words & _META_WORDS) or bool(words & _LENGTH_WORDS and not words & _REWARD_WORDS)


def distinct(column: Column) -> int:
    """Number of different values, empty ones apart."""
    return len(column.stored.drop_null().unique())


def _is_label(column: Column) -> bool:
    """Whether a column of texts is, by its name, neither prompts nor responses."""
    return bool(words_of(column.name) & _LABEL_WORDS)


def _is_id(column: Column) -> bool:
    if column.kind is Kind.TEXT:
        return True
    values_B = column.values_B
    return column.kind is Kind.NUMBER and bool(np.all(np.isnan(values_B) | (np.floor(values_B) == values_B)))
