"""Cost of monitoring: time inside `OveroptimizationCallback` as a share of TRL's training time. See README.md.

For each trainer and number of prompts: a training run of the embedded policy with an evaluation every `--every` steps,
and the time spent inside the callback. Then the effect of `--max-seconds` on 1,024 prompts.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ppo_vs_trl import Setting, prepare

if TYPE_CHECKING:
    from transformers import Trainer

    from mlproject.integrations.trainer_callback import OveroptimizationCallback

MANY = 1024
BATCH, GENERATIONS, PAIRS = 128, 8, 64


def trainer_of(name: str, setting: Setting, callback: OveroptimizationCallback, steps: int, folder: str) -> Trainer:
    """TRL's trainer with few settings beyond its defaults: float32, no gradient checkpointing, nothing saved."""
    import trl
    from datasets import Dataset

    tokenizer = copy.deepcopy(setting.tokenizer)
    tokenizer.padding_side = "left"
    separator = f" {tokenizer.sep_token}"
    settings: dict[str, Any] = {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
        "max_steps": steps,
        "learning_rate": 1e-4,
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "mlflow",
        "disable_tqdm": True,
    }
    data: dict[str, list[str]] = {"prompt": [prompt + separator for prompt in setting.prompts[:5000]]}
    arguments: dict[str, Any] = {}
    if name == "DPO":
        from mlproject.pipeline.loading import numpy_generator
        from mlproject.worlds import load_world

        questions, responses = load_world("helpdesk", 0).corpus(PAIRS * steps, numpy_generator("pairs", 0))
        data = {
            "prompt": [text + separator for text in questions],
            "chosen": [f" {text}" for text in responses],
            "rejected": [f" {text}" for text in reversed(responses)],
        }
        settings |= {"per_device_train_batch_size": PAIRS, "beta": 0.1}
        arguments["ref_model"] = copy.deepcopy(setting.policy)
    else:
        settings |= {
            "per_device_train_batch_size": BATCH,
            "num_generations": GENERATIONS,
            "max_completion_length": setting.max_response_tokens,
            "beta": 0.0,
        }
        arguments["reward_funcs"] = reward_of(setting, separator)
    return getattr(trl, f"{name}Trainer")(
        model=copy.deepcopy(setting.policy),
        args=getattr(trl, f"{name}Config")(**settings),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[callback],
        **arguments,
    )


def reward_of(setting: Setting, separator: str) -> Callable[..., list[float]]:
    """The reward model as TRL's reward function; a named function, because TRL uses its name in a metric name."""
    from mlproject.models.prompt_format import PromptFormat

    prompt_format = PromptFormat(setting.tokenizer, setting.max_response_tokens)

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        questions = [prompt.removesuffix(separator) for prompt in prompts]
        return setting.reward_model.scores(prompt_format.encode(questions, completions)).tolist()

    return reward


def monitored(
    name: str, setting: Setting, prompts: int, arguments: argparse.Namespace, **options: Any
) -> SimpleNamespace:
    """Train once; seconds of training without the callback, of the callback's start, and of each evaluation."""
    import mlflow

    from mlproject.integrations import trainer_callback
    from mlproject.models.init import new_reward_model
    from mlproject.models.reward_model import RewardModel
    from mlproject.worlds import load_world

    evaluations: list[float] = []

    class Timed(trainer_callback.OveroptimizationCallback):
        """Records the seconds of each evaluation."""

        def _evaluate(self, *args: Any) -> None:
            before = self.seconds
            super()._evaluate(*args)
            evaluations.append(self.seconds - before)

    callback = Timed(
        load_world("helpdesk", 0).prompts("curve", prompts),
        setting.reward_model,
        RewardModel(new_reward_model("100k", setting.tokenizer, 2).eval()),
        every=arguments.every,
        max_response_tokens=setting.max_response_tokens,
        **options,
    )
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{arguments.store}/mlflow.db")
        trainer = trainer_of(name, setting, callback, arguments.steps, folder)
        start = perf_counter()
        trainer.train()
        seconds = perf_counter() - start - callback.seconds
    assert callback._evaluator is not None
    return SimpleNamespace(
        training=seconds, start=evaluations[0], evaluations=evaluations[1:], prompts=len(callback._evaluator.prompts)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of torch, OpenMP and the tokenizer")
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps of each training")
    parser.add_argument("--every", type=int, default=10, help="steps between evaluations")
    parser.add_argument("--prompts", type=int, nargs="+", default=[64, 128], help="held-out prompts")
    parser.add_argument("--trainers", nargs="+", default=["RLOO", "GRPO", "DPO"])
    parser.add_argument("--max-seconds", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--policy", help="Hugging Face folder of an initial policy; default: train a short one")
    parser.add_argument("--sft-steps", type=int, default=100, help="training steps of that short one")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):  # read when the libraries load
        os.environ[name] = str(arguments.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.filterwarnings("ignore")
    for name in ("transformers", "mlproject", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from datasets import disable_progress_bars
    from transformers import PrinterCallback

    PrinterCallback.on_log = lambda *args, **kwargs: None
    disable_progress_bars()
    setting = prepare(arguments)
    with tempfile.TemporaryDirectory() as arguments.store:
        print(f"{'':6s}{'prompts':>8s}{'s per step':>12s}{'start s':>13s}{'s per eval':>12s}{'share of evals':>16s}")
        for name in arguments.trainers:
            for prompts in arguments.prompts:
                costs = monitored(name, setting, prompts, arguments, max_seconds=None)
                share = sum(costs.evaluations) / costs.training
                step, each = costs.training / arguments.steps, sum(costs.evaluations) / len(costs.evaluations)
                print(f"{name:6s}{prompts:8d}{step:12.3f}{costs.start:13.2f}{each:12.3f}{share:16.1%}", flush=True)
        print(f"\n{MANY} prompts, GRPO:")
        print(f"{'max_seconds':>12s}{'prompts used':>14s}{'start s':>13s}{'s per eval':>12s}{'longest':>9s}")
        for bound in (None, *arguments.max_seconds):
            costs = monitored("GRPO", setting, MANY, arguments, max_seconds=bound)
            each, longest = sum(costs.evaluations) / len(costs.evaluations), max(costs.evaluations)
            print(
                f"{bound or 'none':>12}{costs.prompts:14d}{costs.start:13.2f}{each:12.3f}{longest:9.3f}",
                flush=True,
            )
    print(f"load average at the end {os.getloadavg()[0]:.1f}; threads {arguments.threads}")


if __name__ == "__main__":
    main()
