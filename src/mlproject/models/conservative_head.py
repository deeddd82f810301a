"""The head of a reward model that takes standard deviations of its own uncertainty off the reward.

The last layer is linear, so that its posterior, a normal distribution of its weights, gives each response a standard
deviation (`mlproject.cures.laplace` computes it). A model with such a head is read like any other: it has one logit.

Axis letters: B sequences, H hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mlproject.errors import UserError
from mlproject.models.scoring import inputs, is_causal, padded, padding_token, scoring_of
from mlproject.models.sequences import Sequences, batches_by_length, inference_batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "conservative_head.safetensors"
"""Beside the weights of the model, which is saved with its plain head."""


class ConservativeHead(nn.Module):
    """reward = w h - k sqrt((h - m)' S (h - m)): hidden state h, posterior covariance S of w, m where it is certain."""

    root_HH: Tensor
    certain_H: Tensor

    def __init__(self, head: nn.Linear, root_HH: Tensor, certain_H: Tensor, sds: float) -> None:
        """Args:
        head: the plain one, with weights w.
        root_HH: R with S = R R'.
        certain_H: m, the mean hidden state of the initial policy's responses: a comparison says nothing of a constant
            that is added to all rewards, so that deviations from it are what the posterior is of.
        sds: k.
        """
        super().__init__()
        self.head, self.sds = head, sds
        self.register_buffer("root_HH", root_HH)
        self.register_buffer("certain_H", certain_H)

    def forward(self, hidden: Tensor) -> Tensor:
        """One logit for each hidden state. Shape: (..., 1)."""
        deviations = (hidden - self.certain_H) @ self.root_HH
        reward: Tensor = self.head(hidden)
        return reward - self.sds * deviations.square().sum(-1, keepdim=True).sqrt()


def head_of(model: PreTrainedModel) -> tuple[str, nn.Module]:
    """Name and module of the linear map to the reward, or of what has taken its place.

    Raises:
        UserError: where there is none.
    """
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, ConservativeHead):
            return name, module
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == 1:
            return name, module
    raise UserError(f"{type(model).__name__}: must end in a linear map to one reward. Use another reward model.")


def put_head(model: PreTrainedModel, name: str, head: nn.Module) -> None:
    """Replace the head of a model."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, head)


def save_head(model: PreTrainedModel, folder: Path) -> None:
    """Write what a conservative head has beside the plain one; nothing for a plain one."""
    _, head = head_of(model)
    if isinstance(head, ConservativeHead):
        tensors = {"root": head.root_HH.contiguous(), "certain": head.certain_H.contiguous()}
        save_file(tensors, folder / FILE, {"sds": repr(head.sds)})


def with_saved_head(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the conservative head that `save_head` wrote; as it is where there is none."""
    if (folder / FILE).is_file():
        with safe_open(folder / FILE, "pt") as file:
            name, plain = head_of(model)
            assert isinstance(plain, nn.Linear)
            sds = float(file.metadata()["sds"])
            head = ConservativeHead(plain, file.get_tensor("root"), file.get_tensor("certain"), sds)
        put_head(model, name, head.to(plain.weight.device).eval())
    return model


@contextmanager
def plain_head(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model has its plain head, as transformers loads and saves it."""
    name, head = head_of(model)
    put_head(model, name, head.head if isinstance(head, ConservativeHead) else head)
    try:
        yield
    finally:
        put_head(model, name, head)


@torch.inference_mode()
def hidden_states(model: PreTrainedModel, sequences: Sequences) -> Tensor:
    """What the head of a reward model reads of each sequence. Shape: (B, H), float64, on the CPU."""
    model.eval()
    name, head = head_of(model)
    decoder, how = is_causal(model), scoring_of(model)
    parts, places = [], []
    put_head(model, name, nn.Identity())
    try:
        with padding_token(model, sequences) as pad_id:
            same = padded(sequences, pad_id)
            lengths = [None] if how.pads else same.ends_B.unique().tolist()
            for length in lengths:
                every = torch.arange(len(same))
                rows = every if length is None else every[same.ends_B == length]
                for index, batch in batches_by_length(same.select(rows), inference_batch(model)):
                    parts.append(model(**inputs(batch.to(model.device), model.config, decoder)).logits.double().cpu())
                    places.append(rows[index])
    finally:
        put_head(model, name, head)
    hidden_BH = torch.cat(parts)
    return hidden_BH[torch.cat(places).argsort()]
