"""Kinds of input, each with the claim that it is refused in one line, or works and what comes of it makes sense.

A claim returns `refused` or `works`; anything else that it raises is a fault.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import yaml
from hypothesis import strategies as st
from tests.fuzz.command_lines import command_lines
from tests.fuzz.invented import altered, damaged, json_text, numbers, tables, texts, values, yaml_text
from tests.fuzz.others import ANSWERS, SAMPLES, claim_answer, claim_pool, claim_samples, claim_served
from tests.support.checkpoints import byte_tokenizer, save_checkpoint

import mlproject.report.fit as fit_module
from mlproject.__main__ import main
from mlproject.cli.parser import parse_command_line
from mlproject.config.packaged import folders
from mlproject.config.schema import Config, load_config
from mlproject.curve import CurvePoint
from mlproject.errors import RefusedError, UserError
from mlproject.experiments.spec import load_experiment
from mlproject.laws import Forecast
from mlproject.models.chat_template import refusal
from mlproject.models.inspection import inspect_policy
from mlproject.monitoring.monitor import OveroptimizationMonitor
from mlproject.registry.gates import read_gates
from mlproject.report.fit import FitRequest
from mlproject.worlds.files.snapshot import take_snapshot, train_preferences
from mlproject.worlds.files.spec import ReadOptions

REFUSED, WORKS = "refused", "works"
GOOD_CURVE = pd.DataFrame({"kl": [0, 0.5, 1, 2, 4, 6, 8], "gold": [0, 0.5, 0.8, 1, 0.9, 0.7, 0.4]})
GOOD_TABLE = GOOD_CURVE.to_csv(index=False).encode()


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        cases: strategy of what is given.
        claim: (case, an empty folder) -> `refused` or `works`.
        share: of the cases of a campaign.
    """

    cases: st.SearchStrategy[Any]
    claim: Callable[[Any, Path], str]
    share: float = 1.0


