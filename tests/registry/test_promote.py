"""Promotion end to end on planted curves: who becomes champion, and what is written down."""

import json

import pytest
from mlflow.exceptions import MlflowException
from tests.registry.planted import promoting

from mlproject.names import Alias, Tag, VersionTag
from mlproject.registry.gates import read_gates
from mlproject.registry.history import history
from mlproject.registry.lock import promotion_runs
from mlproject.registry.versions import verify, version_by_alias
from mlproject.tracking.run_data import artifact

NAME = "reward-model"
slow = pytest.mark.slow
TWO = {("1k", 0): 0.8, ("3k", 0): 1.2}


def status(client, version):
    return client.get_model_version(NAME, version).tags[VersionTag.STATUS]


def newest(store):
    return promotion_runs(store.client(), NAME)[0]


def champion(store):
    version = version_by_alias(store.client(), NAME)
    return version and str(version.version)


def test_the_highest_peak_becomes_champion_and_the_others_are_candidates(plant, tmp_path, capsys):
    store = plant(TWO)
    client = store.client()
    assert promoting(tmp_path) == 0
    version = client.get_model_version_by_alias(NAME, Alias.CHAMPION)
    assert version.tags["rm_size"] == "3k"
    assert version.tags[VersionTag.STATUS] == "passed"
    assert float(version.tags["kl_budget.best-of-n"]) == pytest.approx(2.56)
    [other] = [v for v in client.search_model_versions(f"name = '{NAME}'") if v.version != version.version]
    assert other.tags[VersionTag.STATUS] == "candidate"
    assert version_by_alias(client, NAME, Alias.CHALLENGER) is None
    verify(client, version)
    assert "passed  margin" in capsys.readouterr().out


def test_a_promotion_run_has_gate_results_evidence_and_gates(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path)
    run = newest(store)
    assert run.info.status == "FINISHED"
    assert run.data.tags[Tag.PROMOTION_OUTCOME] == "promoted"
    assert run.data.tags["mlproject.kind"] == "promotion"
    assert run.data.metrics["gate/peak_gold"] == pytest.approx(1.2)
    assert run.data.metrics["gate/peak_gold_low"] < 1.2 < run.data.metrics["gate/peak_gold_high"]
    assert run.data.metrics["gate/margin_holds"] == 1
    names = {item.path for item in store.client().list_artifacts(run.info.run_id)}
    assert names == {"verdicts.json", "candidates.json", "curve.npz", "gates.yaml", "evidence.png"}
    table = json.loads(artifact(store.client(), run.info.run_id, "verdicts.json").read_text())
    assert table["columns"] == ["gate", "wanted", "holds", "value", "low", "high", "says"]
    assert [row[0] for row in table["data"]] == [gate.name for gate in read_gates().gates]
    assert all(row[2] is True for row in table["data"])
    ranking = json.loads(artifact(store.client(), run.info.run_id, "candidates.json").read_text())
    assert [row["rm_size"] for row in ranking] == ["3k", "1k"]


def test_repeating_a_promotion_makes_no_further_run(plant, tmp_path, capsys):
    store = plant(TWO)
    promoting(tmp_path)
    assert promoting(tmp_path) == 0
    assert len(promotion_runs(store.client(), NAME)) == 1
    assert "is champion" in capsys.readouterr().out


