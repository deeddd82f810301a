"""The monitor inside TRL's trainers."""

import copy
import math
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.integrations import trainer_callback
from mlproject.integrations.peak_keeper import PeakKeeper
from mlproject.integrations.trainer_callback import OveroptimizationCallback
from mlproject.laws import Forecast
from mlproject.models.prompt_format import PromptFormat
from mlproject.models.reward_model import RewardModel
from mlproject.monitoring import policy_evaluator
from mlproject.monitoring.monitor import AlarmRule, OveroptimizationMonitor
from mlproject.monitoring.policy_evaluator import PlainTexts
from mlproject.names import Artifact
from mlproject.names.escape import fit_key, original_name
from mlproject.optimization.evaluator import Evaluator
from mlproject.optimization.pool_samples import draw_samples
from mlproject.optimization.sample_pool import score_pool
from mlproject.preferences.calibration import calibration_scale

pytestmark = pytest.mark.trains

pytest.importorskip("trl")
POOL_SAMPLES, SEED = 4, 5
FEW = {"pool_samples": POOL_SAMPLES, "seed": SEED, "max_seconds": None}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A tracking server of this file's own."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


@pytest.fixture(autouse=True)
def runs(store, request, monkeypatch):
    """The runs that a test's trainers have reported to, in an experiment of the test's own."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)

    def reported():
        experiment = store.get_experiment_by_name(request.node.name)
        return [] if experiment is None else store.search_runs([experiment.experiment_id])

    yield reported
    while mlflow.active_run():
        mlflow.end_run()


def new_callback(setting, **options) -> OveroptimizationCallback:
    settings = {"max_response_tokens": setting.world.max_response_tokens, "every": 2, **FEW, **options}
    return OveroptimizationCallback(setting.curve_prompts, setting.proxy_folder, setting.gold_folder, **settings)


def measured_from_checkpoint(setting, checkpoint: Path, step: int) -> CurvePoint:
    """A checkpoint, measured with our evaluator by hand: everything is read from its folder, units come from numpy."""
    policy, initial = (AutoModelForCausalLM.from_pretrained(f).eval() for f in (checkpoint, setting.policy_folder))
    prompt_format = PromptFormat(
        AutoTokenizer.from_pretrained(setting.policy_folder), setting.world.max_response_tokens
    )
    gold, proxy = RewardModel.load(setting.gold_folder), RewardModel.load(setting.proxy_folder)

    folder = checkpoint / "samples"
    folder.mkdir(exist_ok=True)
    samples = draw_samples(
        initial,
        setting.curve_prompts,
        POOL_SAMPLES,
        folder,
        prompt_format=prompt_format,
        world=PlainTexts(),
        generator=torch.Generator().manual_seed(SEED),
        batch=10_000,
    )
    raw = score_pool(samples, gold, human_units=(0.0, 1.0))
    proxy_PN = proxy.rate(samples.first(POOL_SAMPLES)).reshape(raw.shape)
    gold = gold.with_units(raw.gold_PN.mean(), 1 / raw.gold_PN.std())
    unit_PN = (raw.gold_PN - raw.gold_PN.mean()) / raw.gold_PN.std()
    proxy_margin_B = np.concatenate([proxy_PN[:, 0] - proxy_PN[:, 1], proxy_PN[:, 2] - proxy_PN[:, 3]])
    gold_margin_B = np.concatenate([unit_PN[:, 0] - unit_PN[:, 1], unit_PN[:, 2] - unit_PN[:, 3]])
    proxy = proxy.with_units(proxy_PN.mean(), calibration_scale(proxy_margin_B, gold_margin_B))
    evaluator = Evaluator(
        world=PlainTexts(),
        prompt_format=prompt_format,
        prompts=setting.curve_prompts,
        initial_policy=initial,
        proxy=proxy,
        gold=gold,
        human_units=(0.0, 1.0),
        pool=score_pool(samples, gold, human_units=(0.0, 1.0)),
        samples_per_prompt=1,
        seed=SEED + 1,
    )
    return evaluator.evaluate_policy(policy, step)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("RLOO", {}), ("GRPO", {}), ("DPO", {}), ("GRPO", {"bf16": True, "gradient_accumulation_steps": 2})],
    ids=["RLOO", "GRPO", "DPO", "GRPO-autocast"],
)
def test_what_is_logged_is_what_our_meter_says_of_the_saved_checkpoints(
    name, settings, setting, trl_trainer, tmp_path, store, runs
):
    callback = new_callback(setting)
    trainer = trl_trainer(
        name,
        tmp_path / "out",
        callbacks=[callback],
        report_to="mlflow",
        save_strategy="steps",
        save_steps=2,
        **settings,
    )
    trainer.train()
    assert [point.step for point in callback.points] == [0, 2, 4, 6]
    [run] = runs()
    assert run.info.status == "FINISHED" and run.data.tags["mlproject.kind"] == "trainer-run"
    assert run.data.tags["mlproject.method"] == name.lower()
    logged = {
        metric: {m.step: m.value for m in store.get_metric_history(run.info.run_id, metric)}
        for metric in ("curve/kl", "curve/sqrt_kl", "curve/proxy", "curve/gold", "forecast/peak_kl", "loss")
    }
    assert logged["loss"], "the trainer's own metrics are in the same run"
    usable_S = np.cumsum([point.sqrt_kl > 0.3 for point in callback.points])
    predicted = {point.step for point, usable in zip(callback.points, usable_S, strict=True) if usable >= 3}
    assert set(logged["forecast/peak_kl"]) == predicted, "without a prior, from the third usable point on"
    for point in callback.points:
        folder = tmp_path / "out" / f"checkpoint-{point.step}" if point.step else setting.policy_folder
        again = measured_from_checkpoint(setting, folder, point.step)
        assert point.kl == again.kl == logged["curve/kl"][point.step]
        for scores_P, again_P in ((point.proxy_P, again.proxy_P), (point.gold_P, again.gold_P)):
            np.testing.assert_allclose(scores_P, again_P, rtol=1e-9, atol=1e-12)  # units by numpy differ in last digits
        assert logged["curve/proxy"][point.step] == point.proxy and logged["curve/gold"][point.step] == point.gold
        assert dict(point.statistics) == dict(again.statistics)
    assert callback.points[0].kl == 0.0 < callback.points[-1].kl
    forecast = Forecast("rl")
    predictions = [forecast.update(point) for point in callback.points]
    assert repr(predictions) == repr([reading.prediction for reading in callback.readings])  # repr: nan is itself


def test_a_training_with_the_callback_ends_with_the_very_same_weights(setting, trl_trainer, tmp_path):
    def trained(name, callbacks):
        model = copy.deepcopy(setting.policy)
        for module in model.modules():  # dropout draws random numbers: they must be the same ones
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        trainer = trl_trainer("GRPO", tmp_path / name, model=model, callbacks=callbacks, max_steps=4)
        trainer.train()
        return trainer.model

    def careless(prompts, responses):
        return np.random.normal(size=len(prompts)) + torch.rand(len(prompts)).numpy()  # noqa: NPY002

    callback = OveroptimizationCallback(setting.curve_prompts, setting.proxy_folder, careless, every=1, **FEW)
    alone, followed_by = trained("alone", []), trained("followed", [callback])
    assert len(callback.points) == 5
    before = setting.policy.state_dict()
    for name, weights in alone.state_dict().items():
        assert torch.equal(weights, followed_by.state_dict()[name])
    assert any(not torch.equal(weights, before[name]) for name, weights in alone.state_dict().items())
    assert [m.training for m in alone.modules()] == [m.training for m in followed_by.modules()]


class GoldPlan:
    """A gold function that rises and falls with the evaluations, whatever the policy writes."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.calls = values, 0

    def __call__(self, prompts, responses):
        self.calls += 1
        place = self.calls - 2  # the first call scores the pool
        return [self.values[max(0, min(place, len(self.values) - 1))]] * len(prompts)


