"""A policy during training: what can be copied, and what cannot be evaluated."""

from __future__ import annotations

import copy
import functools
from types import MethodType

import pytest
import torch

from mlproject.errors import UserError
from mlproject.models.generation import sample
from mlproject.models.live_policy import as_reference, measurable, unwrapped
from mlproject.models.log_probs import measure_kl
from mlproject.models.prompt_format import PromptFormat

PROMPTS = ["yes", "no", "maybe", "yes no", "no yes", "maybe maybe"]


@pytest.fixture
def prompt_format(tiny_tokenizer):
    return PromptFormat(tiny_tokenizer, 6)


def drawn(policy, prompt_format, samples, seed):
    prompts, generator = prompt_format.encode_prompts(PROMPTS), torch.Generator().manual_seed(seed)
    return sample(policy, prompts, max_new_tokens=6, generator=generator, samples_per_prompt=samples).sequences


def test_a_reference_taken_from_a_model_that_a_trainer_has_patched_stays_where_it_was(tiny_policy, prompt_format):
    policy = tiny_policy().train()
    original = policy.forward

    @functools.wraps(type(policy).forward)  # as trl's `add_fused_lm_head` does
    def patched(self, *args, **kwargs):
        return original(*args, **kwargs)

    policy.forward = MethodType(patched, policy)
    before = copy.deepcopy(policy.state_dict())
    naive, reference = copy.deepcopy(policy).eval(), as_reference(policy, prompt_format.tokenizer)
    with torch.no_grad():
        for weights in policy.parameters():
            weights.mul_(1.3)
    sequences = drawn(reference, prompt_format, 4, 0)
    assert "forward" in policy.__dict__ and policy.training
    with measurable(policy, prompt_format.tokenizer) as live:
        assert float(measure_kl(live, reference, sequences).kl_B.mean()) > 0.01
    assert all(torch.equal(weights, before[name]) for name, weights in reference.state_dict().items())
    assert not any(weights.requires_grad for weights in reference.parameters())
    assert float(measure_kl(policy.eval(), naive, sequences).kl_B.mean()) == 0.0  # what a plain deep copy would say


def test_parameters_that_no_process_holds_whole_are_refused_in_one_line(tiny_policy):
    policy = tiny_policy()
    assert unwrapped(torch.nn.DataParallel(policy)) is policy
    next(policy.parameters()).ds_id = 0  # as DeepSpeed ZeRO-3 marks what it has spread
    with pytest.raises(
        UserError, match=r"embed_in.weight: must not be sharded over processes .* Train with DDP or ZeRO-2"
    ):
        unwrapped(policy)
