"""Who chooses n better from a few gold labels: HedgeTune, or a fitted law? For each reward model of a store.

    python benchmarks/hedging.py FOLDER [--repeats 200]     (a store of the default study; minutes, most for scoring)

All gold scores of the pool are known here, so that the gold of every n is; a way to choose sees only as many of them
as it may ask for. Its regret is the highest gold less the gold at its n, in standard deviations.

- `hedge`: labels for eight random samples of each prompt; HedgeTune (`hedged_n`), gold less its mean per prompt.
- `hedge, means`: the same labels; the n with the highest weighted mean.
- `hedge, high`: HedgeTune with the labels of the points below, which are of high ranks, by their density.
- `law`: labels for the best of 1, 4, 16, 64 and 256 of each prompt (nested, so that four labels serve five points);
  the highest n of alpha d - beta d^2, fitted to the means.
- `forecast`: the same labels; where the monitor's forecast puts the peak (`mlproject.Forecast`, its default prior).
- `points`: the same labels; the n of these five with the highest mean.
- `always 256`, `never`: no labels.

Axis letters: P prompts, N samples per prompt, B labelled samples, G values of n.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from mlproject.curve import Array, CurvePoint
from mlproject.estimators import BestOfN, best_of_n_kl_bound, hedged_n
from mlproject.laws.fits import fit_form
from mlproject.laws.forecast import Forecast
from mlproject.laws.forms import law_for
from mlproject.models.prompt_format import PromptFormat
from mlproject.names import Artifact, Kind, Role, Split, Tag
from mlproject.optimization.pool_samples import PoolSamples
from mlproject.optimization.sample_pool import Pool
from mlproject.pipeline.loading import load_scorer, load_tokenizer
from mlproject.tracking.artifact_files import fetch
from mlproject.tracking.inputs import InputArtifacts
from mlproject.tracking.store import all_experiments, all_runs
from mlproject.worlds import WORLDS

NS = np.array([1, 4, 16, 64, 256])
LABELS = (64, 256, 1024)
PER_PROMPT = 8
"""Random samples of a prompt that are labelled for HedgeTune."""

LABELS_OF_POINTS = 4
"""Labels of a prompt for its five nested points: the best of 4n is the best of n once in four times."""

ALL_N = np.unique(np.geomspace(1, 256, 200).round().astype(int))


def pools(uri: str) -> Iterator[tuple[str, Array, Array]]:
    """Name, proxy scores and gold scores on the pool, each of shape (P, N), of every reward model of a store."""
    client = MlflowClient(uri)
    query = f"tags.`{Tag.KIND}` = '{Kind.PROXY_RM}' and attributes.status = 'FINISHED'"
    proxies = all_runs(client, all_experiments(client), query)
    query = f"tags.`{Tag.KIND}` = '{Kind.POOL}' and attributes.status = 'FINISHED'"
    [pool_run] = [run for run in all_runs(client, all_experiments(client), query) if "split" not in run.data.params]
    inputs = InputArtifacts(client, json.loads(pool_run.data.tags[Tag.INPUTS]))
    options = pool_run.data.params
    world = WORLDS[options["world"]].open(int(options["world_seed"]), lambda: inputs.folder(Role.INITIAL_POLICY))
    prompt_format = PromptFormat(load_tokenizer(inputs.folder(Role.INITIAL_POLICY)), world.max_response_tokens)
    prompts = world.prompts(Split.CURVE, int(options["curve_prompts"]))
    samples = PoolSamples(inputs.folder(Role.SAMPLES) / Artifact.POOL_SAMPLES, prompts, prompt_format)
    gold_PN = Pool.load(fetch(client, pool_run, Artifact.POOL), samples).gold_PN
    for run in sorted(proxies, key=lambda run: (int(run.data.params["rm_params"]), int(run.data.params["seed"]))):
        proxy = load_scorer(fetch(client, run), prompt_format)
        yield f"{run.data.params['rm_size']} seed {run.data.params['seed']}", samples.rate(proxy.rate), gold_PN


class Labels:
    """Gold labels of one reward model's pool, bought for one repeat.

    Args:
        proxy_PN, gold_PN: scores of the pool.
        budget: labels.
        rng: draws prompts and samples.
    """

    def __init__(self, proxy_PN: Array, gold_PN: Array, budget: int, rng: np.random.Generator) -> None:
        prompts, pool = proxy_PN.shape
        some = rng.permutation(prompts)
        several = np.resize(some, budget // PER_PROMPT)[:, None]
        drawn = rng.integers(pool, size=(len(several), PER_PROMPT))
        rank_PN = (proxy_PN.argsort(1, kind="stable").argsort(1) + 0.5) / pool
        gold = gold_PN[several, drawn]
        self.rank_B = rank_PN[several, drawn].ravel()
        self.gold_B = (gold - gold.mean(1, keepdims=True)).ravel()
        rows = np.resize(some, budget // LABELS_OF_POINTS)
        order = rng.permuted(np.tile(np.arange(pool), (len(rows), 1)), axis=1)[:, : NS[-1]]
        shown = proxy_PN[rows[:, None], order]
        best = np.stack([order[np.arange(len(rows)), shown[:, :n].argmax(1)] for n in NS])
        self.points_GP = gold_PN[rows, best]
        self.high_rank_GP = rank_PN[rows, best]


def by_hedging(labels: Labels) -> float:
    return hedged_n(labels.rank_B, labels.gold_B, NS[-1])


def by_hedging_of_high_ranks(labels: Labels) -> float:
    rank_B, gold_GP = labels.high_rank_GP.ravel(), labels.points_GP
    density_B = (NS[:, None] * rank_B ** (NS[:, None] - 1)).mean(0)
    return hedged_n(rank_B, (gold_GP - gold_GP.mean(0)).ravel(), NS[-1], density_B)


def by_weighted_means(labels: Labels) -> float:
    weights_GB = ALL_N[:, None] * labels.rank_B ** (ALL_N[:, None] - 1)
    return float(ALL_N[(weights_GB @ labels.gold_B).argmax()])


def by_law(labels: Labels) -> float:
    gain_G = (labels.points_GP - labels.points_GP[0]).mean(1)
    law = fit_form(law_for("best-of-n"), np.sqrt(best_of_n_kl_bound(NS)), gain_G)
    return float(ALL_N[law.value(np.sqrt(best_of_n_kl_bound(ALL_N))).argmax()])


def by_forecast(labels: Labels) -> float:
    forecast = Forecast("best-of-n")
    prediction = None
    start = labels.points_GP[0].mean()
    for n, gold_P in zip(NS, labels.points_GP, strict=True):
        prediction = forecast.update(CurvePoint(int(n), float(best_of_n_kl_bound(n)), gold_P - start, gold_P - start))
    assert prediction is not None
    return float(np.interp(prediction.peak_kl, best_of_n_kl_bound(ALL_N), ALL_N))


def by_points(labels: Labels) -> float:
    return float(NS[labels.points_GP.mean(1).argmax()])


RULES: dict[str, Callable[[Labels], float]] = {
    "hedge": by_hedging,
    "hedge, high": by_hedging_of_high_ranks,
    "hedge, means": by_weighted_means,
    "law": by_law,
    "forecast": by_forecast,
    "points": by_points,
    "always 256": lambda labels: 256.0,
    "never": lambda labels: 1.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of mlflow.db")
    parser.add_argument("--repeats", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{'':14s}{'peak at n':>10s}{'labels':>8s}" + "".join(f"{name:>14s}" for name in RULES))
    regrets: dict[int, list[list[float]]] = {budget: [] for budget in LABELS}
    for name, proxy_PN, gold_PN in pools(f"sqlite:///{arguments.folder.resolve()}/mlflow.db"):
        gold_G = BestOfN(proxy_PN, ALL_N)(gold_PN).mean(1)
        for budget in LABELS:
            rng = np.random.default_rng(budget)
            regret: dict[str, list[float]] = {rule: [] for rule in RULES}
            for _ in range(arguments.repeats):
                labels = Labels(proxy_PN, gold_PN, budget, rng)
                for rule, choose in RULES.items():
                    chosen = float(np.interp(choose(labels), ALL_N, gold_G))
                    regret[rule].append(float(gold_G.max()) - chosen)
            regrets[budget].append([float(np.mean(each)) for each in regret.values()])
            print(
                f"{name:14s}{ALL_N[gold_G.argmax()]:10d}{budget:8d}"
                + "".join(f"{np.mean(each):7.3f}±{np.std(each) / len(each) ** 0.5:.3f} " for each in regret.values()),
                flush=True,
            )
    for budget, rows in regrets.items():
        print(f"{'mean':14s}{'':10s}{budget:8d}" + "".join(f"{each:14.3f}" for each in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