def claim_options(words: list[str], folder: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        command = parse_command_line(words)
    if command is None:
        return WORKS
    check_config(command.config)
    return WORKS


def check_config(config: Config) -> None:
    """Every number is finite, and the configuration is the same when it is read again from its own texts."""
    options = vars(config)
    for value in options.values():
        for item in value if isinstance(value, tuple) else (value,):
            assert not isinstance(item, float) or math.isfinite(item)
    again = {name: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in options.items()}
    assert load_config("smoke", again) == config


def claim_yaml(content: bytes, folder: Path) -> str:
    (folder / "my.yaml").write_bytes(content)
    check_config(load_config("smoke", {}, str(folder / "my.yaml")))
    return WORKS


def claim_gates(content: bytes, folder: Path) -> str:
    (folder / "gates.yaml").write_bytes(content)
    gates = read_gates(folder / "gates.yaml")
    assert gates.gates
    for gate in gates.gates:
        assert gate.at_least <= gate.at_most and (math.isfinite(gate.at_least) or math.isfinite(gate.at_most))
        assert gate.otherwise.strip() and gate.remedy.strip()
    return WORKS


def claim_experiment(content: bytes, folder: Path) -> str:
    (folder / "mine.yaml").write_bytes(content)
    experiment = load_experiment(str(folder / "mine.yaml"))
    assert experiment.grids and all("method" in grid for grid in experiment.grids)
    return WORKS


def claim_curve(case: tuple[str, bytes, dict[str, Any]], folder: Path) -> str:
    suffix, content, request = case
    (folder / f"c{suffix}").write_bytes(content)
    logged = FitRequest(str(folder / f"c{suffix}"), method="ppo", **request).load()
    numbers = np.array([(point.kl, point.gold, point.gold_se, point.proxy) for point in logged.points])
    assert np.isfinite(numbers).all() and (numbers[:, 0] >= 0).all() and (numbers[:, 2] >= 0).all()
    assert len(logged.points) >= 3 and all("\n" not in note for note in logged.notes)
    analysis = fit_module.analyse(logged, "ppo")
    assert math.isfinite(analysis.law.alpha) and math.isfinite(analysis.law.beta)
    assert all("\n" not in line for line in analysis.lines())
    return WORKS


def read_options() -> ReadOptions:
    given = {"world": "files", "prompts": "x", "policy": "./x", "gold": "none", "preferences": "x"}
    config = load_config("smoke", {**given, "curve_prompts": 4, "audit_prompts": 4})
    return ReadOptions.of(vars(config))


def shorten(prompt: str, tokens: int) -> str | None:
    return prompt[:tokens] if len(prompt) > tokens else None


def claim_prompts(case: tuple[str, bytes], folder: Path) -> str:
    suffix, content = case
    (folder / f"p{suffix}").write_bytes(content)
    snapshot = take_snapshot(read_options(), str(folder / f"p{suffix}"), "", shorten)
    splits = [snapshot.world.all_prompts(split) for split in ("train", "curve", "audit")]
    prompts = [prompt for split in splits for prompt in split]
    assert len(set(prompts)) == len(prompts) and all(splits)
    check_texts(prompts)
    snapshot.world.save(folder / "kept")
    return WORKS


def check_texts(prompts: list[str]) -> None:
    assert all(prompt.strip() and "\0" not in prompt and prompt.encode() for prompt in prompts)


def claim_preferences(case: tuple[str, bytes], folder: Path) -> str:
    suffix, content = case
    path = str(folder / f"w{suffix}")
    Path(path).write_bytes(content)
    snapshot = take_snapshot(read_options(), "", path, shorten)
    pairs, _, _ = train_preferences(read_options(), path, snapshot.world, shorten)
    held_out = {*snapshot.world.all_prompts("curve"), *snapshot.world.all_prompts("audit")}
    assert all(pair.chosen != pair.rejected and pair.prompt not in held_out for pair in pairs)
    check_texts([pair.prompt for pair in pairs])
    return WORKS


def claim_points(points: list[tuple[int, float, list[float], list[float]]], folder: Path) -> str:
    forecast, monitor = Forecast("ppo"), OveroptimizationMonitor("ppo")
    for step, kl, gold, proxy in points:
        point = CurvePoint(step, float(kl), np.array(proxy, dtype=float), np.array(gold, dtype=float))
        reading = monitor.update(point)  # goes on, whatever a trainer gives it
        assert "\n" not in reading.line() and all("\n" not in alarm.reason for alarm in reading.alarms)
        prediction = forecast.update(point)
        assert not any(map(math.isinf, (prediction.peak_kl, prediction.peak_gold, prediction.loses_beyond_kl)))
        assert math.isnan(prediction.p_past_peak) or 0 <= prediction.p_past_peak <= 1
    return WORKS


@cache
def policy_folder(root: Path) -> Path:
    return save_checkpoint(root / "policy", "gpt2", byte_tokenizer(300, chat=True), reward=False)


def claim_checkpoint(case: tuple[str, dict[str, Any] | bytes], folder: Path) -> str:
    name, change = case
    mine = shutil.copytree(policy_folder(folder.parent), folder / "m")
    if isinstance(change, bytes):
        (mine / name).write_bytes(change)
    else:
        content = json.loads((mine / name).read_text())
        (mine / name).write_text(json_text({**content, **change}))
    assert inspect_policy(str(mine), "policy").parameters > 0
    return WORKS


@cache
def chat_tokenizer() -> Any:
    return byte_tokenizer(300, chat=True)


def claim_template(template: str, folder: Path) -> str:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = template
    problem = refusal(tokenizer, "Hello")
    assert "\n" not in problem
    return REFUSED if problem else WORKS


def claim_command(case: tuple[list[str], bytes], folder: Path) -> str:
    """The command itself, in a store of its own: its exit code, its line, its runs and its files."""
    words, content = case
    (folder / "c.csv").write_bytes(content)
    shutil.copy(folder.parent / "mlflow.db", folder / "mlflow.db")
    around = {path.name for path in folder.parent.iterdir()}
    errors = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(["fit", "--preset", "smoke", *words])
    assert code in (0, 2), code
    lines = [line for line in errors.getvalue().splitlines() if line.startswith("mlproject: ")]
    assert len(lines) == 1 or code == 0, errors.getvalue()
    assert {path.name for path in folder.parent.iterdir()} == around
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        active = "SELECT status, name FROM runs WHERE lifecycle_stage = 'active'"
        runs = database.execute(active).fetchall()
    assert {status for status, _ in runs} <= {"FINISHED"} and bool(runs) == (code == 0)
    return WORKS if code == 0 else REFUSED


def outcome(kind: Kind, case: Any, folder: Path) -> str:
    """`refused` or `works`; whatever is neither is raised."""
    try:
        with mock.patch.object(fit_module, "RESAMPLES", 20):  # an interval's digits are tested elsewhere
            return kind.claim(case, folder)
    except (UserError, RefusedError) as error:
        assert str(error).strip()
        return REFUSED


curve_requests = st.fixed_dictionaries(
    {"columns": st.sampled_from(("", "kl=kl,gold=gold", "gold=kl,kl=gold", "step=kl", "gold_se=gold"))},
    optional={
        "gold_sd": st.one_of(st.none(), numbers.map(lambda n: float(min(max(n, -1e308), 1e308)))),
        "gold_start": st.one_of(st.none(), st.floats()),
        "kl_unit": st.sampled_from(("nats", "bits", "bans")),
    },
)
prompt_table = pd.DataFrame({"prompt": [f"Question {i}?" for i in range(24)]})
pair_table = prompt_table.assign(chosen=[f"yes {i}" for i in range(24)], rejected=[f"no {i}" for i in range(24)])


def file_named(folder_name: str, name: str) -> bytes:
    return next(folder / name for folder in folders(folder_name) if (folder / name).is_file()).read_bytes()


GATES, EXPERIMENT = file_named("model_registry", "gates.yaml"), file_named("experiments", "rm_size.yaml")
CONFIG = yaml_text({k: list(v) if isinstance(v, tuple) else v for k, v in vars(load_config("smoke", {})).items()})


@st.composite
def altered_yaml(draw: st.DrawFn, content: bytes, inner: str = "") -> bytes:
    """A YAML file of which values are others, or whose bytes are damaged."""
    if draw(st.booleans()):
        return draw(damaged(content))
    mapping = yaml.safe_load(content)
    if inner and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(mapping[inner]) - 1))
        mapping[inner][at] = draw(altered(mapping[inner][at]))
    else:
        mapping = draw(altered(mapping))
    return yaml_text(mapping).encode("utf-8", "replace")


