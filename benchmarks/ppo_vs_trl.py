"""PPO rollouts per second compared with TRL's `RLOOTrainer`, alternating in one process. See README.md.

Both sides use the same policy, prompts, response limit, rollouts per update, reward model, gradient steps, optimizer
and threads. TRL's training loop is unmodified; a callback runs our updates between blocks of its updates.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import statistics
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast
    from trl import RLOOTrainer

    from mlproject.models.reward_model import RewardModel

OPTIONS = {
    "ppo_batch_size": 256,
    "ppo_epochs": 2,
    "ppo_minibatches": 4,
    "ppo_clip": 0.2,
    "ppo_gae_lambda": 0.95,
    "kl_coef": 0.0,
    "ppo_lr": 1e-8,  # all steps are computed, but the policies hardly change, so that response lengths stay equal
    "ppo_value_lr": 1e-8,
}
STEPS_PER_UPDATE = OPTIONS["ppo_epochs"] * OPTIONS["ppo_minibatches"]
TRAIN_PROMPTS = 20_000
PHASES = ("sampling", "scoring", "rereading", "learning")


@dataclass
class Clock:
    """Seconds spent inside named calls."""

    seconds: Counter[str] = field(default_factory=Counter)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += perf_counter() - start

        return wrapper


@dataclass
class Setting:
    """The setting of both sides."""

    policy: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    reward_model: RewardModel
    prompts: list[str]
    max_response_tokens: int


class Ours:
    """Our PPO without curve points: `collect_rollouts` and `update_policy` only."""

    def __init__(self, setting: Setting) -> None:
        import torch
        from accelerate import Accelerator

        from mlproject.config.schema import load_config
        from mlproject.models.prompt_format import PromptFormat
        from mlproject.optimization.on_policy import rollouts
        from mlproject.optimization.on_policy.penalty import Penalty
        from mlproject.optimization.on_policy.ppo import PPO
        from mlproject.optimization.on_policy.ppo_config import PPOConfig
        from mlproject.optimization.task import OptimizationTask

        self.clock, self.lengths = Clock(), []
        rollouts.sample = self.clock.timed("sampling", rollouts.sample)
        self._task = OptimizationTask(
            initial_policy=setting.policy,
            start_policy=setting.policy,
            proxy=SimpleNamespace(rate=self.clock.timed("scoring", setting.reward_model.rate)),  # type: ignore[arg-type]
            prompt_format=PromptFormat(setting.tokenizer, setting.max_response_tokens),
            train_texts=setting.prompts,
            samples=None,  # type: ignore[arg-type]
            evaluator=None,  # type: ignore[arg-type]
            config=replace(load_config("laptop", {}).of(PPOConfig), **OPTIONS),
            accelerator=Accelerator(cpu=True),
            generator=torch.Generator().manual_seed(0),
        )
        self._objective = PPO(self._task.config)
        self._penalty = Penalty(self._task.config, setting.policy)
        self._actor_critic = self._objective.new_actor(copy.deepcopy(setting.policy))
        groups = self._actor_critic.parameter_groups(OPTIONS["ppo_lr"])
        self._optimizer = torch.optim.Adam(groups, eps=1e-5, fused=True)
        self._prepared, self._optimizer = self._task.accelerator.prepare(self._actor_critic, self._optimizer)
        self._actor_critic.policy.eval()

    def update(self) -> None:
        from mlproject.optimization.on_policy.rollouts import collect_rollouts
        from mlproject.optimization.on_policy.update import update_policy

        collect = self.clock.timed("collect", collect_rollouts)
        rollouts, _ = collect(self._task, self._actor_critic, self._objective, self._penalty)
        self.lengths.append(float(rollouts.sequences.response_lengths_B.float().mean()))
        learn = self.clock.timed("learning", update_policy)
        learn(self._task, self._prepared, self._optimizer, rollouts, self._objective)

    def phases(self) -> dict[str, float]:
        """Seconds of sampling (with values), scoring, rereading (advantages) and learning."""
        seconds = Counter(self.clock.seconds)
        seconds["rereading"] = seconds.pop("collect") - seconds["sampling"] - seconds["scoring"]
        return {phase: seconds[phase] for phase in PHASES}


def trl_trainer(
    setting: Setting, clock: Clock, *, reward: str, overrides: Mapping[str, Any], max_updates: int, folder: str
) -> RLOOTrainer:
    """TRL's trainer with its best settings on CPU cores; its phases are timed."""
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    tokenizer = copy.deepcopy(setting.tokenizer)
    tokenizer.padding_side = "left"
    minibatch = OPTIONS["ppo_batch_size"] // OPTIONS["ppo_minibatches"]
    settings: dict[str, Any] = {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": False,
        # the same gradient steps: 256 rollouts in 4 minibatches, two epochs
        "per_device_train_batch_size": minibatch,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": OPTIONS["ppo_minibatches"],
        "num_iterations": OPTIONS["ppo_epochs"],
        "max_steps": max_updates * STEPS_PER_UPDATE,
        "num_generations": 2,  # the minimum for leave-one-out
        "max_completion_length": setting.max_response_tokens,
        "temperature": 1.0,
        "beta": 0.0,  # no reference model
        "epsilon": OPTIONS["ppo_clip"],
        "normalize_advantages": True,
        "optim": "adamw_torch_fused",
        "learning_rate": OPTIONS["ppo_lr"],
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        # nothing else that costs time
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    separator = f" {tokenizer.sep_token}"
    trainer = RLOOTrainer(
        model=copy.deepcopy(setting.policy),
        reward_funcs=copy.deepcopy(setting.reward_model.model) if reward == "model" else reward_function(setting),
        args=RLOOConfig(**settings | overrides),
        train_dataset=Dataset.from_dict({"prompt": [prompt + separator for prompt in setting.prompts]}),
        processing_class=tokenizer,
        reward_processing_classes=copy.deepcopy(setting.tokenizer) if reward == "model" else None,
    )
    for phase, method in (
        ("sampling", "_generate"),
        ("scoring", "_calculate_rewards"),
        ("collect", "_generate_and_score_completions"),
    ):
        setattr(trainer, method, clock.timed(phase, getattr(trainer, method)))
    return trainer


def reward_function(setting: Setting) -> Callable[..., list[float]]:
    """The reward model as a function of token ids with our scorer: sorted by length, without detokenizing."""
    import torch

    from mlproject.models.sequences import Prompts, encode_prompts, join

    tokenizer = setting.tokenizer
    separator = f" {tokenizer.sep_token}"

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        questions: Prompts = encode_prompts(tokenizer, [prompt.removesuffix(separator) for prompt in prompts])
        lengths_B = torch.tensor([len(ids) for ids in completion_ids])
        ids_BR = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(ids) for ids in completion_ids], batch_first=True, padding_value=tokenizer.pad_token_id
        )
        return setting.reward_model.scores(join(questions, ids_BR, lengths_B, tokenizer.pad_token_id)).tolist()

    return reward


