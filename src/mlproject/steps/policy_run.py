"""Kind `policy-run`: one optimization of the policy against one proxy, by one method: one run, one curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlproject.optimization import METHODS
from mlproject.steps.step import Made, Run, Step

if TYPE_CHECKING:
    from mlproject.config import Config
    from mlproject.curve import Curve, CurvePoint

CURVE = "curve.npz"
SAMPLES = "samples.json"
STAGES = ("start", "peak", "end")
"""Points of a curve whose responses and weights are kept."""

METHOD = "mlproject.method"
"""Tag that names the method of a policy run."""

TRAIN_PROMPTS = 20_000
"""Training prompts that a method may sample responses for."""

_PROXY_PARAMS = (
    "rm_size",
    "rm_params",
    "n_comparisons",
    "label_noise",
    "policy_size",
    "gold_size",
    "world",
    "world_seed",
)


def policy_run(config: Config, proxy: Step | Made, pool: Step, method: str, seed: int) -> Step:
    """The step that optimizes the policy against a proxy.

    Args:
        config: options of the method.
        proxy: a proxy RM, as a step or as a run that exists.
        pool: the initial policy's samples on the curve prompts; its inputs name initial policy and gold RM.
        method: name of a registered method.
        seed: of the policy's optimization.
    """
    known: Mapping[str, Any] = proxy.params if isinstance(proxy, Made) else {**proxy.shown, **proxy.params}
    options = config.select(*METHODS[method].options)
    penalty = f" KL coefficient {options['kl_coef']:g}" if options.get("kl_coef") else ""
    return Step(
        name=f"{method} against {known['rm_size']} seed {seed}{penalty}",
        kind="policy-run",
        version=METHODS[method].version,
        params={
            "method": method,
            **options,
            **config.select("world", "world_seed", "curve_prompts"),
            "seed": seed,
        },
        inputs={"proxy-rm": proxy, "pool": pool, **pool.inputs},
        shown={name: known[name] for name in _PROXY_PARAMS if name in known},
        tags={METHOD: method},
        work=__name__,
    )


def work(run: Run) -> None:
    """Artifacts: `curve.npz`, `samples.json`; checkpoints of the policy where the method trains one."""
    import json

    from mlproject.curve import Curve
    from mlproject.laws import law_for
    from mlproject.models.reward_model import RewardModel
    from mlproject.models.sequences import encode_prompts
    from mlproject.optimization.meter import Meter
    from mlproject.optimization.pool import Pool
    from mlproject.optimization.problem import Problem
    from mlproject.steps.album import Album
    from mlproject.steps.common import (
        MODEL_FOLDER,
        accelerator,
        load_policy,
        load_tokenizer,
        stream_seed,
        torch_generator,
    )
    from mlproject.steps.pool import FILE
    from mlproject.worlds import load_world

    p = run.params
    method = METHODS[p["method"]]
    world = load_world(p["world"], p["world_seed"])
    machine = accelerator()  # float32: PPO compares probabilities of the same policy at two moments
    tokenizer = load_tokenizer(run.input("initial-policy"))
    initial_policy = load_policy(run.input("initial-policy"), machine.device)
    proxy = RewardModel.load(run.input("proxy-rm") / MODEL_FOLDER, machine.device)
    pool = Pool.load(run.input("pool") / FILE)
    units = json.loads((run.input("gold-rm") / "units.json").read_text())
    prompts = world.prompts("curve", p["curve_prompts"])
    album = Album(prompts)
    meter = Meter(
        world=world,
        tokenizer=tokenizer,
        prompts=prompts,
        initial_policy=initial_policy,
        proxy=proxy,
        gold=RewardModel.load(run.input("gold-rm") / MODEL_FOLDER, machine.device),
        human_units=(units["human_mean"], units["human_std"]),
        pool=pool,
        samples_per_prompt=p.get("eval_samples", 1),
        seed=stream_seed("curve responses", p["world_seed"]),
        observe=album.add,
    )
    problem = Problem(
        initial_policy=initial_policy,
        proxy=proxy,
        train_prompts=encode_prompts(tokenizer, world.prompts("train", TRAIN_PROMPTS)).to(machine.device),
        samples=pool.sequences,
        samples_per_prompt=pool.shape[1],
        meter=meter,
        max_response_tokens=world.max_response_tokens,
        options=p,
        accelerator=machine,
        generator=torch_generator(method.name, p["seed"], device=machine.device),
        progress=run.progress,
    )
    points = []
    for point in method.optimize(problem):
        points.append(point)
        run.log_metrics(point_metrics(point, method.name), step=point.step)
    curve = Curve.from_points(points)
    curve.save(run.folder / CURVE)
    run.log_metrics(summaries(curve, method.name))
    run.set_tags({"law/form": law_for(method.name).name})
    run.log_table(album.rows(), SAMPLES)
    for checkpoint in album.checkpoints(initial_policy):
        point = checkpoint.point
        metrics = {"gold": point.gold, "gold_se": point.gold_se, "proxy": point.proxy, "kl": point.kl}
        run.log_checkpoint(checkpoint.name, point.step, metrics, checkpoint.save)


def point_metrics(point: CurvePoint, method: str) -> dict[str, float]:
    """The metrics of one curve point, by the names that dashboards rely on."""
    metrics = {
        "curve/kl": point.kl,
        "curve/sqrt_kl": point.sqrt_kl,
        "curve/proxy": point.proxy,
        "curve/proxy_se": point.proxy_se,
        "curve/gold": point.gold,
        "curve/gold_se": point.gold_se,
    }
    if point.human is not None:
        metrics["curve/human"] = point.human
    metrics |= {f"signs/{name}": value for name, value in point.signs.items()}
    return metrics | {f"{method}/{name}": value for name, value in point.diagnostics.items()}


def summaries(curve: Curve, method: str) -> dict[str, float]:
    """Peak, drop and fitted law of a whole curve; what cannot be fitted is left out."""
    from mlproject.laws import MIN_D, fit, law_for

    peak = curve.peak()
    drop, drop_se = curve.drop_after_peak()
    metrics = {
        "peak/gold": peak.gold,
        "peak/gold_se": peak.gold_se,
        "peak/kl": peak.kl,
        "peak/step": peak.step,
        "drop/gold": drop,
        "drop/gold_se": drop_se,
    }
    form = law_for(method)
    try:
        law = fit(form, curve.sqrt_kl_S, curve.gold_S, min_d=MIN_D[form.name])
    except ValueError:  # too few points away from the origin
        return metrics
    peak_kl, peak_gold = law.peak()
    return metrics | {
        "law/alpha": law.alpha,
        "law/beta": law.beta,
        "law/rmse": law.rmse,
        "law/r2": law.r2,
        "law/peak_kl": peak_kl,
        "law/peak_gold": peak_gold,
    }