@pytest.mark.parametrize("keep_peak", [True, "restore"])
def test_the_policy_of_the_best_gold_is_kept_and_may_be_restored(setting, trl_trainer, tmp_path, runs, keep_peak):
    gold = GoldPlan([0.0, 1.0, 3.0, 2.0, 2.5])
    callback = OveroptimizationCallback(
        setting.curve_prompts, setting.proxy_folder, gold, every=1, keep_peak=keep_peak, calibrate=False, **FEW
    )
    trainer = trl_trainer(
        "GRPO", tmp_path / "out", callbacks=[callback], max_steps=4, save_strategy="steps", save_steps=1,
        report_to="mlflow",
    )  # fmt: skip
    trainer.train()
    assert [point.gold for point in callback.points] == [0.0, 1.0, 3.0, 2.0, 2.5]
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "overoptimization-peak").state_dict()
    at_peak = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "checkpoint-2").state_dict()
    last = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "checkpoint-4").state_dict()
    assert all(torch.equal(kept[name], weights) for name, weights in at_peak.items())
    expected = at_peak if keep_peak == "restore" else last
    assert any(not torch.equal(at_peak[name], weights) for name, weights in last.items())
    assert all(torch.equal(trainer.model.state_dict()[name], weights) for name, weights in expected.items())
    [run] = runs()
    assert run.data.tags["mlproject.peak_step"] == "2"
    assert run.data.tags["mlproject.peak_folder"] == str(tmp_path / "out" / "overoptimization-peak")
    assert AutoTokenizer.from_pretrained(run.data.tags["mlproject.peak_folder"]).vocab_size