def measure(setting: Setting, arguments: argparse.Namespace) -> None:
    """Alternate between the two sides, and print the ratio and the time of each phase."""
    from transformers import PrinterCallback, TrainerCallback

    ours, their_clock = Ours(setting), Clock()
    our_seconds: list[float] = []
    their_seconds: list[float] = []
    warm_up, per_block, repeats = arguments.warm_up, arguments.updates, arguments.repeats
    block_ends = [warm_up + block * per_block for block in range(repeats + 1)]

    class Alternate(TrainerCallback):
        """Runs a block of our updates after each block of TRL's; the first block is warm-up and not counted."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            update, within = divmod(state.global_step, STEPS_PER_UPDATE)
            if within or update not in block_ends:
                return
            ended = perf_counter()
            for _ in range(warm_up if update == warm_up else per_block):
                ours.update()
            if update == warm_up:
                ours.clock.seconds.clear()
                their_clock.seconds.clear()
            else:
                their_seconds.append((ended - self.started) / per_block)
                our_seconds.append((perf_counter() - ended) / per_block)
                print(
                    f"  repeat {len(our_seconds)}: ours {our_seconds[-1]:.3f}, TRL {their_seconds[-1]:.3f} s per update"
                )
            self.started = perf_counter()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.started = perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(
            setting,
            their_clock,
            reward=arguments.reward,
            overrides=yaml.safe_load(arguments.trl),
            max_updates=block_ends[-1],
            folder=folder,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Alternate())
        trainer.train()

    updates = repeats * per_block
    theirs = Counter(their_clock.seconds)
    collected = theirs.pop("collect")
    theirs["rereading"] = collected - theirs["sampling"] - theirs["scoring"]
    theirs["learning"] = sum(their_seconds) * per_block - collected
    their_length = trainer.state.log_history[-1]["completions/mean_length"]
    ratios = [b / a for a, b in zip(our_seconds, their_seconds, strict=True)]
    batch = OPTIONS["ppo_batch_size"]
    print(f"threads {arguments.threads}; load average at the end {os.getloadavg()[0]:.1f}")
    print(f"mean response length: ours {statistics.mean(ours.lengths):.1f}, TRL {their_length:.1f} tokens")
    print(
        f"rollouts per second: ours {batch / statistics.median(our_seconds):.0f}, "
        f"TRL {batch / statistics.median(their_seconds):.0f} (medians of {repeats})"
    )
    print(f"ratio: median {statistics.median(ratios):.2f}, min {min(ratios):.2f}, max {max(ratios):.2f}")
    print(f"{'s per update':14s}{'ours':>8s}{'share':>8s}{'TRL':>8s}{'share':>8s}{'TRL/ours':>10s}")
    table = {phase: (ours.phases()[phase] / updates, theirs[phase] / updates) for phase in PHASES}
    totals = [sum(row[side] for row in table.values()) for side in (0, 1)]
    for phase, (a, b) in (*table.items(), ("all", totals)):
        print(f"{phase:14s}{a:8.3f}{a / totals[0]:8.0%}{b:8.3f}{b / totals[1]:8.0%}{b / a:10.1f}")


def prepare(arguments: argparse.Namespace) -> Setting:
    """The shared setting; the policy is read from a folder or trained just enough for realistic response lengths."""
    import torch
    from transformers import AutoModelForCausalLM

    from mlproject.config.schema import load_config
    from mlproject.models.init import new_policy, new_reward_model
    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import encode
    from mlproject.models.sft import train_sft
    from mlproject.models.training import Schedule
    from mlproject.pipeline.loading import new_accelerator, numpy_generator, torch_generator
    from mlproject.worlds import load_world

    torch.set_num_threads(arguments.threads)
    config = load_config("laptop", {})
    world = load_world("helpdesk", 0)
    tokenizer = world.tokenizer()
    if arguments.policy:
        policy = AutoModelForCausalLM.from_pretrained(arguments.policy)
    else:
        policy = new_policy("100k", tokenizer, 0)
        examples = arguments.sft_steps * config.sft_batch_size
        corpus = encode(tokenizer, *world.corpus(examples, numpy_generator("corpus", 0)), world.max_response_tokens)
        train_sft(
            policy,
            corpus,
            Schedule(1, config.sft_batch_size, config.sft_lr),
            accelerator=new_accelerator(),
            generator=torch_generator("initial policy order", 0),
        )
    reward_model = RewardModel(new_reward_model("25k", tokenizer, 1).eval())
    return Setting(
        policy.eval(), tokenizer, reward_model, world.prompts("train", TRAIN_PROMPTS), world.max_response_tokens
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of torch, OpenMP and the tokenizer, for both sides")
    parser.add_argument("--repeats", type=int, default=9, help="number of measured alternations")
    parser.add_argument("--updates", type=int, default=2, help="updates per side and repeat")
    parser.add_argument("--warm-up", type=int, default=2, help="warm-up updates per side")
    parser.add_argument("--reward", choices=("model", "function"), default="function", help="how TRL computes rewards")
    parser.add_argument("--trl", default="{}", help="additional RLOOConfig settings, e.g. '{num_generations: 4}'")
    parser.add_argument("--policy", help="Hugging Face folder of an initial policy; default: train a short one")
    parser.add_argument("--sft-steps", type=int, default=100, help="training steps of that short one")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):  # read when the libraries load
        os.environ[name] = str(arguments.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    measure(prepare(arguments), arguments)


if __name__ == "__main__":
    main()
