"""Promotion from a table of scored samples: which gates it answers, and what is registered."""

import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.__main__ import main
from mlproject.errors import UserError
from mlproject.execution.executors import InProcessExecutor
from mlproject.models.checkpoints import prompt_format_of
from mlproject.models.model_loading import load_classifier
from mlproject.models.prompt_format import Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import TextRewardModel
from mlproject.samples.model_of_column import parse_models
from mlproject.tracking.run_data import artifact

PROMPTS, RESPONSES = 30, 16
WORDS = ("cable", "phone", "router", "screen", "restart", "answer", "please", "break")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with two reward models, and a table with the scores of one of them in another unit."""
    folder = tmp_path_factory.mktemp("given")
    tokenizer = byte_tokenizer(400, chat=False)
    for name, seed in (("mine", 0), ("other", 1)):
        save_checkpoint(folder / name, "gpt_neox", tokenizer, reward=True, seed=seed)
    rng = np.random.default_rng(0)
    prompts = [f"Question {i}: what about the {WORDS[i % 8]}?" for i in range(PROMPTS) for _ in range(RESPONSES)]
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(3, 8))) for _ in prompts]
    model = load_classifier(str(folder / "mine"), "rm")
    scorer = TextRewardModel(RewardModel(model), prompt_format_of(tokenizer, model))
    raw = scorer.rate(Responses(prompts, scorer.prompt_format.encode(prompts, texts), scorer.prompt_format))
    z = (raw - raw.mean()) / raw.std()
    table = pd.DataFrame({"prompt": prompts, "response": texts, "gold": 2 * z + rng.normal(size=len(z))})
    table["rm.a,b"] = 5 + 3 * raw
    table["noise"] = rng.normal(size=len(z))
    table.to_parquet(folder / "table.parquet")
    gates = {
        "method": "best-of-n",
        "gates": [
            {
                "metric": metric,
                "at_least": at_least,
                "judged_by": judged_by,
                "otherwise": "No.",
                "remedy": "None.",
                **kl,
            }
            for metric, at_least, judged_by, kl in (
                ("val_accuracy", 0.6, "value", {}),
                ("peak_gold", 0.5, "low", {}),
                ("gold_at_kl", 0.3, "low", {"kl": 5.0}),
                ("margin", 0.0, "low", {}),
            )
        ],
    }
    (folder / "gates.yaml").write_text(yaml.safe_dump(gates))
    return folder, table


@pytest.fixture
def promoting(given, tmp_path, monkeypatch, empty_database, capsys):
    """Runs `promote` on the table in a store of the test's own; returns exit code and output."""
    folder, _ = given
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setattr("mlproject.execution.new_executor.LocalExecutor", lambda workers: InProcessExecutor())

    def run(*arguments):
        words = ("promote", "--preset", "smoke", "--bon_points", "6", "--gates", str(folder / "gates.yaml"))
        code = main([*words, "--samples", str(folder / "table.parquet"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run, MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), folder


@pytest.mark.slow
def test_a_column_without_its_model_is_evaluated_and_not_promoted(promoting):
    run, client, _ = promoting
    code, text = run()
    assert code == 3 and "rm=rm.a,b=FOLDER" in text and "a column and no model" in text
    assert "passed  val_accuracy" in text and "passed  peak_gold" in text
    assert "gold_at_kl.5 (the curve ends at 1.8 nats), margin (no prompts were set aside" in text
    assert not client.search_registered_models()
    assert run("--dry_run")[0] == 0
    code, text = run("--proxy", "noise", "--dry_run")
    assert code == 3 and "refused peak_gold" in text and "noise was named" in text


def test_the_model_of_a_column_becomes_champion_with_the_scores_of_the_column(promoting, given):
    run, client, folder = promoting
    _, table = given
    code, text = run("--rm", f"rm.a,b={folder / 'mine'}")
    assert code == 0, text
    assert "passed all gates that samples answer and is champion" in text
    version = client.get_model_version_by_alias("reward-model", "champion")
    proxy = client.get_run(version.run_id)
    scored = mlflow.pyfunc.load_model(proxy.info.artifact_uri + "/scorer").predict(table[["prompt", "response"]][:50])
    expected = proxy.data.metrics["rm/scale"] * (table["rm.a,b"] - table["rm.a,b"].mean())[:50]
    assert scored.reward.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-3)
    assert float(version.tags["kl_budget.best-of-n"]) > 0
    card = artifact(client, version.run_id, "model_card.md").read_text()
    assert "a column of" in card and "not answered: gold" in card
    promotion = client.get_run(version.tags["promotion_run_id"])
    assert "margin" in promotion.data.tags["promotion.not_answered"]
    assert len(client.search_model_versions("name = 'reward-model'")) == 1  # the other column is no model
    code, text = run("--rm", f"rm.a,b={folder / 'mine'}")  # again: reused
    assert code == 0 and len(client.search_model_versions("name = 'reward-model'")) == 1
    # a champion that the table cannot be compared with is not replaced
    client.create_model_version("reward-model", proxy.info.artifact_uri, tags={"mlproject.proxy_run_id": "another"})
    client.set_registered_model_alias("reward-model", "champion", "2")
    code, text = run("--rm", f"rm.a,b={folder / 'mine'}")
    assert code == 3 and "refused margin: not measured" in text
    assert client.get_model_version_by_alias("reward-model", "champion").version == 2
    assert client.get_model_version_by_alias("reward-model", "challenger").version == 1


def test_another_model_than_the_one_that_scored_is_refused(promoting):
    run, client, folder = promoting
    code, text = run("--rm", f"rm.a,b={folder / 'other'}")
    assert code == 2 and "must be the model whose scores the column rm.a,b holds" in text
    assert not client.search_registered_models()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "nois"], "proxy=nois: must be a reward model of the table (did you mean noise?)"),
        (["--rm", "mine=x"], "rm=mine=x: mine must be a reward model of the table"),
        (["--rm", "noise"], "'noise' must have the form COLUMN=CHECKPOINT"),
        (["--rm", "noise=./nowhere"], "rm=noise=./nowhere: must be a folder or OWNER/NAME"),
        (["--samples", "", "--rms", "a"], "rms=a: goes with samples=FILE alone"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(promoting, arguments, message):
    run, client, _ = promoting
    if arguments[0] == "--samples":
        code = main(["promote", *arguments])
        assert code == 2
        return
    code, text = run(*arguments)
    assert code == 2 and message in text
    assert not client.search_registered_models()


def test_names_with_commas_and_equals_signs_are_told_apart():
    rms = ["a", "a=b", "c,d"]
    assert parse_models("a=x/y,a=b=z,c,d=./w", rms) == {"a": "x/y", "a=b": "z", "c,d": "./w"}
    with pytest.raises(UserError, match="names a twice"):
        parse_models("a=x,a=y", rms)
