"""A language model's head on a reward model: what it predicts, and what it leaves as it is."""

from __future__ import annotations

import pytest
import torch
from tests.support.checkpoints import TEXTS, bert_tokenizer, byte_tokenizer, save_checkpoint

from mlproject.errors import UserError
from mlproject.models.checkpoints import load_policy_checkpoint, load_with_reward_head, prompt_format_of
from mlproject.models.init import new_policy, new_reward_model
from mlproject.models.inspection import inspect_checkpoint
from mlproject.models.log_probs import log_probs_of
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scoring import logits, scoring_of
from mlproject.models.text_head import rewards_and_text, text_head


def test_a_reward_model_with_a_policys_trunk_and_head_says_what_the_policy_says(tiny_tokenizer) -> None:
    policy, model = (new("3k", tiny_tokenizer, seed=1).eval() for new in (new_policy, new_reward_model))
    model.base_model.load_state_dict(policy.base_model.state_dict())
    prompts, responses = ["yes no", "maybe", "no"], ["no maybe", "yes", "yes no no maybe"]
    batch = PromptFormat(tiny_tokenizer, max_response_tokens=8).encode(prompts, responses)
    written = torch.tensor([2, 0])
    with torch.no_grad():
        rewards_B, log_p = rewards_and_text(model, text_head(model, 0, policy), batch, written)
        expected = log_probs_of(policy, batch).sum(1)[written]
        assert torch.allclose(log_p, expected, atol=1e-5)
        assert torch.allclose(rewards_B, logits(model, batch, scoring_of(model)), atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_checkpoint_of_a_language_model_keeps_its_own_head(architecture, tmp_path) -> None:
    save_checkpoint(tmp_path, architecture, byte_tokenizer(300, chat=False), reward=False)
    base = inspect_checkpoint(str(tmp_path), "rm_sizes")
    model, tokenizer = load_with_reward_head(base, "rm_sizes", 0)
    policy, _ = load_policy_checkpoint(base, "rm_sizes")
    batch = prompt_format_of(tokenizer, model).encode(TEXTS[:3], ["yes no", "a", "no no no"])
    with torch.no_grad():
        _, log_p_B = rewards_and_text(model.eval(), text_head(model, 0, policy), batch, torch.arange(3))
        assert torch.allclose(log_p_B, log_probs_of(policy, batch).sum(1), rtol=1e-4, atol=1e-4)


def test_the_head_is_a_copy_and_a_random_one_is_decided_by_its_seed(tiny_tokenizer) -> None:
    policy, model = (new("1k", tiny_tokenizer, seed=1) for new in (new_policy, new_reward_model))
    head = text_head(model, 0, policy)
    with torch.no_grad():
        head.weight.add_(1.0)
    assert not torch.equal(head.weight, policy.get_output_embeddings().weight)
    first, again, other = (text_head(model, seed).weight for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == policy.get_output_embeddings().weight.shape


def test_an_encoder_is_refused(tmp_path) -> None:
    save_checkpoint(tmp_path, "bert", bert_tokenizer(), reward=True)
    model, _ = load_with_reward_head(inspect_checkpoint(str(tmp_path), "rm_sizes"), "rm_sizes", 0)
    with pytest.raises(UserError, match=r"^rm_text_weight: must be 0 for Bert.*encoder.* Remove the option"):
        text_head(model, 0)
