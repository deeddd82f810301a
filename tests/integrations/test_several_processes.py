"""The callback in a training of two processes (DDP over gloo, on CPU cores)."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("trl")

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from mlproject.integrations.trainer_callback import OveroptimizationCallback
from mlproject.monitoring.monitor import OveroptimizationMonitor
from mlproject.worlds import load_world

folder, policy, rank, case = Path(sys.argv[1]), sys.argv[2], int(os.environ["RANK"]), sys.argv[3]
torch.set_num_threads(1)
world = load_world("helpdesk", 0)
tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left")

def gold(prompts, responses):
    if case == "broken":
        raise RuntimeError("the judge is away")
    return [float(len(response)) for response in responses]

def reward(prompts, completions, **_):
    return [float(len(set(completion.split()))) for completion in completions]

callback = OveroptimizationCallback(
    world.prompts("curve", 12), gold, gold, every=2, stop=True, max_seconds=None,
    monitor=OveroptimizationMonitor(kl_budget=1e-6),
)
trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(policy), reward_funcs=reward, processing_class=tokenizer,
    args=GRPOConfig(
        output_dir=str(folder / "out"), use_cpu=True, bf16=False, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=world.max_response_tokens, max_steps=6, learning_rate=1e-3, beta=0.0,
        save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1,
    ),
    train_dataset=Dataset.from_dict({"prompt": [text + " <sep>" for text in world.prompts("train", 64)]}),
    callbacks=[callback],
)
message = ""
try:
    trainer.train()
except Exception as error:
    message = f"{type(error).__name__}: {error}"
answer = {"step": trainer.state.global_step, "points": [p.step for p in callback.points], "message": message,
          "processes": trainer.accelerator.num_processes, "kl": [p.kl for p in callback.points]}
(folder / f"{case}-{rank}.json").write_text(json.dumps(answer))
torch.distributed.barrier()  # a process that ends before the other one finishes would be an error of the other one
torch.distributed.destroy_process_group()
"""


def two_processes(case, setting, folder):
    (folder / "train.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    answer = subprocess.run(
        [*launch, str(folder / "train.py"), str(folder), str(setting.policy_folder), case],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return [json.loads((folder / f"{case}-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_rank_zero_alone_measures_and_both_stop_at_the_same_step(setting, tmp_path):
    first, second = two_processes("stopped", setting, tmp_path)
    assert first["processes"] == second["processes"] == 2 and not first["message"]
    assert first["points"] == [0, 2] and second["points"] == []
    assert first["step"] == second["step"] == 2
    assert first["kl"][0] == 0.0 < first["kl"][1]


@pytest.mark.slow
def test_what_fails_on_rank_zero_fails_everywhere_instead_of_leaving_the_others_waiting(setting, tmp_path):
    first, second = two_processes("broken", setting, tmp_path)
    reason = "gold: must not fail (RuntimeError: the judge is away). Fix the function."
    assert first["message"] == f"UserError: {reason}"
    assert second["message"] == f"UserError: rank 0 could not measure the policy: {reason}"
