"""Curves and speed of our GRPO, RLOO and DPO beside those of TRL's trainers. See README.md.

Both sides start from the same policy and take the same data, numbers of responses and gradient steps, and seeds. TRL's
training loop is unmodified: after each block of its updates a callback measures its policy, runs a block of our updates
and measures ours, always on the same held-out prompts with the same evaluator. Time is CPU time of this process without
the measurements, so that other work on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import os
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import process_time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppo_vs_trl import Setting, prepare

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, Trainer

    from mlproject.curve import CurvePoint
    from mlproject.models.prompt_format import Responses
    from mlproject.optimization import MethodConfig

SHARED = {
    "ppo_epochs": 2, "ppo_minibatches": 4, "ppo_lr": 3e-4, "ppo_clip": 0.2, "kl_coef": 0.0, "ppo_eval_first": 0,
    "align_batch_size": 64, "align_lr": 3e-4, "align_beta": 0.1,
}  # fmt: skip
GROUP = {"grpo": 8, "rloo": 4}
PAIRS, CURVE_PROMPTS, GRID = 1500, 256, 20


@dataclass
class Meter:
    """Exact KL from the initial policy and mean reward on held-out prompts, and the CPU seconds that this took.

    The reward is the embedded world's own judgement, in standard deviations of the initial policy's responses.
    """

    setting: Setting
    seconds: float = 0.0
    units: tuple[float, float] = (0.0, 1.0)
    prompts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from mlproject.models.prompt_format import PromptFormat
        from mlproject.worlds import load_world

        self.world = load_world("helpdesk", 0)
        self.format = PromptFormat(self.setting.tokenizer, self.setting.max_response_tokens)
        self.prompts = self.world.prompts("curve", CURVE_PROMPTS)
        scores_B = self.rate(self.sampled(self.setting.policy))
        self.units = float(scores_B.mean()), float(scores_B.std())

    def sampled(self, policy: PreTrainedModel) -> Responses:
        """Responses to the held-out prompts; the random numbers are the same every time."""
        import torch

        from mlproject.models.generation import sample_responses

        return sample_responses(policy, self.format, self.prompts, generator=torch.Generator().manual_seed(0))

    def rate(self, responses: Responses) -> np.ndarray:
        """Rewards. Shape: (B,)."""
        return self.reward(list(responses.prompts), responses.texts)

    def reward(self, prompts: list[str], texts: list[str]) -> np.ndarray:
        """Rewards of texts. Shape: (B,)."""
        mean, deviation = self.units
        return (np.asarray(self.world.judge(prompts, texts)) - mean) / deviation

    def point(self, policy: PreTrainedModel) -> tuple[float, float]:
        """(KL, nats; mean reward)."""
        import torch

        from mlproject.models.log_probs import measure_kl

        begun, training = process_time(), policy.training
        with torch.random.fork_rng():
            policy.eval()
            responses = self.sampled(policy)
            kl = float(measure_kl(policy, self.setting.policy, responses.sequences).kl_B.mean())
            policy.train(training)
        found = kl, float(self.rate(responses).mean())
        self.seconds += process_time() - begun
        return found


def comparisons(setting: Setting, meter: Meter) -> pd.DataFrame:
    """Pairs of the initial policy's responses, labelled by the reward; pairs that tie are left out."""
    import pandas as pd
    import torch

    from mlproject.models.generation import sample_responses

    prompts = setting.prompts[:PAIRS]
    drawn = sample_responses(
        setting.policy, meter.format, prompts, generator=torch.Generator().manual_seed(1), samples_per_prompt=2
    )
    scores_B = meter.rate(drawn)
    table = pd.DataFrame({"prompt": prompts, "response_a": drawn.texts[::2], "response_b": drawn.texts[1::2]})
    table["prefers_a"], table["held_out"] = scores_B[::2] > scores_B[1::2], False
    return table[scores_B[::2] != scores_B[1::2]].reset_index(drop=True)


