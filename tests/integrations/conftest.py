"""The embedded world's tokenizer, a small policy and two reward models in folders, and TRL's trainers around them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer

    from mlproject.worlds import World

TRAINERS = ("RLOO", "GRPO", "DPO")


@dataclass(frozen=True)
class Setting:
    """What the trainers and the oracle share; everything in folders too, to be read afresh."""

    world: World
    tokenizer: PreTrainedTokenizerFast
    policy: PreTrainedModel
    policy_folder: Path
    proxy_folder: Path
    gold_folder: Path
    curve_prompts: list[str]

    def reward(self, prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        """Longer and more varied is better: any reward that moves the policy will do."""
        return [len(set(completion.split())) + 0.1 * len(completion.split()) for completion in completions]


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    import torch

    from mlproject.models.init import new_policy, new_reward_model
    from mlproject.models.prompt_format import PromptFormat
    from mlproject.models.reward_model import RewardModel
    from mlproject.worlds import load_world

    folder = tmp_path_factory.mktemp("setting")
    world = load_world("helpdesk", 0)
    tokenizer = world.tokenizer()
    tokenizer.padding_side = "left"
    prompt_format = PromptFormat(tokenizer, world.max_response_tokens)
    policy = new_policy("25k", tokenizer, 0).eval()
    with torch.no_grad():
        policy.get_output_embeddings().weight.mul_(3.0)
    policy.save_pretrained(folder / "policy")
    tokenizer.save_pretrained(folder / "policy")
    for seed, name in enumerate(("proxy", "gold")):
        RewardModel(new_reward_model("3k", tokenizer, seed).eval()).save(folder / name, prompt_format)
    return Setting(
        world,
        tokenizer,
        policy,
        folder / "policy",
        folder / "proxy",
        folder / "gold",
        world.prompts("curve", 12),
    )


@pytest.fixture(scope="session")
def trl_trainer(setting: Setting) -> Callable[..., Trainer]:
    """Builds a trainer of TRL on a fresh copy of the policy; without KL penalty where it has one."""
    import trl
    from datasets import Dataset

    separator = f" {setting.tokenizer.sep_token}"
    prompts = [prompt + separator for prompt in setting.world.prompts("train", 64)]

    def build(name: str, folder: Path, **settings: Any) -> Trainer:
        shared: dict[str, Any] = {
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": 8,
            "max_steps": 6,
            "learning_rate": 3e-3,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 1,
        }
        data: dict[str, list[str]] = {"prompt": prompts}
        trained: dict[str, Any] = {}
        if name == "DPO":
            prompts_of_corpus, written = setting.world.corpus(64, np.random.default_rng(0))
            data = {
                "prompt": [text + separator for text in prompts_of_corpus],
                "chosen": [f" {text}" for text in written],
                "rejected": [f" {text}" for text in reversed(written)],
            }
            trained["ref_model"] = copy.deepcopy(setting.policy)
        else:
            shared |= {"num_generations": 4, "max_completion_length": setting.world.max_response_tokens, "beta": 0.0}
            trained["reward_funcs"] = setting.reward
        callbacks = settings.pop("callbacks", [])
        trained |= {name: settings.pop(name) for name in ("peft_config",) if name in settings}
        model = settings.pop("model", None) or copy.deepcopy(setting.policy)
        return getattr(trl, f"{name}Trainer")(
            model=model,
            args=getattr(trl, f"{name}Config")(**shared | settings),
            train_dataset=Dataset.from_dict(data),
            processing_class=copy.deepcopy(setting.tokenizer),
            callbacks=callbacks,
            **trained,
        )

    return build
