"""Reward functions of TRL as scorers, against what the same functions say when they are called as TRL calls them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlproject.errors import NotFiniteError, UserError
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.scorers import FunctionScorer
from mlproject.rewards.trl_reward import trl_reward

rewards = pytest.importorskip("trl.rewards")
PROMPTS = ["1 + 1", "2 + 2", "Why?"]
RESPONSES = ["<think>\nOne more.\n</think>\n2", "4", "<think>So."]
MESSAGES = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
COMPLETIONS = [[{"role": "assistant", "content": response}] for response in RESPONSES]
SOLUTIONS = ["2", "5", None]
ROWS = [{"prompt": prompt, "solution": solution} for prompt, solution in zip(PROMPTS, SOLUTIONS, strict=True)]


def accuracy(completions, solution, **others):
    """As TRL's `accuracy_reward`: None where the solution cannot be read."""
    contents = [completion[0]["content"] for completion in completions]
    return [None if s is None else float(s in content) for content, s in zip(contents, solution, strict=True)]


def test_a_function_in_chat_form_gets_messages():
    expected = rewards.think_format_reward(prompts=MESSAGES, completions=COMPLETIONS)
    assert trl_reward(rewards.think_format_reward)(PROMPTS, RESPONSES) == expected == [1.0, 0.0, 0.0]


def test_a_function_in_plain_form_gets_texts():
    def plain(prompts, completions, **others):
        return [float(len(prompt) + len(completion)) for prompt, completion in zip(prompts, completions, strict=True)]

    assert trl_reward(plain, chat=False)(PROMPTS, RESPONSES) == plain(PROMPTS, RESPONSES)


def test_prompts_of_several_turns_are_the_messages_that_they_hold():
    seen = []

    def function(prompts, completions, **others):
        seen.extend(prompts)
        return [0.0] * len(prompts)

    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    trl_reward(function)([json.dumps(turns), "Why?"], ["a", "b"])
    assert seen == [turns, turns[1:]]


@pytest.mark.parametrize("form", ["texts", "messages"])
def test_further_columns_go_with_their_prompts_and_none_counts_as_nothing(form):
    rows = ROWS if form == "texts" else [{**row, "prompt": m} for row, m in zip(ROWS, MESSAGES, strict=True)]
    order = [2, 0, 1, 0]
    prompts, responses = ([values[i] for i in order] for values in (PROMPTS, RESPONSES))
    called = accuracy([COMPLETIONS[i] for i in order], [SOLUTIONS[i] for i in order])
    assert called == [None, 1.0, 0.0, 1.0]
    assert trl_reward(accuracy, rows=rows)(prompts, responses) == [0.0, 1.0, 0.0, 1.0]
    assert trl_reward(accuracy, rows=rows, not_applicable=-1.0)(prompts, responses) == [-1.0, 1.0, 0.0, 1.0]


def test_a_function_of_token_ids_gets_those_of_the_responses(tiny_tokenizer):
    punish = rewards.get_soft_overlong_punishment(max_completion_len=3, soft_punish_cache=2)
    texts = ["yes", "yes no", "yes no maybe", "yes no maybe no"]
    ids = [tiny_tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    expected = punish(completion_ids=ids, prompts=texts, completions=texts)
    assert trl_reward(punish, tokenizer=tiny_tokenizer)(texts, texts) == expected
    assert len(set(expected)) > 2


def test_mistakes_are_one_line_that_names_the_function(tiny_tokenizer):
    with pytest.raises(UserError, match=r"rows: number 2 must have .* columns of the first row \(solution\)"):
        trl_reward(accuracy, rows=[ROWS[0], {"prompt": "a"}])
    with pytest.raises(UserError, match="must hold each held-out prompt, but lack 'other'"):
        trl_reward(accuracy, rows=ROWS)(["other"], ["a"])
    prompt_format = PromptFormat(tiny_tokenizer, 6)
    responses = Responses(["yes"], prompt_format.encode(["yes"], ["no"]), prompt_format)

    def nothing(completions, **others):
        return [np.nan for _ in completions]

    scorer = trl_reward(nothing)
    with pytest.raises(NotFiniteError, match="nothing: must give each response a finite score"):
        FunctionScorer(scorer.__qualname__, scorer).rate(responses)
