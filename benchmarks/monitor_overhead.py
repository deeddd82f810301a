"""What watching costs: seconds of `OveroptimizationCallback` as a share of TRL's training time. See README.md.

For each trainer and number of prompts: a training on the embedded policy, a look every `--every` steps, every second
inside the callback counted. Then what `--max-seconds` does to 1,024 prompts.
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
    given: dict[str, Any] = {}
    if name == "DPO":
        from mlproject.pipeline.loading import numpy_generator
        from mlproject.worlds import load_world

        asked, said = load_world("helpdesk", 0).corpus(PAIRS * steps, numpy_generator("pairs", 0))
        data = {
            "prompt": [text + separator for text in asked],
            "chosen": [f" {text}" for text in said],
            "rejected": [f" {text}" for text in reversed(said)],
        }
        settings |= {"per_device_train_batch_size": PAIRS, "beta": 0.1}
        given["ref_model"] = copy.deepcopy(setting.policy)
    else:
        settings |= {
            "per_device_train_batch_size": BATCH,
            "num_generations": GENERATIONS,
            "max_completion_length": setting.max_response_tokens,
            "beta": 0.0,
        }
        given["reward_funcs"] = reward_of(setting, separator)
    return getattr(trl, f"{name}Trainer")(
        model=copy.deepcopy(setting.policy),
        args=getattr(trl, f"{name}Config")(**settings),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[callback],
        **given,
    )


def reward_of(setting: Setting, separator: str) -> Callable[..., list[float]]:
    """The reward model as TRL's reward function; named, for TRL makes its name part of a metric's."""
    from mlproject.models.prompt_format import PromptFormat

    prompt_format = PromptFormat(setting.tokenizer, setting.max_response_tokens)

    def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        asked = [prompt.removesuffix(separator) for prompt in prompts]
        return setting.reward_model.scores(prompt_format.encode(asked, completions)).tolist()

    return reward


def watched(
    name: str, setting: Setting, prompts: int, arguments: argparse.Namespace, **options: Any
) -> SimpleNamespace:
    """Train once; seconds of the training without the callback, of the callback's beginning, and of each look."""
    import mlflow

    from mlproject.integrations import trainer_callback
    from mlproject.models.init import new_reward_model
    from mlproject.models.reward_model import RewardModel
    from mlproject.worlds import load_world

    looks: list[float] = []

    class Timed(trainer_callback.OveroptimizationCallback):
        """Keeps what each look took."""

        def _look(self, *args: Any) -> None:
            before = self.seconds
            super()._look(*args)
            looks.append(self.seconds - before)

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
        took = perf_counter() - start - callback.seconds
    assert callback._watch is not None
    return SimpleNamespace(training=took, begin=looks[0], looks=looks[1:], prompts=len(callback._watch.prompts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of torch, OpenMP and the tokenizer")
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps of each training")
    parser.add_argument("--every", type=int, default=10, help="steps between looks")
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
        print(
            f"{'':6s}{'prompts':>8s}{'s per step':>12s}{'beginning s':>13s}{'s per look':>12s}{'share of looks':>16s}"
        )
        for name in arguments.trainers:
            for prompts in arguments.prompts:
                seen = watched(name, setting, prompts, arguments, max_seconds=None)
                share = sum(seen.looks) / seen.training
                step, look = seen.training / arguments.steps, sum(seen.looks) / len(seen.looks)
                print(f"{name:6s}{prompts:8d}{step:12.3f}{seen.begin:13.2f}{look:12.3f}{share:16.1%}", flush=True)
        print(f"\n{MANY} prompts given, GRPO:")
        print(f"{'max_seconds':>12s}{'prompts used':>14s}{'beginning s':>13s}{'s per look':>12s}{'longest':>9s}")
        for bound in (None, *arguments.max_seconds):
            seen = watched("GRPO", setting, MANY, arguments, max_seconds=bound)
            look = sum(seen.looks) / len(seen.looks)
            print(
                f"{bound or 'none':>12}{seen.prompts:14d}{seen.begin:13.2f}{look:12.3f}{max(seen.looks):9.3f}",
                flush=True,
            )
    print(f"load average at the end {os.getloadavg()[0]:.1f}; threads {arguments.threads}")


if __name__ == "__main__":
    main()
