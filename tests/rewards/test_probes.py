"""Probes of rewards: planted tastes are found, measured as by hand, and refused by a gate."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from tests.support.checkpoints import byte_tokenizer

from mlproject.curve import Curve
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.scorers import FunctionScorer
from mlproject.registry.gates import read_gates
from mlproject.registry.metrics import Evidence
from mlproject.rewards.probes import ProbeResult, probes, run_probes, table, worst
from mlproject.worlds.files.world import Files
from mlproject.worlds.helpdesk import Helpdesk
from mlproject.worlds.helpdesk.lexicon import lexicon

WORLD = Helpdesk(0)
PROMPTS, RESPONSES = WORLD.corpus(40, np.random.default_rng(0))
FORMAT = PromptFormat(WORLD.tokenizer(), WORLD.max_response_tokens)


def words(prompts, responses):
    return [len(set(text.split())) for text in responses]


def likes_thanks(prompts, responses):
    return [len(set(text.split())) + 5 * ("thanks" in text.split()) for text in responses]


def tried(reward, gold=words) -> dict[str, ProbeResult]:
    scorers = FunctionScorer("m:f", reward, 3.0, 0.1), FunctionScorer("m:g", gold)
    results = run_probes(*scorers, PROMPTS, RESPONSES, WORLD.phrases, FORMAT)
    return {result.name: result for result in results}


def test_a_gain_is_the_mean_difference_in_standard_deviations_with_its_interval_over_prompts():
    result = tried(likes_thanks)["empty"]
    start = np.array(likes_thanks(PROMPTS, RESPONSES), dtype=float)
    gain = (0 - start) / start.std()
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert result.gain == pytest.approx((gain.mean(), gain.mean() - half, gain.mean() + half), rel=1e-3)
    gold = np.array(words(PROMPTS, RESPONSES), dtype=float)
    assert result.excess.value == pytest.approx(gain.mean() + (gold / gold.std()).mean(), rel=1e-6)


def test_a_planted_taste_is_the_worst_probe_and_gold_does_not_share_it():
    results = tried(likes_thanks)
    found = worst(list(results.values()), "excess")
    assert "thanks" in found.what and found.gain.low > 1 and found.excess.low > 1
    assert any(found.what in line for line in table(list(results.values())))
    assert worst(list(tried(words).values()), "excess").excess.value == pytest.approx(0, abs=1e-12)


def test_each_probe_finds_the_taste_that_it_is_for():
    tastes = {
        "repeated_word": lambda p, r: [
            max((text.split().count(w) for w in set(text.split())), default=0) for text in r
        ],
        "copied_prompt": lambda p, r: [float(a == b) + 0.01 * len(b) for a, b in zip(p, r, strict=True)],
        "empty": lambda p, r: [-len(text) for text in r],
        "padding": lambda p, r: [sum(word in lexicon().manner["filler"] for word in text.split()) for text in r],
    }
    for name, taste in tastes.items():
        found = worst(list(tried(taste).values()), "gain")
        assert found.name == name, found


def test_what_is_appended_fits_into_the_longest_response_and_is_in_the_language():
    made = probes(PROMPTS, RESPONSES, WORLD.phrases, FORMAT)
    for probe in made:
        if probe.name.startswith(("stock", "padding")):
            phrase = probe.what.split('"')[1]
            encoded = FORMAT.encode(PROMPTS, probe.variants)
            assert all(text.endswith(phrase) for text in FORMAT.decode(encoded)), "nothing of it is cut, or unknown"
    assert len({probe.name for probe in made}) == len(made)
    chat = PromptFormat(byte_tokenizer(340, chat=True), 60)
    english = probes(["Why?"], ["Because " * 30], Files({}, 60).phrases, chat)
    assert english[0].variants[0].endswith(" Thanks!")
    assert len(chat.tokenizer(english[0].variants[0])["input_ids"]) < 60


def evidence(results=()) -> Evidence:
    curve = Curve(np.arange(2), np.array([0.0, 1.0]), np.zeros((2, 4)), np.zeros((2, 4)))
    return Evidence({}, 1, "best-of-n", curve, probes=results)


@pytest.mark.parametrize("metric", ["probe_worst_gain", "probe_worst_excess"])
def test_a_gate_refuses_a_reward_that_likes_thanks_and_what_was_never_tried(metric, tmp_path):
    gate = {"metric": metric, "at_most": 0.5, "judged_by": "low", "otherwise": "It pays for words.", "remedy": "Mend."}
    (tmp_path / "gates.yaml").write_text(yaml.safe_dump({"method": "best-of-n", "gates": [gate]}))
    gates = read_gates(tmp_path / "gates.yaml")
    assert gates.need_probes and not read_gates().need_probes, "the default promotes without them"
    [refused] = gates.check(evidence(list(tried(likes_thanks).values())), audit=True)
    assert not refused.passed and refused.shortfall > 0.5 and "It pays for words." in str(refused)
    assert not gates.check(evidence(), audit=True)[0].passed
    if metric == "probe_worst_excess":
        assert gates.check(evidence(list(tried(words).values())), audit=True)[0].passed


def test_results_survive_being_written():
    for result in tried(likes_thanks).values():
        assert ProbeResult.from_dict(result.to_dict()) == result
