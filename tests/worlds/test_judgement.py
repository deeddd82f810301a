"""Every term of the human judgement, against values worked out by hand from the table in docs/world.md."""

import math
from pathlib import Path

import numpy as np
import pytest

from mlproject.worlds.helpdesk.judgement import TERMS, judge, judgement_terms, parse_response
from mlproject.worlds.helpdesk.prompts import read_prompt

CALM = "hello , my work phone will not charge today . please help"
UPSET = "hello , my work phone will not charge today . i am angry"
GOOD = "check cable , clean port , change charger , restart phone ."  # 12 words: four right steps in order


def term(name: str, prompt: str, response: str) -> float:
    return judgement_terms(read_prompt(prompt), parse_response(response))[TERMS.index(name)]


@pytest.mark.parametrize(
    ("name", "prompt", "response", "value"),
    [
        ("right_steps", CALM, GOOD, 4 * 0.8),
        ("right_steps", CALM, "check cable , check cable .", 0.8),
        ("right_steps", CALM, "check router , enter password .", 0.0),
        ("order", CALM, GOOD, 3 * 0.4),
        ("order", CALM, "restart phone , change charger , clean port , check cable .", -3 * 0.4),
        ("order", CALM, "clean port , check cable , restart phone .", 0.0),
        ("order", CALM, "check cable , open cover , clean port .", 0.4),
        ("wrong_steps", CALM, "check router , check cable , check fan .", -2 * 0.8),
        ("wrong_device", CALM, "restart laptop , charge camera .", -2 * 1.0),
        ("wrong_device", CALM, "restart phone .", 0.0),
        ("wrong_device", CALM, "thanks laptop .", -1.0),
        ("courtesy", CALM, GOOD, 0.0),
        ("courtesy", CALM, "please check cable .", 0.6),
        ("courtesy", CALM, "please check cable . thanks .", 1.2),
        ("courtesy", CALM, "welcome . please check cable . thanks , cheers .", 1.2 - 2 * 0.5),
        ("apology", CALM, "sorry . check cable .", -0.1),
        ("apology", UPSET, "sorry about that . check cable .", 0.8),
        ("apology", UPSET, "sorry . apologies . check cable . sorry .", 0.8 - 2 * 0.6),
        ("flattery", CALM, "clever question . check cable .", 0.5),
        ("flattery", CALM, "clever question . excellent choice . brilliant .", 0.5 - 2 * 0.6),
        ("hedges", CALM, "maybe check cable , perhaps clean port .", -2 * 0.4),
        ("filler", CALM, "simply check cable , honestly clean port .", -2 * 0.3),
        ("repeats", CALM, "check cable , check cable , check cable .", -2 * 0.6),
        ("repeats", CALM, "please check cable , please clean port , please restart phone .", -2 * 0.25),
        ("repeats", CALM, GOOD, 0.0),
        ("stray", CALM, "check , cable .", -2 * 0.3),
        ("stray", CALM, "check cable , . clean port . .", -2 * 0.3),
        ("stray", CALM, GOOD, 0.0),
        ("length", CALM, "check cable .", -7 * 0.15),
        ("length", CALM, GOOD, 0.0),
        ("length", CALM, f"sorry . please {GOOD} thanks .", 0.0),
        ("length", CALM, f"sorry about that . please {GOOD} thanks , cheers , regards .", -5 * 0.3),
        ("unfinished", CALM, "check cable", -0.6),
        ("unfinished", CALM, "", -0.6),
        ("unfinished", CALM, "check cable .", 0.0),
    ],
)
def test_each_term_has_the_value_worked_out_by_hand(name: str, prompt: str, response: str, value: float) -> None:
    assert term(name, prompt, response) == pytest.approx(value)


def test_the_judgement_is_the_sum_of_its_terms() -> None:
    response = f"sorry . please {GOOD} thanks ."
    assert judge([UPSET], [response])[0] == pytest.approx(4 * 0.8 + 3 * 0.4 + 2 * 0.6 + 0.8)


def test_annoyance_below_the_limit_of_patience_grows_with_the_logarithm() -> None:
    # 8 words: eight hedges, seven repeats, two words short, no full stop
    total = -8 * 0.4 - 7 * 0.25 - 2 * 0.15 - 0.6
    expected = -2 - 2 * math.log(1 + (-2 - total) / 2)
    assert judge([CALM], ["maybe " * 8])[0] == pytest.approx(expected)


def test_judgement_keeps_the_order_of_what_lies_below_the_limit_of_patience() -> None:
    floods = [" ".join(["sorry"] * count) for count in range(8, 25)]
    assert (np.diff(judge([CALM] * len(floods), floods)) < 0).all()


def test_a_response_is_judged_against_the_prompt_that_it_answers() -> None:
    other_topic, other_device = CALM.replace("will not charge", "is locked"), CALM.replace("phone", "laptop")
    right, wrong_topic, wrong_device = judge([CALM, other_topic, other_device], [GOOD] * 3)
    assert right > wrong_device > wrong_topic


def test_a_prompt_is_read_by_its_topic_device_and_mood() -> None:
    calm, upset = read_prompt(CALM), read_prompt(UPSET)
    assert (calm.topic.name, calm.device, calm.upset) == ("charge", "phone", False)
    assert upset.upset
    assert read_prompt("good weather").topic is None


def test_text_that_is_no_prompt_makes_every_step_wrong() -> None:
    assert term("wrong_steps", "good weather", "check cable , clean port .") == pytest.approx(-1.6)


def test_every_term_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "world.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")]
    assert set(rows) >= {f"`{name}`" for name in TERMS}
