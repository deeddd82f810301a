"""What methods declare, and that one of another author needs no change of the package."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlproject.config.schema import load_config, option_names
from mlproject.errors import UserError
from mlproject.laws import FORMS
from mlproject.optimization import METHODS, Method, MethodConfig, find_method, register
from mlproject.optimization.best_of_n import BestOfNConfig
from mlproject.optimization.on_policy.ppo_config import PPOConfig

SMOKE = load_config("smoke", {})


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_a_registered_method_has_a_law_options_of_the_configuration_and_a_function(method: Method) -> None:
    assert METHODS[method.name] is method
    assert method.law in FORMS
    assert set(method.config_class.names()) <= set(option_names())
    assert callable(method.optimize)
    assert SMOKE.of_method(method.name).last_step > 0


def test_two_methods_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="method ppo: is registered twice"):
        register(replace(METHODS["ppo"], version=99))


def test_a_method_of_another_trainer_trains_a_policy_by_the_law_of_rl() -> None:
    assert find_method("ppo") is METHODS["ppo"]
    foreign = find_method("gspo")
    assert (foreign.label, foreign.law, foreign.step_unit, foreign.trains_policy) == ("GSPO", "rl", "update", True)
    assert find_method("remax-2").title == "Remax-2"


def test_a_step_is_written_as_people_read_it() -> None:
    assert METHODS["best-of-n"].place(64) == "n = 64"
    assert METHODS["ppo"].place(64) == "update 64"


def test_parameters_of_a_run_leave_out_what_has_its_default() -> None:
    options = SMOKE.of(PPOConfig)
    assert options.params() == options.required()
    assert "lora_rank" not in options.params()
    changed = replace(options, lora_rank=4)
    assert changed.params() == {**options.params(), "lora_rank": 4}
    assert changed.required() == options.params()


@pytest.mark.parametrize("options", [{}, {"lora_rank": 4, "ppo_mixed_precision": "bf16"}], ids=str)
def test_options_are_read_back_from_the_parameters_of_a_run_and_from_their_texts(options: dict) -> None:
    config = replace(SMOKE.of(PPOConfig), **options)
    params = {"method": "ppo", "seed": 3, **config.params()}
    assert PPOConfig.from_params(params) == config
    assert PPOConfig.from_params({name: str(value) for name, value in params.items()}) == config


def test_what_a_run_asks_of_options_follows_from_the_method() -> None:
    ppo = SMOKE.replace(stop="forecast", eval_samples=3).of(PPOConfig)
    assert (ppo.stops_at, ppo.samples_per_prompt, ppo.last_step) == ("forecast", 3, SMOKE.of(PPOConfig).ppo_updates)
    best_of_n = SMOKE.of(BestOfNConfig)
    assert (best_of_n.stops_at, best_of_n.samples_per_prompt) == ("budget", 1)
    assert best_of_n.last_step == best_of_n.bon_n_max


@pytest.mark.parametrize(
    ("batch", "rollout_batch", "minibatches", "expected"),
    [
        (256, 0, 4, (1, "ppo_rollout_batch=0 with ppo_batch_size=256")),
        (256, 64, 4, (4, "ppo_rollout_batch=64 with ppo_batch_size=256")),
        (256, 100, 4, (3, "ppo_rollout_batch=100 with ppo_batch_size=256")),
        (256, 2, 32, (8, "ppo_minibatches=32 with ppo_batch_size=256")),
    ],
)
def test_as_many_processes_share_ppo_as_there_are_shards_and_rollouts_of_a_minibatch(
    batch: int, rollout_batch: int, minibatches: int, expected: tuple[int, str]
) -> None:
    options = replace(
        SMOKE.of(PPOConfig), ppo_batch_size=batch, ppo_rollout_batch=rollout_batch, ppo_minibatches=minibatches
    )
    assert options.process_limit == expected
    assert MethodConfig().process_limit == (1, "")


HILL_CLIMBING = '''
"""Hill climbing: look at the samples one after another, keep a better one when it comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.options.declaration import option
from mlproject.optimization import Method, MethodConfig


@dataclass(frozen=True, kw_only=True)
class HillClimbingConfig(MethodConfig):
    hill_steps: int = option("samples that hill climbing looks at", default=3, minimum=1)

    @property
    def last_step(self):
        return self.hill_steps


METHOD = Method("hill-climbing", "hill climbing", HillClimbingConfig, module=__name__, law="log1p", trains_policy=False)


def optimize(task):
    proxy_PN = task.rate_samples()
    steps = list(range(1, task.config.hill_steps + 1))
    choice_GP = np.stack([proxy_PN[:, :step].argmax(axis=1) for step in steps])
    pick = lambda values_PN: np.stack([values_PN[np.arange(len(values_PN)), choice_P] for choice_P in choice_GP])
    kl_G = np.log(np.array(steps, dtype=float))
    yield from task.evaluator.evaluate_selection(steps, kl_G, proxy_PN, pick, choice_GP, [{}] * len(steps))
'''

PLAN = """
from mlproject.config.schema import Config, load_config, option_help
from mlproject.laws import law_for
from mlproject.optimization import find_method
from mlproject.options.declaration import options_by_heading
from mlproject.pipeline.study import plan_study

config = load_config("smoke", {"methods": "hill-climbing", "hill_steps": "5", "rm_sizes": "1k"})
(run,) = plan_study(config).policy_runs
print(run.params["method"], run.params["hill_steps"], run.tags["mlproject.method"], run.execution_options)
print(option_help("hill_steps"), [name for name in options_by_heading(Config) if name.startswith("Hill")])
print(law_for(find_method("hill-climbing")).name)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "hill_climbing.py").write_text(HILL_CLIMBING)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "MLPROJECT_METHODS": "hill_climbing"}


def test_a_method_of_another_author_is_planned_with_options_and_law_of_its_own(environment: dict[str, str]) -> None:
    answer = subprocess.run([sys.executable, "-c", PLAN], env=environment, capture_output=True, text=True)
    assert answer.stdout.splitlines() == [
        "hill-climbing 5 hill-climbing {}",
        "samples that hill climbing looks at [a whole number of at least 1] ['Hill climbing']",
        "log1p",
    ], answer.stderr


def test_a_method_of_another_author_yields_curve_points(environment, pool_task, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("hill_climbing")
    setting = pool_task(module.HillClimbingConfig(hill_steps=4))
    points = list(module.METHOD.optimize(setting.task))
    for point in points:
        best_P = setting.proxy_PN[:, : point.step].max(axis=1)
        np.testing.assert_allclose(point.proxy_P, best_P - setting.proxy_PN.mean(axis=1))
    assert [module.METHOD.place(point.step) for point in points] == ["update 1", "update 2", "update 3", "update 4"]
    monkeypatch.delitem(sys.modules, "hill_climbing")


def test_a_module_that_has_no_method_is_named(environment: dict[str, str]) -> None:
    environment["MLPROJECT_METHODS"] = "no_such_module"
    answer = subprocess.run(
        [sys.executable, "-c", "import mlproject.optimization"], env=environment, capture_output=True, text=True
    )
    assert "MLPROJECT_METHODS=no_such_module: must be a module with a METHOD" in answer.stderr.splitlines()[-1]
