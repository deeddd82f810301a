"""The policy that an on-policy method trains, alone or with a value head on its trunk.

Axis letters: B sequences, R tokens of a response, V vocabulary, H hidden width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from mlproject.models.generation import ValueOf
from mlproject.models.response_logits import read_responses
from mlproject.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Actor(nn.Module):
    """A policy without a critic."""

    value_of: ValueOf | None = None
    """What is asked before each token while sampling."""

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, sequences: Sequences) -> tuple[Tensor, Tensor | None]:
        """Logits that predict each response token, and the value before it. Shapes: (B, R, V), (B, R)."""
        return read_responses(self.policy, sequences)[1].float(), None

    def parameter_groups(self, lr: float) -> list[dict]:
        """Groups for an optimizer.

        Args:
            lr: learning rate of the policy.
        """
        return [{"params": [p for p in self.policy.parameters() if p.requires_grad], "lr": lr}]


class ActorCritic(Actor):
    """A policy with a value head on its last hidden states.

    The head sends no gradients into the trunk: only the proxy moves the policy, and the head can learn twenty times
    faster without moving it.
    """

    def __init__(self, policy: PreTrainedModel, value_lr: float = 0.0) -> None:
        super().__init__(policy)
        self._value_lr = value_lr
        output = policy.get_output_embeddings()
        width = policy.config.get_text_config().hidden_size if output is None else output.weight.shape[1]
        last = nn.Linear(64, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.value_head = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), last)

    def forward(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        hidden_BRH, logits_BRV = read_responses(self.policy, sequences)
        return logits_BRV.float(), self.value_of(hidden_BRH)

    def value_of(self, hidden: Tensor) -> Tensor:
        """The value before each token, from the last hidden states that predict it; (..., H) -> (...)."""
        return self.value_head(hidden.detach().float()).squeeze(-1)

    def parameter_groups(self, lr: float) -> list[dict]:
        """The value head is a group of its own, so that its large errors do not slow the policy."""
        return [*super().parameter_groups(lr), {"params": self.value_head.parameters(), "lr": self._value_lr}]