def test_a_resumed_training_keeps_the_peak_of_what_came_before_it(tmp_path, tiny_policy, tiny_tokenizer):
    def point(step: int, gold: float, rm: float = 0.0) -> CurvePoint:
        return CurvePoint(step, 1.0, np.zeros(2), np.full(2, gold), statistics={"test_rm.other": rm})

    first = PeakKeeper(tmp_path)
    assert [first.offer(point(i, g), tiny_policy(i), tiny_tokenizer) for i, g in enumerate([0.0, 2.0, 1.0])] == [
        True, True, False,
    ]  # fmt: skip
    resumed, anew = PeakKeeper(tmp_path), PeakKeeper(tmp_path)
    resumed.resume(2)
    assert not resumed.offer(point(2, 1.5), tiny_policy(), tiny_tokenizer)
    anew.resume(1)  # from before the peak that the folder holds
    assert anew.offer(point(1, 1.5), tiny_policy(), tiny_tokenizer)
    nowhere = PeakKeeper(tmp_path, "test_rm.other")
    assert not nowhere.offer(point(1, 9.0, math.nan), tiny_policy(), tiny_tokenizer)
    assert nowhere.offer(point(2, math.nan, 1.0), tiny_policy(), tiny_tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["overoptimization-peak"]


def test_a_peak_that_nothing_tells_is_refused():
    with pytest.raises(UserError, match="keep_peak=True: must have something that tells the peak"):
        OveroptimizationCallback(["yes"], "rm", keep_peak=True)
    with pytest.raises(UserError, match="keep_peak='yes': must be False, True"):
        OveroptimizationCallback(["yes"], "rm", "gold", keep_peak="yes")


def test_an_alarm_that_stops_ends_the_training_at_its_own_step(setting, trl_trainer, tmp_path, runs):
    informing = new_callback(setting, monitor=OveroptimizationMonitor(kl_budget=1e-6))
    finished = trl_trainer("GRPO", tmp_path / "finished", callbacks=[informing])
    finished.train()
    assert finished.state.global_step == 6 and informing.readings[1].should_stop

    stopping = new_callback(setting, monitor=OveroptimizationMonitor(kl_budget=1e-6), stop=True)
    stopped = trl_trainer("GRPO", tmp_path / "stopped", callbacks=[stopping], report_to="mlflow")
    stopped.train()
    assert stopped.state.global_step == 2 and [point.step for point in stopping.points] == [0, 2]
    assert stopping.points[1].kl == informing.points[1].kl
    [run] = runs()
    assert run.data.tags["mlproject.complete"] == "false"
    assert run.data.tags["mlproject.alarm.kl-budget"].startswith("step 2: KL ")
    assert run.data.metrics["alarms/kl-budget"] == 1.0


def test_points_survive_in_files_without_any_mlflow_run(setting, trl_trainer, tmp_path, runs):
    callback = new_callback(setting)
    trl_trainer("GRPO", tmp_path, callbacks=[callback], max_steps=2).train()
    rows = (tmp_path / Artifact.TRAINER_TABLE).read_text().splitlines()
    assert rows[0] == "step,kl,proxy,gold,gold_se"
    assert [float(value) for value in rows[2].split(",")[:2]] == [2.0, callback.points[1].kl]
    assert (tmp_path / "overoptimization" / Artifact.CURVE).is_file()
    assert not runs()


def test_without_gold_a_kl_budget_still_stops_and_nothing_unknown_is_logged(setting, trl_trainer, tmp_path, runs):
    monitor = OveroptimizationMonitor(kl_budget=1e-6)
    callback = OveroptimizationCallback(
        setting.curve_prompts, setting.proxy_folder, every=1, stop=True, monitor=monitor, **FEW
    )
    trainer = trl_trainer("RLOO", tmp_path, callbacks=[callback], report_to="mlflow")
    trainer.train()
    assert trainer.state.global_step == 1
    [run] = runs()
    assert run.data.metrics["curve/kl"] == callback.points[1].kl > 0 and "curve/proxy" in run.data.metrics
    assert not [name for name in run.data.metrics if "gold" in name and name != "forecast/gold_responses"]


def test_a_resumed_training_keeps_its_initial_policy_and_its_earlier_points(setting, trl_trainer, tmp_path):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {f"{name}_token_id": getattr(setting.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    torch.manual_seed(0)  # Llama: transformers 5.23 resumes a GPT-NeoX without its output layer
    policy = LlamaForCausalLM(LlamaConfig(vocab_size=len(setting.tokenizer), initializer_range=0.2, **shape, **ids))
    policy.save_pretrained(tmp_path / "initial")

    def train(callback, **settings):
        trainer = trl_trainer("GRPO", tmp_path, model=copy.deepcopy(policy), callbacks=[callback], max_steps=4)
        trainer.args.save_strategy, trainer.args.save_steps = "steps", 2
        trainer.train(**settings)

    first = new_callback(setting)
    train(first)
    half_way = str(tmp_path / "checkpoint-2")
    with pytest.raises(UserError, match=r"resumed at step 2, .* Give initial_policy="):
        train(new_callback(setting), resume_from_checkpoint=half_way)
    resumed = new_callback(setting, initial_policy=tmp_path / "initial")
    train(resumed, resume_from_checkpoint=half_way)
    assert [point.step for point in resumed.points] == [0, 2, 4]
    for before, after in zip(first.points[:2], resumed.points[:2], strict=True):
        assert before.kl == after.kl and np.array_equal(before.gold_P, after.gold_P)
    assert first.points[1].kl > 0.0


def test_an_adapter_is_followed_from_the_model_below_it(setting, trl_trainer, tmp_path):
    peft = pytest.importorskip("peft")
    callback = new_callback(setting)
    adapter = peft.LoraConfig(r=4, target_modules=["query_key_value"], task_type="CAUSAL_LM")
    trainer = trl_trainer(
        "GRPO", tmp_path, callbacks=[callback], peft_config=adapter, max_steps=2, save_strategy="steps", save_steps=2
    )
    trainer.train()
    merged = peft.PeftModel.from_pretrained(copy.deepcopy(setting.policy), tmp_path / "checkpoint-2").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    again = measured_from_checkpoint(setting, tmp_path / "merged", 2)  # merging rounds
    assert (
        callback.points[0].kl == 0.0 and callback.points[1].kl == pytest.approx(again.kl, rel=1e-4) and again.kl > 0.0
    )
    np.testing.assert_allclose(callback.points[1].gold_P, again.gold_P, atol=1e-4)


def test_evaluations_that_take_too_long_come_less_often(setting, trl_trainer, tmp_path, monkeypatch):
    clock = {"now": 0.0, "cost": 0.5}
    monkeypatch.setattr(trainer_callback, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(policy_evaluator, "perf_counter", lambda: clock["now"])

    def gold(prompts, responses):
        clock["now"] += clock["cost"]
        return [float(len(response)) for response in responses]

    callback = OveroptimizationCallback(
        setting.curve_prompts, setting.proxy_folder, gold, every=1, **{**FEW, "max_seconds": 2.0}
    )

    class Slower(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            clock["cost"] = 2.5 if state.global_step == 1 else 0.5

    trainer = trl_trainer("GRPO", tmp_path, callbacks=[callback, Slower()], max_steps=5)
    trainer.train()
    assert [point.step for point in callback.points] == [0, 1, 2, 4, 5]  # step 2 was slow; step 5 is the last
    assert callback.seconds == clock["now"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0: must be at least 1"),
        ({"max_response_tokens": None}, "Give max_response_tokens=, in tokens"),
        ({"max_seconds": -1.0}, "max_seconds=-1: must be above 0"),
        ({"initial_policy": "/nowhere"}, "initial_policy=/nowhere: "),
    ],
)
def test_mistakes_are_one_line(options, message, setting, trl_trainer, tmp_path):
    with pytest.raises(UserError) as raised:
        trl_trainer("DPO", tmp_path, callbacks=[new_callback(setting, **options)], max_steps=1).train()
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_callback_follows_one_training(setting, trl_trainer, tmp_path):
    callback = new_callback(setting)
    trl_trainer("GRPO", tmp_path, callbacks=[callback], max_steps=1).train()
    with pytest.raises(UserError, match="Make a new OveroptimizationCallback"):
        trl_trainer("GRPO", tmp_path, callbacks=[callback], max_steps=1).train()


def test_names_and_scores_that_are_unfit_end_no_training(setting, trl_trainer, tmp_path, runs, caplog):
    """Names that MLflow does not take, and a proxy that gives nan from the second evaluation on."""

    def lengths(prompts, responses):
        return [float(len(response)) for response in responses]

    def proxy(prompts, responses):
        return [np.nan if callback.points and i == 1 else x for i, x in enumerate(lengths(prompts, responses))]

    rules = [AlarmRule("length > 1.5x", lambda points: "longer" if len(points) > 1 else "")]
    callback = OveroptimizationCallback(
        setting.curve_prompts,
        proxy,
        setting.gold_folder,
        every=1,
        stop=True,
        monitor=OveroptimizationMonitor(rules=rules, kl_budget=1e9),
        auxiliary_rms={"test_rm.org/model:v2 (8B)": lengths},
        **FEW,
    )
    trainer = trl_trainer("GRPO", tmp_path / "out", callbacks=[callback], report_to="mlflow", max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2 and [point.step for point in callback.points] == [0, 1, 2]
    assert [np.isnan(point.proxy) for point in callback.points] == [False, True, True]
    assert all(np.isfinite([point.kl, point.gold]).all() for point in callback.points)
    [run] = runs()
    names = {original_name(key) for key in run.data.metrics}
    assert {"alarms/length > 1.5x", "signs/test_rm.org/model:v2 (8B)", "peak/gold"} <= names
    told = run.data.tags["mlproject.alarm.not-a-number"]
    assert "proxy" in told and "gives nan to 1 of 12" in told and "at step 1" in told
    assert run.data.tags[fit_key("mlproject.alarm.length > 1.5x")] == "step 1: longer"
    assert run.data.metrics["alarms/not-a-number"] == 1.0 and "mlproject.complete" not in run.data.tags
    assert any("at step 2" in record.message and "proxy" in record.message for record in caplog.records)


@pytest.mark.slow
def test_a_policy_that_gives_nan_ends_the_training_only_where_alarms_may(setting, trl_trainer, tmp_path, runs):
    class Break(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            with torch.no_grad():
                model.get_output_embeddings().weight.fill_(torch.nan)

    def trained(name, stop):
        callback = new_callback(setting, every=1, stop=stop)
        trainer = trl_trainer("DPO", tmp_path / name, callbacks=[Break(), callback], report_to="mlflow", max_steps=3)
        trainer.train()
        assert [np.isnan(point.kl) for point in callback.points][:2] == [False, True]
        assert callback.readings[1].alarms[-1].name == "not-a-number" and callback.readings[1].should_stop
        return trainer.state.global_step

    assert (trained("informed", False), trained("stopped", True)) == (3, 1)
    stopped, informed = runs()  # newest first
    assert "policy: must give logits that are no nan" in stopped.data.tags["mlproject.alarm.not-a-number"]
    assert stopped.data.tags["mlproject.complete"] == "false" and "mlproject.complete" not in informed.data.tags