def test_what_a_later_study_measures_of_a_standing_champion_is_put_to_the_gates(plant, tmp_path, capsys):
    """One answer: figures, run and card are those of the later study, and the earlier promotion is named beside it."""
    store = plant(TWO)
    promoting(tmp_path)
    first, client = newest(store), store.client()
    before = version_by_alias(client, NAME)
    capsys.readouterr()
    plant({("1k", 0): 0.9, ("3k", 0): 1.5}, options={"bon_points": "5"})  # further curves of the same reward models
    assert promoting(tmp_path, bon_points="5") == 0
    said, second = capsys.readouterr().out, newest(store)
    assert second.info.run_id != first.info.run_id
    assert second.data.tags[Tag.PROMOTION_OUTCOME] == "confirmed"
    assert f"is champion, {NAME}@champion (run {second.info.run_id})" in said
    assert "is champion since" in said and first.info.run_id in said
    assert "passed  peak_gold: 1.5 " in said and "passed  margin: 1.5 " in said
    assert second.data.metrics["gate/peak_gold"] == pytest.approx(1.5)
    after = version_by_alias(client, NAME)
    assert after.version == before.version and after.tags["peak_gold.best-of-n"] == "1.5"
    assert after.tags["policy_run_id.best-of-n"] != before.tags["policy_run_id.best-of-n"]
    assert f"- promotion: `{first.info.run_id}`\n- confirmed by: `{second.info.run_id}`" in after.description
    assert "1.50 [" in after.description and "1.20 [" not in after.description
    assert len(history(client, NAME)) == 1  # the alias has not moved

    assert promoting(tmp_path, bon_points="5") == 0  # again: the run that answered the same question
    assert newest(store).info.run_id == second.info.run_id
    assert f"(run {second.info.run_id})" in capsys.readouterr().out


def test_a_champion_that_stands_on_the_same_evidence_has_the_figures_of_its_promotion(plant, tmp_path, capsys):
    store = plant({("1k", 0): 0.8})
    promoting(tmp_path)
    plant({("3k", 0): 1.2})
    promoting(tmp_path)
    first = capsys.readouterr().out
    assert promoting(tmp_path) == 0
    again = capsys.readouterr().out
    gates = [line for line in first.splitlines() if "margin" in line][-1:]
    assert gates == [line for line in again.splitlines() if "passed  margin" in line]  # over the champion of then
    assert "these are the figures of that promotion" in again and "0.4 [" in gates[0]
    assert len(promotion_runs(store.client(), NAME)) == 2


ORDERED = {("1k", 0): 0.7, ("1k", 1): 0.72, ("3k", 0): 1.2, ("3k", 1): 1.3, ("13k", 0): 0.9, ("13k", 1): 0.95}


def both_seeds(**heights):
    return {(size, seed): height for size, height in heights.items() for seed in (0, 1)}


@pytest.mark.parametrize(
    "heights",
    [
        ORDERED,
        pytest.param(both_seeds(**{"1k": 1.3, "3k": 0.9, "13k": 0.7}), marks=slow),
        pytest.param(both_seeds(**{"1k": 0.6, "3k": 0.9, "13k": 1.3}), marks=slow),
        pytest.param(both_seeds(**{"1k": 1.0, "3k": 1.0, "13k": 1.0}), marks=slow),
        pytest.param(both_seeds(**{"1k": 0.7, "3k": 1.0, "13k": 1.0}), marks=slow),
    ],
)
def test_a_promotion_proposes_what_the_curves_of_the_store_recommend(plant, tmp_path, capsys, heights):
    store = plant(heights)
    assert promoting(tmp_path) == 0
    by_size = {size: heights[size, 0] + heights[size, 1] for size, _ in heights}
    equal = [size for size, height in by_size.items() if height == max(by_size.values())]
    champion, reason = version_by_alias(store.client(), NAME).tags, newest(store).data.tags[Tag.PROMOTION_PROPOSED]
    assert champion["rm_size"] in equal and newest(store).data.tags[Tag.CANDIDATE_RM_SIZE] == champion["rm_size"]
    peaks = [heights[champion["rm_size"], seed] for seed in (0, 1)]
    assert peaks[int(champion["seed"])] == max(peaks)
    assert reason.startswith(f"{champion['rm_size']} is the recommended reward model")
    assert reason in capsys.readouterr().out
    assert all(size in reason for size in equal)
    described = version_by_alias(store.client(), NAME).description
    assert "That is one seed; of all 2 seeds together the study says: stop at 2.6 nats (n = 6)" in described