def ours(
    name: str, arguments: argparse.Namespace, setting: Setting, meter: Meter, data: pd.DataFrame, seed: int
) -> tuple[Iterator[CurvePoint], MethodConfig]:
    """Our method as an iterator of its measured points, and its options."""
    import torch
    from accelerate import Accelerator

    from mlproject.config.schema import load_config
    from mlproject.curve import CurvePoint
    from mlproject.optimization import METHODS
    from mlproject.optimization.task import OptimizationTask

    def evaluate(policy: PreTrainedModel, step: int, *_: Any, **__: Any) -> CurvePoint:
        kl, reward = meter.point(policy)
        return CurvePoint(step, kl, np.array([reward]), np.array([reward]))

    options = {
        **SHARED, "ppo_updates": arguments.updates, "ppo_eval_every": arguments.every,
        "ppo_batch_size": arguments.batch, "align_updates": 4 * arguments.updates, "align_points": 8,
    }  # fmt: skip
    config = load_config("laptop", {}).of_method(name)
    known = {key: value for key, value in options.items() if key in config.names()}
    known |= {f"{name}_group_size": GROUP[name]} if name in GROUP else {}
    initial = meter.sampled(setting.policy)
    task = OptimizationTask(
        initial_policy=setting.policy,
        start_policy=setting.policy,
        proxy=SimpleNamespace(rate=meter.rate, passes=1),  # type: ignore[arg-type]
        prompt_format=meter.format,
        train_texts=setting.prompts,
        samples=SimpleNamespace(shape=(CURVE_PROMPTS, 1), first=lambda _: initial),  # type: ignore[arg-type]
        evaluator=SimpleNamespace(evaluate_policy=evaluate),  # type: ignore[arg-type]
        config=replace(config, **known),
        accelerator=Accelerator(cpu=True),
        generator=torch.Generator().manual_seed(seed),
        comparisons=data,
    )
    return METHODS[name].optimize(task), replace(config, **known)


def steps_of(config: Any) -> list[int]:
    """Updates after which a run is measured."""
    from mlproject.optimization.direct_alignment.training import measured_steps

    if hasattr(config, "align_points"):
        return measured_steps(config.last_step, config.align_points)
    return list(range(config.ppo_eval_every, config.last_step + 1, config.ppo_eval_every))


def theirs(
    name: str, arguments: argparse.Namespace, setting: Setting, meter: Meter, data: pd.DataFrame, seed: int
) -> tuple[Trainer, int]:
    """TRL's trainer with the same numbers, and how many of its steps make one update."""
    import trl
    from datasets import Dataset

    tokenizer = copy.deepcopy(setting.tokenizer)
    tokenizer.padding_side = "left"
    separator = f" {tokenizer.sep_token}"
    settings: dict[str, Any] = {
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "seed": seed, "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused", "adam_epsilon": 1e-5, "weight_decay": 0.0, "save_strategy": "no",
        "logging_strategy": "no", "report_to": "none", "disable_tqdm": True, "dataloader_pin_memory": False,
        "output_dir": tempfile.mkdtemp(),
    }  # fmt: skip
    model = copy.deepcopy(setting.policy)
    if name not in GROUP:
        steps = 4 * arguments.updates
        settings |= {
            "per_device_train_batch_size": SHARED["align_batch_size"], "max_steps": steps, "beta": SHARED["align_beta"],
            "learning_rate": SHARED["align_lr"], "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": max(1, int(0.05 * steps)),
            "precompute_ref_log_probs": True, "adam_epsilon": 1e-8, "weight_decay": 0.01,
        }  # fmt: skip
        first = data.prefers_a.to_numpy()
        rows = {
            "prompt": [text + separator for text in data.prompt],
            "chosen": [f" {text}" for text in np.where(first, data.response_a, data.response_b)],
            "rejected": [f" {text}" for text in np.where(first, data.response_b, data.response_a)],
        }
        return trl.DPOTrainer(
            model=model, ref_model=copy.deepcopy(setting.policy), args=trl.DPOConfig(**settings),
            train_dataset=Dataset.from_dict(rows), processing_class=tokenizer,
        ), 1  # fmt: skip

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        return meter.reward([prompt.removesuffix(separator) for prompt in prompts], completions).tolist()

    per_update = SHARED["ppo_epochs"] * SHARED["ppo_minibatches"]
    settings |= {
        "per_device_train_batch_size": arguments.batch // SHARED["ppo_minibatches"],
        "steps_per_generation": SHARED["ppo_minibatches"], "num_iterations": SHARED["ppo_epochs"],
        "max_steps": arguments.updates * per_update, "num_generations": GROUP[name], "beta": 0.0,
        "max_completion_length": setting.max_response_tokens, "temperature": 1.0, "epsilon": SHARED["ppo_clip"],
        "learning_rate": SHARED["ppo_lr"], "lr_scheduler_type": "constant", "logging_nan_inf_filter": False,
    }  # fmt: skip
    settings |= {"loss_type": "bnpo"} if name == "grpo" else {}  # all tokens of a minibatch alike, as ours
    trainer, config = getattr(trl, f"{name.upper()}Trainer"), getattr(trl, f"{name.upper()}Config")
    return trainer(
        model=model, reward_funcs=reward, args=config(**settings), processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [prompt + separator for prompt in setting.prompts]}),
    ), per_update  # fmt: skip


@dataclass
class Run:
    """One seed: the points of both sides, and CPU seconds per update of each pair of blocks."""

    ours: list[tuple[float, float]] = field(default_factory=list)
    trl: list[tuple[float, float]] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)


