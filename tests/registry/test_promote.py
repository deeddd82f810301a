"""Promotion end to end on planted curves: who becomes champion, and what is written down."""

import json

import pytest
from mlflow.exceptions import MlflowException
from tests.registry.planted import promoting

from mlproject.names import Alias, Tag, VersionTag
from mlproject.registry import lock as turn
from mlproject.registry.history import history
from mlproject.registry.versions import holder, verify
from mlproject.tracking.runs import artifact

NAME = "reward-model"
TWO = {("1k", 0): 0.8, ("3k", 0): 1.2}


def status(client, version):
    return client.get_model_version(NAME, version).tags[VersionTag.STATUS]


def newest(store):
    return turn.promotions(store.client(), NAME)[0]


def champion(store):
    found = holder(store.client(), NAME)
    return found and str(found.version)


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
    assert holder(client, NAME, Alias.CHALLENGER) is None
    verify(client, version)
    assert "passed  margin" in capsys.readouterr().out


def test_the_run_of_a_promotion_holds_verdict_evidence_and_gates(plant, tmp_path):
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
    ranking = json.loads(artifact(store.client(), run.info.run_id, "candidates.json").read_text())
    assert [row["rm_size"] for row in ranking] == ["3k", "1k"]


def test_the_same_promotion_again_makes_no_run(plant, tmp_path, capsys):
    store = plant(TWO)
    promoting(tmp_path)
    assert promoting(tmp_path) == 0
    assert len(turn.promotions(store.client(), NAME)) == 1
    assert "is champion" in capsys.readouterr().out


def test_a_better_one_takes_the_alias_and_the_old_champion_is_retired(plant, tmp_path):
    store = plant({("1k", 0): 0.8})
    promoting(tmp_path)
    first = champion(store)
    plant({("3k", 0): 1.2})
    assert promoting(tmp_path) == 0
    assert champion(store) != first
    assert status(store.client(), first) == "retired"
    assert [(m.left, m.came) for m in history(store.client(), NAME)] == [("", first), (first, champion(store))]


def test_one_that_is_not_surely_better_is_refused_by_the_margin_and_stays_challenger(plant, tmp_path, capsys):
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    plant({("1k", 0): 1.3}, audit_lead=-0.2)  # ahead on the curve prompts, behind on the others
    before = champion(store)
    assert promoting(tmp_path) == 3
    assert champion(store) == before
    challenger = holder(store.client(), NAME, Alias.CHALLENGER)
    assert challenger.tags["rm_size"] == "1k"
    assert challenger.tags[VersionTag.STATUS] == "refused"
    told = capsys.readouterr()
    assert "refused margin: -0.1 [" in told.out
    assert "promotion refused by margin" in told.err
    assert promoting(tmp_path) == 3, "the same question has the same answer"
    assert len(turn.promotions(store.client(), NAME)) == 2


def test_one_that_fails_before_the_audit_never_sees_the_audit_prompts(plant, tmp_path):
    store = plant({("3k", 0): 0.4})
    assert promoting(tmp_path) == 3
    run = newest(store)
    assert run.data.tags[Tag.PROMOTION_OUTCOME] == "refused"
    assert run.data.metrics["gate/peak_gold_holds"] == 0
    assert "gate/margin" not in run.data.metrics
    assert champion(store) is None


def test_the_highest_of_those_that_pass_is_promoted_over_a_higher_one_that_does_not(plant, tmp_path):
    store = plant({("1k", 0): 0.8})
    plant({("3k", 0): 1.2}, length=9.0)
    assert promoting(tmp_path) == 0
    client = store.client()
    assert client.get_model_version_by_alias(NAME, Alias.CHAMPION).tags["rm_size"] == "1k"
    [other] = [v for v in client.search_model_versions(f"name = '{NAME}'") if v.tags["rm_size"] == "3k"]
    assert other.tags[VersionTag.STATUS] == "refused"
    assert "length_ratio: 9" in other.description


@pytest.mark.parametrize("wanted", [["--proxy", "3k"], []])
def test_a_rehearsal_leaves_the_registry_as_it_is(plant, tmp_path, wanted, capsys):
    store = plant(TWO)
    assert promoting(tmp_path, "--dry-run", *wanted) == 0
    with pytest.raises(MlflowException, match="not found"):
        store.client().get_registered_model(NAME)
    assert newest(store).data.tags[Tag.PROMOTION_OUTCOME] == "dry-run"
    assert "passed all gates" in capsys.readouterr().out


def test_a_named_candidate_is_judged_though_it_is_not_the_highest(plant, tmp_path, capsys):
    store = plant(TWO)
    assert promoting(tmp_path, "--proxy", "1k") == 0
    assert store.client().get_model_version_by_alias(NAME, Alias.CHAMPION).tags["rm_size"] == "1k"


def test_an_alias_that_someone_moved_by_hand_is_won_back_on_the_evidence(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path)
    client, best = store.client(), champion(store)
    [other] = [v.version for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != best]
    client.set_registered_model_alias(NAME, Alias.CHAMPION, other)
    assert promoting(tmp_path) == 0
    assert champion(store) == best


def test_a_champion_that_nobody_judged_is_judged_like_a_first_one(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path)
    client, best = store.client(), champion(store)
    for tag in (VersionTag.STATUS, VersionTag.PROMOTION_RUN_ID):  # as if the alias had been set by hand
        client.delete_model_version_tag(NAME, best, tag)
    assert promoting(tmp_path) == 0
    version = holder(client, NAME)
    assert str(version.version) == best
    assert version.tags[VersionTag.STATUS] == "passed"
    assert client.get_run(version.tags[VersionTag.PROMOTION_RUN_ID]).data.metrics["gate/margin_holds"] == 1


def test_a_foreign_champion_cannot_be_measured(plant, tmp_path, capsys):
    store = plant(TWO)
    client = store.client()
    client.create_registered_model(NAME)
    foreign = client.create_model_version(NAME, source="file:///nowhere", tags={})
    client.set_registered_model_alias(NAME, Alias.CHAMPION, foreign.version)
    assert promoting(tmp_path) == 2
    assert "no proxy RM of this project" in capsys.readouterr().err
    assert champion(store) == str(foreign.version)


def test_without_any_curve_there_is_nothing_to_judge(plant, tmp_path, capsys):
    store = plant(TWO)
    assert promoting(tmp_path, bon_points="5") == 2
    assert "no finished best-of-n curve" in capsys.readouterr().err
    assert turn.promotions(store.client(), NAME) == []


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
    told = capsys.readouterr().err.strip()
    assert "have changed since it was registered" in told.splitlines()[-1]
    assert champion(store) == before


def test_a_candidate_whose_promotion_was_cut_off_before_the_alias_is_a_candidate_still(plant, tmp_path):
    store = plant(TWO)
    promoting(tmp_path, "--proxy", "1k")
    client = store.client()
    [other] = [v.version for v in client.search_model_versions(f"name = '{NAME}'") if str(v.version) != champion(store)]
    client.set_model_version_tag(NAME, other, VersionTag.STATUS, "passed")  # as a killed promotion leaves it
    plant({("13k", 0): 0.9}, audit_lead=-0.5)
    assert promoting(tmp_path, "--proxy", "13k") == 3, "somebody else's turn comes first"
    assert status(client, other) == "candidate"
    assert promoting(tmp_path) == 0
    assert champion(store) == str(other)
