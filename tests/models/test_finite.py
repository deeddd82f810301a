"""What is not finite is named at its source: reward model or function, response, prompt, policy."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch

from mlproject.errors import NotFiniteError, UserError, located
from mlproject.models.finite import check_scores
from mlproject.models.generation import sample_responses
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import FunctionScorer, NoGold, TextRewardModel, rated

PROMPTS, TEXTS = ["yes", "no", "maybe"], ["no no", "maybe yes", "yes"]


@pytest.fixture
def prompt_format(tiny_tokenizer):
    return PromptFormat(tiny_tokenizer, 6)


@pytest.fixture
def responses(prompt_format) -> Responses:
    return Responses(PROMPTS, prompt_format.encode(PROMPTS, TEXTS), prompt_format)


@pytest.fixture
def broken_rm(tiny_reward_model, tiny_tokenizer):
    """A reward model that gives nan to whatever has the word maybe in it."""
    model = tiny_reward_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[tiny_tokenizer.convert_tokens_to_ids("maybe")] = math.nan
    return model


@pytest.mark.parametrize("reads", ["ids", "texts"])
def test_a_reward_model_that_gives_nan_is_named_with_response_and_prompt(broken_rm, prompt_format, responses, reads):
    broken_rm.name_or_path = "my-rm"
    scorer = RewardModel(broken_rm, 1.0, 2.0)
    scorer = scorer if reads == "ids" else TextRewardModel(scorer, prompt_format)
    with pytest.raises(NotFiniteError) as error:
        rated(scorer, responses, "proxy")
    message = str(error.value)
    assert message.startswith(
        "proxy reward model my-rm: must give each response a finite score, but gives nan to 2 of 3"
    )
    assert "(first to 'maybe yes', to the prompt 'no')" in message
    assert len(message.splitlines()) == 1
    assert isinstance(error.value, UserError)


@pytest.mark.parametrize(
    ("value", "kind"), [(math.nan, "nan"), (math.inf, "infinity"), (-math.inf, "infinity"), (None, "nan")]
)
def test_a_function_that_gives_no_number_is_named(responses, value, kind):
    scorer = FunctionScorer("judge", lambda prompts, texts: [value if text == "yes" else 1.0 for text in texts])
    with pytest.raises(NotFiniteError, match=f"gold judge: .* gives {kind} to 1 of 3 .*'yes', to the prompt 'maybe'"):
        rated(scorer, responses, "gold")


@pytest.mark.parametrize("value", [1e308, -1e101])
def test_a_score_whose_spread_could_not_be_computed_is_refused(responses, value):
    scorer = FunctionScorer("judge", lambda prompts, texts: [value, -1.0, 1.0])
    with pytest.raises(NotFiniteError, match=r"a score between -1e\+100 and 1e\+100, but gives -?1e\+\d+ to 1 of 3 \("):
        rated(scorer, responses, "gold")
    rated(FunctionScorer("judge", lambda prompts, texts: [1e100, -1e100, 1.0]), responses, "gold")


def test_a_scorer_of_somebody_elses_is_checked_too_and_nothing_that_plays_gold_is_not(responses):
    class Own:
        def rate(self, responses):
            return np.array([1.0, np.inf, 2.0])

    with pytest.raises(NotFiniteError, match=r"test_rm\.a: .* gives infinity to 1 of 3"):
        rated(Own(), responses, "test_rm.a")
    assert np.isnan(rated(NoGold(), responses, "gold")).all()


def test_where_a_report_is_asked_for_scores_are_unknown_and_nothing_is_raised(broken_rm, responses):
    told: list[NotFiniteError] = []
    assert np.isnan(rated(RewardModel(broken_rm), responses, "proxy", told.append)).all()
    assert ["maybe yes" in str(error) for error in told] == [True]


def test_a_long_response_is_quoted_by_its_beginning_on_one_line():
    class Texts:
        texts, prompts = ["a\nb" * 100], ["c" * 100]

    with pytest.raises(NotFiniteError) as error:
        check_scores(np.array([np.nan]), "rm", Texts())
    assert len(str(error.value)) < 300 and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("samples", [1, 3])
def test_a_policy_whose_logits_are_nan_is_named_with_the_prompt(tiny_policy, tiny_tokenizer, prompt_format, samples):
    policy = tiny_policy()
    with torch.no_grad():
        policy.get_input_embeddings().weight[tiny_tokenizer.convert_tokens_to_ids("maybe")] = math.nan
    generator = torch.Generator().manual_seed(0)
    prompts = ["yes", "yes no", "no maybe", "maybe"]
    with pytest.raises(NotFiniteError, match=r"policy: .* nan in .* to the prompt '(no )?maybe'"):
        sample_responses(
            policy, prompt_format, [prompts[2], prompts[3]], generator=generator, samples_per_prompt=samples
        )
    with pytest.raises(NotFiniteError, match=r"to the prompt 'no maybe'\. Check its weights"):
        sample_responses(policy, prompt_format, ["yes no", "no maybe"], generator=generator, batch_size=1)


def test_places_are_told_from_the_inside_out_and_survive_the_way_between_processes():
    error = NotFiniteError("rm", "gives nan", "Check it.", row=2)
    with pytest.raises(NotFiniteError) as caught, located("at step 3", "proxy"), located("in update 7"):
        raise error
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == "proxy rm: gives nan, in update 7, at step 3. Check it."
    assert again.row == 2 and again.of("proxy").source == "proxy rm"