CONFIG_FIELDS = (
    "n_layer", "n_head", "n_embd", "vocab_size", "n_positions", "architectures", "model_type",
    "activation_function", "eos_token_id",
    "pad_token_id", "bos_token_id", "torch_dtype", "dtype", "num_labels", "id2label", "tie_word_embeddings",
    "quantization_config",
    "auto_map", "layer_norm_epsilon", "attn_implementation", "_attn_implementation", "is_encoder_decoder",
    "is_decoder", "text_config",
)  # fmt: skip
TOKENIZER_FIELDS = (
    "eos_token", "pad_token", "chat_template", "model_max_length", "tokenizer_class", "added_tokens_decoder",
    "auto_map",
    "clean_up_tokenization_spaces", "extra_special_tokens", "padding_side",
)  # fmt: skip
checkpoints = st.one_of(
    st.tuples(st.just("config.json"), st.dictionaries(st.sampled_from(CONFIG_FIELDS), values, min_size=1, max_size=2)),
    st.tuples(
        st.just("tokenizer_config.json"),
        st.dictionaries(st.sampled_from(TOKENIZER_FIELDS), values, min_size=1, max_size=2),
    ),
    st.tuples(
        st.sampled_from(
            ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors")
        ),
        st.one_of(st.binary(max_size=30), values.map(lambda value: json_text(value).encode("utf-8", "replace"))),
    ),
)
JINJA = (
    "{% for m in messages %}", "{% endfor %}", "{{ m.content }}", "{{ m['role'] }}", "{% if m.role == 'user' %}",
    "{% else %}", "{% endif %}",
    "{{ bos_token }}", "{{ raise_exception('no') }}", "{% set x = 'a' %}", "{{ x }}", "{{ messages[5].content }}",
    "{{ 1 / 0 }}",
    "{{ ''.__class__ }}", "{{ 'a' * 10 ** 9 }}", "{% macro f() %}", "{% endmacro %}", "{{ f() }}",
    "{{ m.content | tojson }}",
    "{% if add_generation_prompt %}", "<|user|>", "{% generation %}", "{% endgeneration %}",
    "{{ strftime_now('%d') }}",
    "{% for i in range(99999) %}", "{% include 'x' %}", "{{ m.content.split('</think>')[-1] | trim }}", "{{", "%}",
    "{# #}", "{% raw %}",
)  # fmt: skip
points = st.lists(
    st.tuples(
        st.integers(0, 10**9), numbers.filter(lambda n: abs(n) < 1e308 or n != n),
        st.lists(numbers.map(float), min_size=3, max_size=3),
        st.lists(numbers.map(float), min_size=3, max_size=3),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
fit_words = st.lists(
    st.tuples(st.sampled_from(("columns", "method", "gold_sd", "gold_start", "kl_unit", "experiment", "curve")), texts),
    max_size=2,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [word for name, text in ({"curve": "c.csv"} | dict(pairs)).items() for word in (f"--{name}", text)])

KINDS = {
    "options": Kind(command_lines(), claim_options, 3),
    "configuration files": Kind(altered_yaml(CONFIG.encode()), claim_yaml, 1.5),
    "gates": Kind(altered_yaml(GATES, "gates"), claim_gates),
    "experiments": Kind(altered_yaml(EXPERIMENT), claim_experiment, 0.5),
    "logged curves": Kind(st.tuples(tables(GOOD_CURVE), curve_requests).map(lambda c: (*c[0], c[1])), claim_curve),
    "prompts": Kind(tables(prompt_table), claim_prompts),
    "preferences": Kind(tables(pair_table), claim_preferences),
    "curve points": Kind(points, claim_points, 0.5),
    "checkpoints": Kind(checkpoints, claim_checkpoint, 0.5),
    "chat templates": Kind(st.lists(st.sampled_from(JINJA), max_size=9).map("".join), claim_template, 0.5),
    "whole commands": Kind(
        st.tuples(fit_words, st.one_of(st.just(GOOD_TABLE), damaged(GOOD_TABLE))),
        claim_command,
        0.05,
    ),
    "scored samples": Kind(SAMPLES, claim_samples),
    "pools": Kind(SAMPLES, claim_pool, 0.5),
    "answers of reward services": Kind(ANSWERS, claim_answer, 0.5),
    "answers of policy servers": Kind(ANSWERS, claim_served, 0.5),
}  # fmt: skip
