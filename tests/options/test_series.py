"""A series of checkpoints is read as its owner named it."""

import pytest

from mlproject.errors import UserError
from mlproject.options.series import SeriesItem, parse_series


def model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("")
    return folder


def steps(text):
    return [item.step for item in parse_series(str(text)).items]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["checkpoint-100", "checkpoint-20"], [20, 100]),
        (["step_200", "step_100", "runs"], [100, 200]),
        (["global_step1", "global_step10", "global_step9"], [1, 9, 10]),
        (["0", "300"], [0, 300]),
        (["epoch-2-step-40", "epoch-1-step-20"], [20, 40]),
    ],
)
def test_the_last_number_of_a_folder_is_its_step(tmp_path, names, expected):
    for name in names:
        if name == "runs":
            (tmp_path / name).mkdir()
        else:
            model(tmp_path / name)
    assert steps(tmp_path) == expected


def test_models_without_a_step_are_named_and_nested_ones_found(tmp_path):
    for name in ("checkpoint-5", "final", "global_step_10/actor/huggingface"):
        model(tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "checkpoint-7").mkdir()  # nothing was saved in it
    series = parse_series(str(tmp_path))
    nested = tmp_path / "global_step_10" / "actor" / "huggingface"
    assert [(item.step, item.path) for item in series.items] == [(5, str(tmp_path / "checkpoint-5")), (10, str(nested))]
    assert series.left_out == (f"{tmp_path.name} itself", "final")


def test_a_list_names_folders_and_hub_models_in_any_order(tmp_path):
    one, two = model(tmp_path / "a@b"), model(tmp_path / "two, or more")
    series = parse_series(f"{two}@20, {one}@10,org/name@0")
    assert series.items == (SeriesItem(0, "org/name"), SeriesItem(10, str(one)), SeriesItem(20, str(two)))


def test_mistakes_say_what_to_give(tmp_path):
    first, second = model(tmp_path / "x" / "a-1"), model(tmp_path / "x" / "b-1")
    (tmp_path / "empty").mkdir()
    model(tmp_path / "several" / "step-1" / "actor")
    model(tmp_path / "several" / "step-1" / "critic")
    for text, message in (
        ("nowhere", "must be an existing folder"),
        (tmp_path / "empty", "but holds none"),
        (first, "holds a model itself"),
        (tmp_path / "x", "a-1 and b-1 are both step 1"),
        (tmp_path / "several", "step-1 must hold one model, not"),
        (f"{first}@1,{second}", f"{str(second)!r} must have the form PATH@STEP"),
        ("./nowhere@3", "./nowhere must be an existing folder"),
    ):
        with pytest.raises(UserError) as error:
            parse_series(str(text))
        assert message in str(error.value)