def test_a_better_candidate_takes_the_alias_and_the_previous_champion_is_retired(plant, tmp_path):
    store = plant({("1k", 0): 0.8})
    promoting(tmp_path)
    first = champion(store)
    plant({("3k", 0): 1.2})
    assert promoting(tmp_path) == 0
    assert champion(store) != first
    assert status(store.client(), first) == "retired"
    assert [(move.from_version, move.to_version) for move in history(store.client(), NAME)] == [
        ("", first),
        (first, champion(store)),
    ]


def test_a_candidate_without_a_clear_margin_is_refused_and_becomes_challenger(plant, tmp_path, capsys):
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    plant({("1k", 0): 1.3}, audit_lead=-0.2)  # ahead on the curve prompts, behind on the audit prompts
    before = champion(store)
    assert promoting(tmp_path) == 3
    assert champion(store) == before
    challenger = version_by_alias(store.client(), NAME, Alias.CHALLENGER)
    assert challenger.tags["rm_size"] == "1k"
    assert challenger.tags[VersionTag.STATUS] == "refused"
    printed = capsys.readouterr()
    assert "refused margin: -0.1 [" in printed.out
    assert "promotion refused by margin" in printed.err
    assert promoting(tmp_path) == 3, "the same question has the same answer"
    assert len(promotion_runs(store.client(), NAME)) == 2


def test_a_candidate_that_fails_before_the_audit_is_not_audited(plant, tmp_path):
    store = plant({("3k", 0): 0.4})
    assert promoting(tmp_path) == 3
    run = newest(store)
    assert run.data.tags[Tag.PROMOTION_OUTCOME] == "refused"
    assert run.data.metrics["gate/peak_gold_holds"] == 0
    assert "gate/margin" not in run.data.metrics
    assert champion(store) is None


def test_the_highest_candidate_that_passes_is_promoted_over_a_higher_one_that_fails(plant, tmp_path):
    store = plant({("1k", 0): 0.8})
    plant({("3k", 0): 1.2}, length=9.0)
    assert promoting(tmp_path) == 0
    client = store.client()
    assert client.get_model_version_by_alias(NAME, Alias.CHAMPION).tags["rm_size"] == "1k"
    [other] = [v for v in client.search_model_versions(f"name = '{NAME}'") if v.tags["rm_size"] == "3k"]
    assert other.tags[VersionTag.STATUS] == "refused"
    assert "length_ratio: 9" in other.description


@pytest.mark.parametrize("proxy", [["--proxy", "3k"], []])
def test_a_dry_run_does_not_change_the_registry(plant, tmp_path, proxy, capsys):
    store = plant(TWO)
    assert promoting(tmp_path, "--dry-run", *proxy) == 0
    with pytest.raises(MlflowException, match="not found"):
        store.client().get_registered_model(NAME)
    assert newest(store).data.tags[Tag.PROMOTION_OUTCOME] == "dry-run"
    assert "passed all gates" in capsys.readouterr().out


def test_a_named_candidate_is_evaluated_although_another_peaks_higher(plant, tmp_path):
    store = plant(TWO)
    assert promoting(tmp_path, "--proxy", "1k") == 0
    assert store.client().get_model_version_by_alias(NAME, Alias.CHAMPION).tags["rm_size"] == "1k"


def test_an_alias_that_was_moved_by_hand_returns_by_promotion(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path)
    client, best = store.client(), champion(store)
    [other] = [v.version for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != best]
    client.set_registered_model_alias(NAME, Alias.CHAMPION, other)
    assert promoting(tmp_path) == 0
    assert champion(store) == best


def test_a_champion_without_a_promotion_is_evaluated_like_a_first_one(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path)
    client, best = store.client(), champion(store)
    for tag in (VersionTag.STATUS, VersionTag.PROMOTION_RUN_ID):  # as if the alias had been set by hand
        client.delete_model_version_tag(NAME, best, tag)
    assert promoting(tmp_path) == 0
    version = version_by_alias(client, NAME)
    assert str(version.version) == best
    assert version.tags[VersionTag.STATUS] == "passed"
    assert client.get_run(version.tags[VersionTag.PROMOTION_RUN_ID]).data.metrics["gate/margin_holds"] == 1


