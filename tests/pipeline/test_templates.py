"""Prompts that a chat template refuses are found before anything starts, and left out and counted where asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.pipeline.test_external_steps import FolderRun
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

from mlproject.config.schema import Config, load_config
from mlproject.errors import UserError
from mlproject.models.chat_template import refusal
from mlproject.names import Artifact, Metric
from mlproject.pipeline import preflight
from mlproject.pipeline.external.comparisons import external_comparisons
from mlproject.pipeline.external.policy import external_policy

TURNS = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}"
)
DIVIDES = "{% if 'zero' in messages[-1].content %}{{ 1 / 0 }}{% endif %}"
SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
TWICE = [{"role": "user", "content": "Hello."}, {"role": "user", "content": "Where is it?"}]
REFUSED = {
    "a system turn": (NO_SYSTEM, SYSTEM, "no system turn"),
    "two user turns": (ALTERNATES, TWICE, "roles must alternate"),
    "a system turn where roles alternate": (ALTERNATES, SYSTEM, "roles must alternate"),
    "an error of the template's": (DIVIDES, [{"role": "user", "content": "zero"}], "ZeroDivisionError"),
    "a name that is not there": (
        "{% if messages[0].role == 'system' %}{{ messages[0].tools.first }}{% endif %}", SYSTEM, "UndefinedError",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Saves a model of the user's with a chat template, each once."""
    folder = tmp_path_factory.mktemp("models")

    def save(template: str, reward: bool = False) -> str:
        path = folder / f"{abs(hash((template, reward)))}"
        if not path.exists():
            tokenizer = byte_tokenizer(340, chat=True)
            tokenizer.chat_template = template + TURNS + OPEN
            save_checkpoint(path, "llama", tokenizer, reward=reward)
        return str(path)

    return save


def config(folder: Path, default: str, refused: list[dict[str, str]], **options: object) -> Config:
    """A study on prompts of which number 4 is refused, and on comparisons likewise."""
    rows = [{"prompt": f"Question {i}?"} for i in range(120)]
    rows[3] = {"prompt": refused}
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answers = {"chosen": "Yes.", "rejected": "No."}
    in_messages = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    pairs = [{**row, **(answers if isinstance(row["prompt"], str) else in_messages)} for row in rows]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    used = {
        "world": "files", "policy": default, "gold": "tests.support.checkpoints:word_count", "curve_prompts": 8,
        "audit_prompts": 8, "max_response_tokens": 8, "prompts": str(folder / "prompts.jsonl"),
    }  # fmt: skip
    return load_config("smoke", used | options)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("of", ["policy", "rm_size", "gold"])
def test_a_prompt_that_a_template_refuses_is_reported_with_file_line_field_and_model(name, of, models, tmp_path):
    template, refused, reason = REFUSED[name]
    broken = {of: models(template, reward=of != "policy")}
    checked = config(tmp_path, models(""), refused, **broken)
    with pytest.raises(UserError) as error:
        preflight.check(checked)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/prompts.jsonl line 4: field prompt must be a conversation that")
    assert f"{of}={broken[of]}" in message and reason in message and message.endswith("or use bad_lines=skip.")
    assert len(message.splitlines()) == 1


def test_a_proxy_of_the_command_line_is_looked_at_too(models, tmp_path):
    checked = config(tmp_path, models(""), SYSTEM)
    with pytest.raises(UserError, match=r"line 4: .* that of proxy=.* does not .*no system turn"):
        preflight.check(checked, models(NO_SYSTEM, reward=True))


def test_the_members_of_a_given_ensemble_are_looked_at_too(models, tmp_path):
    given = ",".join(models(template, reward=True) for template in ("", NO_SYSTEM))
    checked = config(tmp_path, models(""), SYSTEM, ensemble_checkpoints=given, reward="mean")
    with pytest.raises(UserError, match=r"line 4: .* that of ensemble_checkpoints=.* does not .*no system turn"):
        preflight.check(checked)


@pytest.mark.parametrize("of", ["policy", "rm_size"])
def test_rows_that_are_refused_are_left_out_and_counted_where_asked_for(of, models, tmp_path):
    broken = {of: models(ALTERNATES, reward=of != "policy")}
    used = {"bad_lines": "skip", "preferences": str(tmp_path / "pairs.jsonl"), **broken}
    skipping = config(tmp_path, models(""), TWICE, **used)
    assert all("1 invalid row skipped" in line for line in preflight.check(skipping))
    step = external_policy(skipping)
    run = FolderRun(step, tmp_path / "policy", {})
    assert run.metrics[Metric.PROMPTS_ROWS_SKIPPED] == 1 and run.metrics["prompts/train"] == 119 - 16
    [line] = (run.folder / Artifact.SKIPPED_ROWS).read_text().splitlines()
    assert "prompts.jsonl line 4: field prompt" in line and "roles must alternate" in line
    pairs = external_comparisons(skipping, step)
    read = FolderRun(pairs, tmp_path / "comparisons", {"initial-policy": run})
    assert read.metrics[Metric.COMPARISONS_ROWS_SKIPPED] == 1
    assert ("refused_by" in step.params) == ("refused_by" in pairs.params) == (of == "rm_size")


def test_where_no_template_refuses_anything_fingerprints_stay_as_they_are(models, tmp_path):
    skipping = config(tmp_path, models(""), SYSTEM, bad_lines="skip")
    with_rm = skipping.replace(rm_size=models("", reward=True))
    assert external_policy(with_rm).fingerprint == external_policy(skipping).fingerprint
    refusing = skipping.replace(rm_size=models(NO_SYSTEM, reward=True))
    assert external_policy(refusing).fingerprint != external_policy(skipping).fingerprint


BROKEN = ["{% for m in messages %}{{ m.content }}", "{{ nothing.there }}", "{{ raise_exception('no') }}"]


@pytest.mark.parametrize("template", BROKEN)
@pytest.mark.parametrize("option", ["policy", "gold"])
def test_a_template_that_takes_nothing_is_reported_in_one_line(template, option, models, tmp_path):
    broken = {option: models(template, reward=option == "gold")}
    with pytest.raises(UserError) as error:
        preflight.check(config(tmp_path, models(""), SYSTEM, **broken))
    assert str(error.value).startswith(f"{option}={broken[option]}: its chat template must lay out a user's turn")
    assert len(str(error.value).splitlines()) == 1


def test_a_tokenizer_without_a_template_takes_every_prompt():
    assert refusal(byte_tokenizer(300, chat=False), json.dumps(SYSTEM)) == ""
