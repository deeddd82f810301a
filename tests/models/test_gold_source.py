"""The option `gold` is parsed once; every other module asks the result what plays gold."""

from __future__ import annotations

import pytest

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.models.gold_source import GoldSource, kind_of_run
from mlproject.names import GoldKind, Tag

FORMS = {
    "trained": GoldKind.TRAINED,
    "none": GoldKind.TEST_RM,
    "./trained": GoldKind.CHECKPOINT,
    "/models/gold": GoldKind.CHECKPOINT,
    "owner/name": GoldKind.CHECKPOINT,
    "C:\\models\\gold": GoldKind.CHECKPOINT,
    "module:score": GoldKind.FUNCTION,
    "package.module:score": GoldKind.FUNCTION,
}


@pytest.mark.parametrize("option", FORMS)
def test_each_form_of_the_option_is_one_kind_of_gold(option: str) -> None:
    source = GoldSource.parse(option)
    assert (source.option, source.kind) == (option, FORMS[option])
    kinds = {
        GoldKind.TRAINED: source.is_trained,
        GoldKind.CHECKPOINT: source.is_checkpoint,
        GoldKind.FUNCTION: source.is_function,
        GoldKind.TEST_RM: source.is_test_rm,
    }
    assert [kind for kind, holds in kinds.items() if holds] == [FORMS[option]]


@pytest.mark.parametrize("option", ["", "mars", "a:b:c", "module:", ":score", "trained "])
def test_any_other_text_is_refused_with_the_four_forms(option: str) -> None:
    with pytest.raises(
        UserError, match=r"^gold=.*: must be trained, none, a checkpoint .*, PACKAGE.MODULE:FUNCTION or http:"
    ):
        GoldSource.parse(option)


def test_steps_and_runs_that_do_not_name_their_gold_have_a_trained_one() -> None:
    assert GoldSource.of_params({"world": "helpdesk"}).is_trained
    assert GoldSource.of_params({"gold": "./rm"}).is_checkpoint
    assert kind_of_run({}) == GoldKind.TRAINED
    assert kind_of_run({Tag.GOLD: GoldKind.FUNCTION}) == GoldKind.FUNCTION


def test_a_configuration_parses_its_own_option() -> None:
    assert load_config("smoke", {}).gold_source.is_trained
    assert load_config("smoke", {"gold": "mine:score"}).gold_source == GoldSource("mine:score", GoldKind.FUNCTION)
