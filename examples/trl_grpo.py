"""GRPO by TRL on the embedded world, monitored: it ends where the forecast says that gold is highest.

    pip install -e '.[trl]'
    python examples/trl_grpo.py

Offline, on a CPU, a minute or two. A small policy learns to write; a small reward model (the proxy) learns from 12,000
comparisons; TRL's `GRPOTrainer` optimizes the policy against it with no KL penalty. The world's own judgement plays
gold. The lines between the two rules are all that monitoring takes; the rest sets the scene.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlflow.db').absolute()}")

try:
    from trl import GRPOConfig, GRPOTrainer
except ImportError:
    sys.exit("trl is not installed; run: pip install -e '.[trl]'")

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset

from mlproject import OveroptimizationCallback, OveroptimizationMonitor
from mlproject.models.generation import sample
from mlproject.models.init import new_policy, new_reward_model
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.models.sft import train_sft
from mlproject.models.sizes import SIZES
from mlproject.models.training import Schedule
from mlproject.preferences.bradley_terry import train_reward_model
from mlproject.preferences.comparisons import encode_comparisons, label_comparisons
from mlproject.worlds import load_world

SFT_EXAMPLES, COMPARISONS, STEPS = 38_400, 12_000, 150

world = load_world("helpdesk", 0)
tokenizer = world.tokenizer()
prompt_format = PromptFormat(tokenizer, world.max_response_tokens)
rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
accelerator = Accelerator(cpu=True)


def write(texts: list[str]) -> list[str]:
    """A response of the policy to each text."""
    prompts = prompt_format.encode_prompts(texts)
    samples = sample(policy, prompts, max_new_tokens=prompt_format.max_response_tokens, generator=generator)
    return prompt_format.decode(samples.sequences)


print("a policy learns to write ...")
policy = new_policy("25k", tokenizer, seed=0)
corpus = prompt_format.encode(*world.corpus(SFT_EXAMPLES, rng))
rate = SIZES["25k"].learning_rate(3e-3)
train_sft(policy, corpus, Schedule(1, 128, rate), accelerator=accelerator, generator=generator)

print("a reward model learns from comparisons ...")
train_texts = world.prompts("train", COMPARISONS)
a, b = write(train_texts), write(train_texts)
scores = [world.judge(train_texts, responses) for responses in (a, b)]
table = label_comparisons(train_texts, a, b, *scores, held_out=0.1, label_noise=0.0, rng=rng)
classifier = new_reward_model("25k", tokenizer, seed=1)
train_reward_model(
    classifier,
    encode_comparisons(table[~table.held_out], prompt_format),
    Schedule(2, 64, rate),
    accelerator=accelerator,
    generator=generator,
)
proxy = RewardModel(classifier.eval())
SEPARATOR = f" {tokenizer.sep_token}"


def reward(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """The proxy's score of what TRL sampled."""
    return proxy.scores(
        prompt_format.encode([prompt.removesuffix(SEPARATOR) for prompt in prompts], completions)
    ).tolist()


# ---------------------------------------------------------------------------------------------------------------------
callback = OveroptimizationCallback(
    world.prompts("curve", 128),  # held out: no comparison and no rollout uses them
    proxy=proxy,
    gold=world.judge,  # any function of (prompts, responses), a reward model, or its folder
    every=10,
    stop=True,
    monitor=OveroptimizationMonitor(truth="human judgement"),
)
# ---------------------------------------------------------------------------------------------------------------------

with tempfile.TemporaryDirectory() as folder:
    tokenizer.padding_side = "left"
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            per_device_train_batch_size=128,
            num_generations=8,
            max_completion_length=world.max_response_tokens,
            max_steps=STEPS,
            learning_rate=3e-4,
            lr_scheduler_type="constant",
            beta=0.0,  # no KL penalty, and TRL then measures no KL: the callback does
            save_strategy="no",
            logging_steps=50,
            report_to="mlflow",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": [text + SEPARATOR for text in world.prompts("train", 5_000)]}),
        processing_class=tokenizer,
        callbacks=[callback],
    )
    trainer.train()

for reading in callback.readings:
    print(reading.line(callback.monitor.truth))
last = callback.readings[-1]
print("stopped:" if last.should_stop else "ran to the end", *(alarm.reason for alarm in last.alarms))
callback.monitor.save_csv("trl_grpo.csv")
print(f"the monitor took {callback.seconds:.1f} s; try: python -m mlproject fit --curve trl_grpo.csv")
