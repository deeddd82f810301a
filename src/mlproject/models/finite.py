"""Scores and log-probabilities must be finite: what is not is named at its source, before it spreads.

Axis letters: B responses, R tokens of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from torch import Tensor

from mlproject.curve import LARGEST_SCORE, Array
from mlproject.errors import NotFiniteError
from mlproject.models.prompt_format import Responses

Report = Callable[[NotFiniteError], None]
"""Told what is not finite, where that shall end nothing."""

_SHOWN = 40
"""Characters of a prompt or response that a message quotes."""

_MODEL_REMEDY = "Check its weights, and whether it overflows in half precision."


def told_at(report: Report | None, place: str) -> Report | None:
    """A report that is told of the place too."""
    return None if report is None else lambda error: report(error.at(place))


def check_scores(scores_B: Array, source: str, responses: Responses | None = None, remedy: str = _MODEL_REMEDY) -> None:
    """Check that every score is a finite number, and so small that means and standard deviations are finite too.

    Args:
        scores_B: one per response, any unit. Shape: (B,).
        source: what gave them, for the message.
        responses: what was scored; None: unknown.
        remedy: what to do about it.

    Raises:
        NotFiniteError: otherwise; names the first response concerned, with its prompt.
    """
    bad = np.flatnonzero(~(np.abs(scores_B) <= LARGEST_SCORE))
    if not len(bad):
        return
    row, kinds = int(bad[0]), _kinds(scores_B[bad])
    must = "a finite score" if kinds else f"a score between -{LARGEST_SCORE:g} and {LARGEST_SCORE:g}"
    problem = (
        f"must give each response {must}, but gives {kinds or f'{scores_B[row]:g}'} to {len(bad)} of {len(scores_B)}"
    )
    if responses is not None:
        problem += f" (first to {quoted(responses.texts[row])}, to the prompt {quoted(responses.prompts[row])})"
    raise NotFiniteError(source, problem, remedy, row=row)


def check_sampled(log_probs_BR: Tensor) -> None:
    """Check the log-probabilities of tokens that a policy has sampled; logits of nan give nan here.

    Args:
        log_probs_BR: nats; 0 where there is no token. Shape: (B, R).

    Raises:
        NotFiniteError: for the first that is not finite; its `row` is that of the response.
    """
    bad_BR = ~log_probs_BR.isfinite()
    if not bad_BR.any():
        return
    row, token = bad_BR.nonzero()[0].tolist()
    count = int(bad_BR.any(1).sum())
    raise NotFiniteError(
        "policy",
        f"must give logits that are no nan, but gives nan in {count} of {len(bad_BR)} responses (first at token "
        f"{token + 1})",
        "Check its weights; where it was trained here, lower the learning rate.",
        row=row,
    )


def check_kl(kl_B: Array, responses: Responses, report: Report | None = None) -> None:
    """Check the KL of a policy from the initial policy along responses.

    Args:
        kl_B: nats. Shape: (B,).
        responses: of the policy. Length B.
        report: told of it, instead of an error.

    Raises:
        NotFiniteError: for nan or infinity; names the first prompt concerned.
    """
    bad = np.flatnonzero(~np.isfinite(kl_B))
    if not len(bad):
        return
    error = NotFiniteError(
        "KL from the initial policy",
        f"must be finite, but is {_kinds(kl_B[bad])} for {len(bad)} of {len(kl_B)} responses (first to the prompt "
        f"{quoted(responses.prompts[int(bad[0])])})",
        "Both policies must give logits that are no nan, and the initial policy must allow each token that the policy "
        "allows.",
    )
    if report is None:
        raise error
    report(error)


@contextmanager
def naming_prompts(texts_B: Sequence[str]) -> Iterator[None]:
    """Inside, a `NotFiniteError` that knows its row is told that row's prompt. Length B."""
    try:
        yield
    except NotFiniteError as error:
        raise (error if error.row is None else error.at(f"to the prompt {quoted(texts_B[error.row])}")) from None


def quoted(text: str) -> str:
    """The beginning of a text, in quotes and on one line."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _kinds(values: Array) -> str:
    return " and ".join(
        name for name, found in (("nan", np.isnan(values)), ("infinity", np.isinf(values))) if found.any()
    )