def test_a_champion_that_is_no_proxy_rm_is_an_error(plant, tmp_path, capsys):
    store = plant(TWO)
    client = store.client()
    client.create_registered_model(NAME)
    foreign = client.create_model_version(NAME, source="file:///nowhere", tags={})
    client.set_registered_model_alias(NAME, Alias.CHAMPION, foreign.version)
    assert promoting(tmp_path) == 2
    assert "must be a proxy RM of this project" in capsys.readouterr().err
    assert champion(store) == str(foreign.version)


def test_without_any_curve_there_is_nothing_to_promote(plant, tmp_path, capsys):
    store = plant(TWO)
    assert promoting(tmp_path, bon_points="5") == 2
    assert "no finished best-of-n curve" in capsys.readouterr().err
    assert promotion_runs(store.client(), NAME) == []


def test_without_a_pool_it_is_said_before_anything_is_trained(plant, tmp_path, capsys):
    store = plant({})
    assert promoting(tmp_path) == 2
    assert "no finished best-of-n curve" in capsys.readouterr().err
    assert store.client().search_runs(store.experiments, "tags.`mlproject.kind` = 'initial-policy'") == []


def test_a_champion_that_cannot_score_these_prompts_stays_and_it_is_said_which_options_it_needs(
    plant, tmp_path, capsys
):
    of_champion = {"reward": "par", "audit_prompts": "20"}
    store = plant({("3k", 0): 0.8}, options=of_champion)
    assert promoting(tmp_path, **of_champion) == 0
    before, client = champion(store), store.client()
    plant({("1k", 0): 1.2})  # a later study with more audit prompts
    capsys.readouterr()
    assert promoting(tmp_path) == 3
    printed = capsys.readouterr().out
    assert "refused margin: not measured" in printed
    [line] = [line for line in printed.splitlines() if "not answered" in line]
    assert f"margin (version {before}, the champion, has the reward par, which scores the prompts of its own" in line
    assert "give audit_prompts=20, or remove the alias champion" in line
    assert line.strip(" ") == newest(store).data.tags[Tag.PROMOTION_NOT_ANSWERED]
    assert champion(store) == before and status(client, before) == "passed"
    assert version_by_alias(client, NAME, Alias.CHALLENGER).tags["rm_size"] == "1k"
    client.delete_registered_model_alias(NAME, Alias.CHAMPION)
    assert promoting(tmp_path) == 0
    assert version_by_alias(client, NAME).tags["rm_size"] == "1k"


def test_weights_that_changed_after_registration_are_not_promoted(plant, tmp_path, capsys):
    store = plant(TWO)
    promoting(tmp_path, "--proxy", "1k")
    client, before = store.client(), champion(store)
    [other] = [v for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != before]
    assert other.tags[VersionTag.SHA256]
    weights = next(
        (tmp_path / "mlruns").rglob(f"{other.tags['mlproject.proxy_run_id']}/artifacts/scorer/**/*.safetensors")
    )
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert promoting(tmp_path) == 2
    assert "have changed since it was registered" in capsys.readouterr().err.strip().splitlines()[-1]
    assert champion(store) == before


def test_a_candidate_whose_promotion_was_interrupted_before_the_alias_moved_remains_a_candidate(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path, "--proxy", "1k")
    client = store.client()
    [other] = [v.version for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != champion(store)]
    client.set_model_version_tag(NAME, other, VersionTag.STATUS, "passed")  # as a killed promotion leaves it
    plant({("13k", 0): 0.9}, audit_lead=-0.5)
    assert promoting(tmp_path, "--proxy", "13k") == 3, "another promotion repairs the records"
    assert status(client, other) == "candidate"
    assert promoting(tmp_path) == 0
    assert champion(store) == str(other)
