"""A version is its files: a change is detected wherever the version is used."""

import pytest
from tests.registry.planted import promoting

from mlproject.__main__ import main
from mlproject.errors import UserError
from mlproject.names import Alias, VersionTag
from mlproject.registry.versions import resolve_proxy, verify, version_by_alias, version_digest

NAME = "reward-model"
PICKLES = (".pkl", ".pickle", ".bin", ".pt")


def test_the_digest_depends_on_names_and_contents_but_not_on_files_of_mlflow(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = version_digest(tmp_path)
    for name in ("MLmodel", "registered_model_meta"):
        (tmp_path / name).write_text("later")
    assert version_digest(tmp_path) == first
    (tmp_path / "b").write_text("3")
    assert version_digest(tmp_path) != first
    (tmp_path / "b").write_text("2")
    (tmp_path / "b").rename(tmp_path / "c")
    assert version_digest(tmp_path) != first


def test_tampered_or_missing_weights_are_refused_wherever_the_version_is_used(plant, tmp_path, capsys):
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    client = store.client()
    version = version_by_alias(client, NAME, Alias.CHAMPION)
    verify(client, version)
    assert resolve_proxy(client, f"models:/{NAME}@{Alias.CHAMPION}").info.run_id == version.run_id
    [weights] = (tmp_path / "mlruns").rglob("scorer/**/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(UserError, match="have changed since it was registered"):
        resolve_proxy(client, f"models:/{NAME}/1")
    capsys.readouterr()
    before = len(client.search_runs(store.experiments))
    assert main(["ppo", "--preset", "smoke", "--proxy", f"models:/{NAME}@{Alias.CHAMPION}"]) == 2
    assert "have changed since it was registered" in capsys.readouterr().err
    assert len(client.search_runs(store.experiments)) == before, "a usage error leaves no run behind"
    weights.unlink()
    with pytest.raises(UserError, match="SHA-256"):
        verify(client, version)


def test_a_version_without_a_digest_gets_one_when_it_is_promoted(plant, tmp_path):
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    client = store.client()
    client.delete_model_version_tag(NAME, "1", VersionTag.SHA256)
    client.delete_registered_model_alias(NAME, Alias.CHAMPION)
    with pytest.raises(UserError, match="has no tag sha256"):
        verify(client, client.get_model_version(NAME, "1"))
    assert promoting(tmp_path) == 0
    verify(client, version_by_alias(client, NAME, Alias.CHAMPION))


def test_a_version_shares_the_weights_of_its_run_and_is_verified_all_the_same(plant, tmp_path):
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    client = store.client()
    version = version_by_alias(client, NAME)
    copies = [path for path in (tmp_path / "mlruns").rglob("model.safetensors") if version.run_id in str(path)]
    assert len(copies) == 2 and copies[0].samefile(copies[1])
    verify(client, version)
    copies[0].write_bytes(copies[0].read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="its files have changed"):
        verify(client, version)


def test_a_run_whose_files_were_swapped_is_refused_though_the_version_kept_its_own(plant, tmp_path):
    """What is used is the run's: a file that is replaced there leaves the version's, which it shared, as it was."""
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    client = store.client()
    version = version_by_alias(client, NAME)
    [weights] = (tmp_path / "mlruns").rglob(f"{version.run_id}/artifacts/model/model.safetensors")
    content, added = weights.read_bytes(), weights.parent / "adapter_config.json"
    (tmp_path / "other").write_bytes(content + b"x")
    changes = {
        "added": lambda: added.write_text("{}"),
        "missing": lambda: None,
        "replaced": lambda: weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1])),
        "linked": lambda: weights.symlink_to(tmp_path / "other"),
    }
    for name, change in changes.items():
        if name != "added":
            weights.unlink()
        change()
        with pytest.raises(UserError, match=rf"the files of its run {version.run_id} have changed"):
            resolve_proxy(client, f"models:/{NAME}/1")
        for file in (added, weights):
            file.unlink(missing_ok=True)
        weights.write_bytes(content)
        assert resolve_proxy(client, f"models:/{NAME}/1").info.run_id == version.run_id


def test_a_loaded_version_scores_as_the_model_does_without_pickle(plant, tmp_path, monkeypatch):
    import mlflow
    import pandas as pd

    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import encode
    from mlproject.pipeline.loading import load_tokenizer
    from mlproject.tracking.run_data import artifact

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    store = plant({("3k", 0): 1.2})
    promoting(tmp_path)
    client = store.client()
    mlflow.set_tracking_uri(store.tracking_uri)
    table = pd.DataFrame({"prompt": ["phone .", ""], "response": ["restart phone .", ""]})
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@{Alias.CHAMPION}").predict(table).reward.tolist()
    folder = artifact(client, version_by_alias(client, NAME).run_id, "model")
    here = RewardModel.load(folder).scores(
        encode(load_tokenizer(folder.parent), table.prompt.tolist(), table.response.tolist(), 8)
    )
    assert served == pytest.approx(here.tolist(), abs=1e-5)
    pickles = [
        path.name for path in (tmp_path / "mlruns").rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")
    ]
    assert pickles == []


def test_a_server_that_does_not_answer_is_an_error_of_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for command in (["promote"], ["rollback", "--why", "x"], ["history"]):
        assert main([*command, "--preset", "smoke"]) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert "no server answers" in line
