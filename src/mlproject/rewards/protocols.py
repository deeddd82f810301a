"""What is sent to a reward service, and how raw scores are read from its answer.

By the last part of the address's path: `/invocations` is a model served by MLflow, `/pooling` and `/classify` are
vLLM's, and any other address gets prompts and responses and returns scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlproject.names.quoting import one_line
from mlproject.worlds.chat import CHAT_PREFIX, messages_of

_SCORE_KEYS = ("scores", "rewards", "score", "reward", "predictions")
_LIST_KEYS = ("score", "reward", "rewards", "scores")
_RAW = (
    "Start vLLM so that the pooler gives the one raw logit of the last token (for a sequence classifier, --runner "
    "pooling and the path /classify), or serve the model by `mlflow models serve`."
)


@dataclass(frozen=True)
class Protocol:
    """How a kind of service is asked.

    Attributes:
        body: (prompts, responses, model) -> what is sent as JSON.
        scores: (answer, number of responses) -> raw scores.
        most: responses of one request; 0: any number.
        names_model: whether the request names the server's model.

    Raises:
        ValueError: by `scores`, for an answer that has no raw score for each response.
    """

    body: Callable[[Sequence[str], Sequence[str], str], Any]
    scores: Callable[[Any, int], list[float]]
    most: int = 0
    names_model: bool = False


def protocol_of(url: str) -> Protocol:
    """How the service at an address is asked."""
    return _BY_PATH.get(urlsplit(url).path.rstrip("/").rpartition("/")[2], _PLAIN)


def is_vllm(url: str) -> bool:
    """Whether an address is one of vLLM's, which may put scores through a sigmoid or a softmax."""
    return protocol_of(url).names_model


def _plain_body(prompts: Sequence[str], responses: Sequence[str], model: str) -> Any:
    given = [messages_of(prompt) if prompt.startswith(CHAT_PREFIX) else prompt for prompt in prompts]
    return {"prompts": given, "responses": list(responses)}


def _plain_scores(answer: Any, count: int) -> list[float]:
    values = answer
    if isinstance(answer, dict):
        values = next((answer[key] for key in _SCORE_KEYS if key in answer), None)
        if values is None:
            raise ValueError(
                f"must answer with a list of scores, or with one under {' or '.join(_SCORE_KEYS)}, and answers with "
                f"the fields {one_line(', '.join(map(str, list(answer)[:8])), 100) or 'none'}. Correct the service."
            )
    if not isinstance(values, list):
        values = [values]
    values = [next((v[key] for key in _LIST_KEYS if key in v), v) if isinstance(v, dict) else v for v in values]
    return _checked(values, count)


def _mlflow_body(prompts: Sequence[str], responses: Sequence[str], model: str) -> Any:
    rows = [list(row) for row in zip(prompts, responses, strict=True)]
    return {"dataframe_split": {"columns": ["prompt", "response"], "data": rows}}


def _vllm_body(prompts: Sequence[str], responses: Sequence[str], model: str) -> Any:
    messages = [*messages_of(prompts[0]), {"role": "assistant", "content": responses[0]}]
    raw = {"use_activation": False, "activation": False, "softmax": False}  # as several versions call it
    named = {"model": model} if model else {}
    return {**named, "messages": messages, "add_generation_prompt": False, **raw}


def _pooling_scores(answer: Any, count: int) -> list[float]:
    return _checked([_single(item.get("data")) for item in _items(answer)], count)


def _classify_scores(answer: Any, count: int) -> list[float]:
    return _checked([_single(item.get("probs")) for item in _items(answer)], count)


def _items(answer: Any) -> list[dict[str, Any]]:
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"must answer as vLLM does, with a list under data. {_RAW}")
    return items


def _single(values: Any) -> Any:
    """The one number of a response."""
    if not isinstance(values, list):
        return values
    if len(values) == 1:
        return _single(values[0])
    if values and isinstance(values[0], list):
        raise ValueError(
            f"must give each response one raw score, and gives one for each of {len(values)} tokens. {_RAW}"
        )
    what = "the probabilities of two classes" if len(values) == 2 else f"an embedding of {len(values)} numbers"
    raise ValueError(f"must give each response one raw score, and gives {what}. {_RAW}")


def _checked(values: list[Any], count: int) -> list[float]:
    if len(values) != count:
        raise ValueError(
            f"must give each of {count} responses one score, and gives {len(values)}. Correct the service."
        )
    for value in values:
        if isinstance(value, list):
            raise ValueError(
                f"must give each response one raw score, and gives {len(value)} numbers (an embedding, or a score for "
                "each token or class). Correct the service."
            )
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"must give each response a number, and gives {str(value)[:40]!r}. Correct the service.")
    try:
        return [float("nan") if value is None else float(value) for value in values]
    except OverflowError:
        raise ValueError("must give numbers that a float can hold, of at most 1.8e308. Correct the service.") from None


_PLAIN = Protocol(_plain_body, _plain_scores)
_BY_PATH = {
    "invocations": Protocol(_mlflow_body, _plain_scores),
    "pooling": Protocol(_vllm_body, _pooling_scores, most=1, names_model=True),
    "classify": Protocol(_vllm_body, _classify_scores, most=1, names_model=True),
}