def run_seed(
    name: str, arguments: argparse.Namespace, setting: Setting, meter: Meter, data: pd.DataFrame, seed: int
) -> Run:
    """Both sides, block by block."""
    import torch
    from transformers import PrinterCallback, TrainerCallback

    torch.manual_seed(seed)
    stream, config = ours(name, arguments, setting, meter, data, seed)
    trainer, per_update = theirs(name, arguments, setting, meter, data, seed)
    steps, run = steps_of(config), Run()
    blocks: Iterator[int] = iter(np.diff([0, *steps]).tolist())
    next(stream)  # step 0
    run.ours, run.trl = [(0.0, 0.0)], [(0.0, 0.0)]

    class Alternate(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.begun = process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            update, within = divmod(state.global_step, per_update)
            if within or update not in steps:
                return
            spent, updates = process_time() - self.begun, next(blocks)
            run.trl.append(meter.point(trainer.accelerator.unwrap_model(trainer.model)))
            begun, measured = process_time(), meter.seconds
            with torch.random.fork_rng():
                point = next(stream)
            ours_spent = process_time() - begun - (meter.seconds - measured)
            run.ours.append((point.kl, point.gold))
            run.seconds.append((ours_spent / updates, spent / updates))
            self.begun = process_time()

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Alternate())
    trainer.train()
    return run


def compare(name: str, runs: list[Run]) -> None:
    """Print the curves' difference beside their spread over seeds, and the ratio of the speeds."""
    sides = {"ours": [run.ours for run in runs], "TRL": [run.trl for run in runs]}
    curves = {side: [np.array(points) for points in each] for side, each in sides.items()}
    reach = min(float(np.sqrt(points[:, 0].max())) for each in curves.values() for points in each)
    grid = np.linspace(0, reach, GRID + 1)[1:]
    means = {side: np.array([_along(points, grid).mean() for points in each]) for side, each in curves.items()}
    ends = {side: np.array([np.log(points[-1, 0]) for points in each]) for side, each in curves.items()}
    print(f"{name}: {len(runs)} seeds; end of the runs, KL (nats) and reward:")
    for side, each in curves.items():
        print(f"  {side:5s}" + "  ".join(f"{points[-1, 0]:6.2f} {points[-1, 1]:+.2f}" for points in each))
    for what, values in ((f"mean reward over sqrt(KL) up to {reach:.2f}", means), ("log of the final KL", ends)):
        print(f"  {what}: {difference(values['ours'], values['TRL'])}")
    pairs = [pair for run in runs for pair in run.seconds[1:]]  # the first block warms up
    ratios = sorted(trl / own for own, trl in pairs)
    own, trl = (statistics.median(1 / pair[side] for pair in pairs) for side in (0, 1))
    print(
        f"  updates per CPU second: ours {own:.2f}, TRL {trl:.2f}; ratio in alternating blocks: median "
        f"{statistics.median(ratios):.2f}, {ratios[len(ratios) // 10]:.2f} to {ratios[-1 - len(ratios) // 10]:.2f} "
        f"(10 to 90 % of {len(ratios)})"
    )


def _along(points: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Reward over sqrt(KL), by linear interpolation."""
    order = points[:, 0].argsort()
    return np.interp(grid, np.sqrt(np.maximum(points[order, 0], 0)), points[order, 1])


def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Difference of means, the spread between seeds of one side, and an exact permutation test of the seeds."""
    observed, spread = float(a.mean() - b.mean()), float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    both = np.concatenate([a, b])
    splits = [np.array(first) for first in itertools.combinations(range(len(both)), len(a))]
    extreme = [abs(both[first].mean() - np.delete(both, first).mean()) >= abs(observed) - 1e-12 for first in splits]
    return (
        f"ours {a.mean():.3f}, TRL {b.mean():.3f}, difference {observed:+.3f}; standard deviation between seeds "
        f"{spread:.3f}; p = {np.mean(extreme):.2f} ({len(splits)} splits of the seeds)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="grpo,rloo,dpo")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=8, help="of 8 gradient steps each; of 4 for DPO")
    parser.add_argument("--every", type=int, default=2, help="updates between two points")
    parser.add_argument("--batch", type=int, default=128, help="responses per update")
    parser.add_argument("--sft-steps", type=int, default=100, help="training steps of the initial policy")
    arguments: Any = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):  # read when the libraries load
        os.environ[name] = "1"
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    arguments.threads, arguments.policy = 1, None
    setting = prepare(arguments)
    meter = Meter(setting)
    data = comparisons(setting, meter)
    print(f"load average {os.getloadavg()[0]:.1f}; {len(data)} comparisons; {CURVE_PROMPTS} held-out prompts")
    for name in arguments.methods.split(","):
        compare(name, [run_seed(name, arguments, setting, meter, data, seed) for seed in range(arguments.seeds)])
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
