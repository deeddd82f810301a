"""The recipes for published checkpoints load, fit files of the same form, and state arithmetic that is right."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.config.schema import load_config
from mlproject.pipeline.preflight import check
from mlproject.pipeline.study import plan_study

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = ("pythia_summarize", "qwen_helpful")
OPERATIONS_A_SECOND = 27e12


def numbers(text: str, pattern: str) -> list[float]:
    match = re.search(pattern, text)
    assert match, pattern
    return [float(each) for each in match.groups()]


@pytest.mark.parametrize("name", RECIPES)
def test_memory_and_hours_are_what_their_terms_come_to(name):
    text = (EXAMPLES / f"{name}.yaml").read_text()
    c = load_config("gpu", {}, str(EXAMPLES / f"{name}.yaml"))
    assert "# NOT YET RUN" in text and c.gradient_checkpointing == "yes" and c.workers == 1
    [policy] = numbers(text, r"20 bytes x (\S+) parameters")
    largest, gold = numbers(text, r"4 bytes x (\S+) \(the largest reward model\) \+ 4 bytes x (\S+) \(gold\)")
    sequences, tokens, words = numbers(text, r"16 bytes x (\d+) sequences x (\d+) tokens x (\d+) words")
    assert sequences == c.ppo_batch_size / c.ppo_minibatches / c.accumulation
    assert tokens == c.max_prompt_tokens + c.max_response_tokens
    [memory] = numbers(text, r"Memory: (\d+) GB")
    assert memory == round((20 * policy + 4 * (largest + gold) + 16 * sequences * tokens * words) / 1e9 + 4) < 76
    smaller = {"pythia_summarize": 1.01e9, "qwen_helpful": 0.596e9}[name]
    sampled = c.curve_prompts * c.pool_samples * 2 * tokens
    points = 1 + c.ppo_eval_first + (c.ppo_updates - c.ppo_eval_first) // c.ppo_eval_every
    ppo = 0.0
    for rm in (smaller, largest):
        rollouts = c.ppo_updates * c.ppo_batch_size * tokens
        ppo += rollouts * (2 * (2 * policy + rm) + c.ppo_epochs * 8 * policy)
        ppo += points * c.curve_prompts * c.eval_samples * 2 * tokens * (3 * policy + rm + gold)
    hours = [
        x / OPERATIONS_A_SECOND / 3600 for x in (2 * sampled * (policy + gold), sampled * (smaller + largest), ppo)
    ]
    pools, bon, ppo_hours, stated_points, total = numbers(
        text, r"Hours: (\S+) \(pools, gold\) \+ (\S+) \(best-of-n\) \+ (\S+) \(PPO, (\d+) points\) = (\S+)"
    )
    assert (pools, bon, ppo_hours) == tuple(round(x, 1) for x in hours) and stated_points == points
    assert total == round(pools + bon + ppo_hours, 1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_study_on_local_files_of_the_same_form(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    architecture, chat = {"pythia_summarize": ("gpt_neox", False), "qwen_helpful": ("llama", True)}[name]
    models = [recipe["policy"], *recipe["rm_sizes"], recipe["gold"]]
    assert recipe["rm_size"] in recipe["rm_sizes"] and all(len(model.split("/")) == 2 for model in models)
    for i, model in enumerate(models):
        save_checkpoint(tmp_path / model, architecture, byte_tokenizer(340, chat=chat), reward=i > 0, seed=i)
    posts = [f"SUBREDDIT: r/help\n\nTITLE: phone {i}\n\nPOST: It does not start.\n\nTL;DR:" for i in range(700)]
    if name == "pythia_summarize":
        pd.DataFrame({"prompt": posts, "completion": " Restart it."}).to_parquet(tmp_path / recipe["prompts"])
    else:
        talks = [f"\n\nHuman: Question {i}?\n\nAssistant:" for i in range(700)]
        rows = [json.dumps({"chosen": f"{talk} Yes.", "rejected": f"{talk} No."}) for talk in talks]
        (tmp_path / recipe["prompts"]).write_text("\n".join(rows))
    config = load_config(
        "gpu", {"max_prompt_tokens": "100", "max_response_tokens": "20"}, str(EXAMPLES / f"{name}.yaml")
    )
    [reading] = check(config)
    assert "700" in reading
    plan = plan_study(config)
    assert {step.params["method"] for step in plan.policy_runs} == {"best-of-n", "ppo"} and len(plan.policy_runs) == 4
    assert {size for size, _ in plan.proxies} == set(recipe["rm_sizes"])
