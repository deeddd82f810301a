"""The prompts of a user's files, as a study stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlproject.curve import Array
from mlproject.strict_json import strict_json
from mlproject.worlds.text_stats import response_stats
from mlproject.worlds.world import Phrases

_PROMPTS = "prompts.json"


class Files:
    """The prompts that a study read from a user's files; see `mlproject.worlds.World`. There is no human.

    Args:
        splits: prompts by split.
        max_response_tokens: length of the policy's longest response in tokens, end-of-sequence included.
    """

    name = "files"
    phrases = Phrases(
        stock=("Thanks!", "I hope this helps!", "Please let me know if you have any other questions."),
        filler="It is important to keep in mind that there are many aspects to consider here.",
    )

    def __init__(self, splits: Mapping[str, Sequence[str]], max_response_tokens: int) -> None:
        self._splits = {name: list(prompts) for name, prompts in splits.items()}
        self.max_response_tokens = max_response_tokens

    def prompts(self, split: str, count: int) -> list[str]:
        """The first `count` prompts of a split; those of `train` repeat if there are fewer.

        Raises:
            ValueError: for an unknown split, or more held-out prompts than it has.
        """
        if split not in self._splits:
            raise ValueError(f"split {split!r}: must be one of {', '.join(self._splits)}")
        prompts = self._splits[split]
        if split == "train":
            return [prompts[i % len(prompts)] for i in range(count)]
        if count > len(prompts):
            raise ValueError(f"{count} prompts of split {split}: it has only {len(prompts)}")
        return prompts[:count]

    def all_prompts(self, split: str) -> list[str]:
        """Every prompt of a split, once."""
        return list(self._splits[split])

    def judge(self, prompts: Sequence[str], responses: Sequence[str]) -> None:
        """None: there is no human."""
        return None

    def text_stats(self, responses: Sequence[str]) -> dict[str, Array]:
        """See `response_stats`. Each of shape (B,)."""
        return response_stats(responses)

    def save(self, folder: Path) -> None:
        """Write the prompts, so that a study does not depend on the files from which they were read."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {"max_response_tokens": self.max_response_tokens, "splits": self._splits}
        (folder / _PROMPTS).write_text(strict_json(content, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Files:
        """Read what `save` wrote."""
        content = json.loads((folder / _PROMPTS).read_text(encoding="utf-8"))
        return cls(content["splits"], content["max_response_tokens"])
