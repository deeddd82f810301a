"""Gates as data: what the file may hold, and the result of a gate."""

import math
from pathlib import Path

import pytest
import yaml

from mlproject.config.packaged import DEFAULTS
from mlproject.errors import UserError
from mlproject.registry.gates import FOLDER, read_gates
from mlproject.registry.metrics import METRICS

WORDS = {"otherwise": "It is bad.", "remedy": "Make it better."}
GOOD = {"metric": "peak_gold", "at_least": 0.5, "judged_by": "low", **WORDS}


def write(folder, *gates, method="best-of-n", **more):
    path = folder / "gates.yaml"
    path.write_text(yaml.safe_dump({"method": method, "gates": list(gates), **more}))
    return path


def without(name):
    return {key: value for key, value in GOOD.items() if key != name}


def test_the_reviewed_gates_cover_every_metric_but_the_loss_and_those_that_are_an_offer():
    offered = {"val_loss", "probe_worst_gain", "probe_worst_excess"}
    assert {gate.metric for gate in read_gates().gates} == set(METRICS) - offered


def test_a_gate_checks_the_end_of_the_interval_that_judged_by_names(tmp_path, evidence):
    noisy = evidence(height=0.55, spread=0.5)  # standard error .05
    for bound, passed in (("low", False), ("value", True), ("high", True)):
        [gate] = read_gates(write(tmp_path, GOOD | {"judged_by": bound})).gates
        assert gate.check(noisy).passed is passed, bound


def test_a_range_has_two_ends(tmp_path, evidence):
    gate = GOOD | {"metric": "length_ratio", "at_least": 0.5, "at_most": 1.4, "judged_by": "value"}
    result = read_gates(write(tmp_path, gate)).gates[0].check(evidence())
    assert not result.passed
    assert result.shortfall == pytest.approx(0.1)


def test_a_refusal_names_the_gate_the_shortfall_and_the_remedy(tmp_path, evidence):
    text = str(read_gates(write(tmp_path, GOOD | {"at_least": 2})).gates[0].check(evidence()))
    assert text.startswith("refused peak_gold: 1 [")
    assert "required: at least 2, lower bound; missed by 1.0" in text
    assert text.endswith("It is bad. Make it better.")


def test_what_was_not_measured_does_not_pass(tmp_path, evidence):
    result = read_gates(write(tmp_path, GOOD | {"metric": "margin", "at_least": -99})).gates[0].check(evidence())
    assert not result.passed
    assert math.isinf(result.shortfall)
    assert "not measured" in str(result)


def test_gates_that_need_the_audit_are_not_checked_before_it(tmp_path, evidence):
    gates = read_gates(write(tmp_path, GOOD, GOOD | {"metric": "margin"}))
    assert [result.gate.metric for result in gates.check(evidence(), audit=False)] == ["peak_gold"]
    assert [result.gate.metric for result in gates.check(evidence(), audit=True)] == ["peak_gold", "margin"]


BAD = {
    "an unknown metric": ([GOOD | {"metric": "beauty"}], ["gate 1", "metric=beauty", "peak_gold"]),
    "a threshold that is not a number": ([GOOD | {"at_least": float("nan")}], ["at_least=nan", "a number"]),
    "a threshold in quotes": ([GOOD | {"at_least": "0.5"}], ["at_least=0.5", "without quotes"]),
    "a threshold that is a yes": ([GOOD | {"at_least": True}], ["at_least=True"]),
    "inverted bounds": ([GOOD | {"at_most": 0.1}], ["at_least=0.5", "above at_most=0.1"]),
    "no bound": ([without("at_least")], ["lacks at_least or at_most"]),
    "no words": ([without("otherwise")], ["lacks otherwise"]),
    "empty words": ([GOOD | {"remedy": " "}], ["must be texts"]),
    "words that are a mapping": ([GOOD | {"otherwise": {"a": 1}}], ["must be texts"]),
    "an end that is a list": ([GOOD | {"judged_by": ["low"]}], ["judged_by=", "must be one of"]),
    "no end": ([without("judged_by")], ["lacks judged_by"]),
    "an unknown end": ([GOOD | {"judged_by": "middle"}], ["judged_by=middle", "value, low, high"]),
    "an unknown field": ([GOOD | {"colour": "red"}], ["unknown field colour"]),
    "no KL where one is needed": ([GOOD | {"metric": "gold_at_kl"}], ["lacks kl"]),
    "a KL where none is": ([GOOD | {"kl": 1.0}], ["takes no kl"]),
    "a negative KL": ([GOOD | {"metric": "gold_at_kl", "kl": -1}], ["kl=-1", "above 0"]),
    "the same gate twice": ([GOOD, GOOD], ["peak_gold", "two gates"]),
    "a gate that is a word": (["peak_gold"], ["gate 1", "peak_gold"]),
    "no gate": ([], ["at least one gate"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, case):
    gates, words = BAD[case]
    path = write(tmp_path, *gates)
    with pytest.raises(UserError) as error:
        read_gates(path)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in [*words, str(path)])


def test_a_file_with_other_fields_or_broken_yaml_is_refused(tmp_path):
    for more, word in (
        ({"method": "prayer"}, "method=prayer: must be one of best-of-n, ppo"),
        (
            {"method": "dpo"},
            "method=dpo: which learns from comparisons and has no reward model to promote;",
        ),
        ({"owner": "me"}, "exactly the fields method and gates"),
    ):
        with pytest.raises(UserError, match=word):
            read_gates(write(tmp_path, GOOD, **more))
    for text, word in (("a: [", "not valid YAML"), ("- 1", "method and gates")):
        (tmp_path / "gates.yaml").write_text(text)
        with pytest.raises(UserError, match=word):
            read_gates(tmp_path / "gates.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_gates(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", ["gates.yaml", "model_card.md.jinja"])
def test_the_package_carries_the_reviewed_files_byte_for_byte(name):
    root = Path(__file__).parents[2]
    assert (DEFAULTS / FOLDER / name).read_bytes() == (root / FOLDER / name).read_bytes()


def test_the_digest_that_promotions_record_is_that_of_the_reviewed_gates():
    digest = "e8bd245acfde099f549b00e737bcbb050b4cf07d1709bef7fe7acbd273f0e88c"
    assert read_gates().digest == digest, "earlier refusals are found again by it: raise it on purpose only"
