"""Kind `law`: both laws fitted to a study's curves, peaks with intervals, coefficients against RM size.

`laws.json` has three lists. `groups`: one entry per method and RM size, all seeds together: fitted coefficients, peak
and their 95 % intervals (bootstrap over prompts), the measured peak and the drop past it, and the RMSE of every form
on the same points. `trends`: each coefficient against log10 of the RM's parameters. `rank_correlations`: Spearman's
correlation of measured peak gold with RM size, seed by seed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from mlproject.config.schema import Config
from mlproject.curve import Array, Curve, mean_and_se
from mlproject.laws import FORMS, MIN_D, Form, Prior, bootstrap_fit, fit_form, law_for, rmse_by_form, spearman, trend
from mlproject.models.sizes import SIZES
from mlproject.monitoring.metrics import win_law_metrics
from mlproject.names import Artifact, Kind, MetricPrefix
from mlproject.optimization import find_method
from mlproject.pipeline.step import Run, Step
from mlproject.strict_json import strict_json


def law(config: Config, policy_runs: Sequence[Step]) -> Step:
    """Plan the fit of the laws to all curves of a study."""
    curves = [
        {name: {**step.inherited_params, **step.params}[name] for name in ("method", "rm_size", "rm_params", "seed")}
        for step in policy_runs
    ]
    return Step(
        name="laws",
        kind=Kind.LAW,
        version=2,
        params={"bootstrap": config.bootstrap, "curves": strict_json(curves)},
        inputs={str(i): step for i, step in enumerate(policy_runs)},
        fn=fit_laws,
    )


def fit_laws(run: Run) -> None:
    """Fit the laws. Artifacts: `laws.json`, `priors.json`."""
    curves: dict[tuple[str, int, str], dict[int, Curve]] = defaultdict(dict)
    for i, cell in enumerate(json.loads(run.params["curves"])):
        key = (cell["method"], cell["rm_params"], cell["rm_size"])
        curves[key][cell["seed"]] = Curve.load(run.input(str(i)) / Artifact.CURVE)
    groups: list[dict[str, Any]] = []
    for (method, rm_params, rm_size), by_seed in sorted(curves.items()):
        group = {"method": method, "rm_size": rm_size, "rm_params": rm_params, "seeds": sorted(by_seed)}
        groups.append(group | summarize(method, list(by_seed.values()), run.params["bootstrap"]))
    sized = [group for group in groups if group["rm_params"] > 0]  # 0: not known, or no model
    trends: list[dict[str, Any]] = []
    correlations: list[dict[str, Any]] = []
    for method in sorted({method for method, _, _ in curves}):
        for coefficient in ("alpha", "beta"):
            fitted = [g for g in sized if g["method"] == method and g[coefficient] is not None]
            if len(fitted) >= 3 and len({g["rm_params"] for g in fitted}) > 1:
                line = trend([g[coefficient] for g in fitted], [g["rm_params"] for g in fitted])
                slope = {
                    "slope": line.slope,
                    "slope_ci": line.slope_interval,
                    "intercept": line.intercept,
                    "r2": line.r2,
                }
                trends.append({"method": method, "coefficient": coefficient, **slope})
        for seed in sorted({seed for by_seed in curves.values() for seed in by_seed}):
            peaks = [(k[1], c[seed].peak().gold) for k, c in curves.items() if k[0] == method and seed in c and k[1]]
            if len(peaks) >= 3 and len({size for size, _ in peaks}) > 1:
                rho = spearman(*zip(*peaks, strict=True))
                correlations.append({"method": method, "seed": seed, "spearman": rho})
    laws = {"groups": groups, "trends": trends, "rank_correlations": correlations}
    (run.folder / Artifact.LAWS).write_text(strict_json(laws, indent=1))
    priors: dict[str, dict[str, Any]] = {}
    for method in sorted({method for method, _, _ in curves}):
        by_params: dict[int, list[Curve]] = {}
        for key, by_seed in curves.items():
            if key[0] == method and key[1] > 0:
                by_params.setdefault(key[1], []).extend(by_seed.values())
        ladder = {size.reward_model_parameters for size in SIZES.values()}
        priors[method] = {
            str(params): Prior.from_curves(find_method(method), by_params, params).to_dict()
            for params in sorted(ladder | set(by_params) if by_params else ())
        }
    (run.folder / Artifact.PRIORS).write_text(strict_json(priors))
    run.log_metrics({f"{MetricPrefix.TREND}{t['method']}_{t['coefficient']}_slope": t["slope"] for t in trends})
    run.log_metrics({f"{MetricPrefix.RANK}{c['method']}_seed_{c['seed']}": c["spearman"] for c in correlations})


def summarize(method: str, curves: Sequence[Curve], resamples: int) -> dict[str, Any]:
    """Law, peak and drop of one RM size.

    Coefficients are fitted to the curves of all seeds together (they share their prompts). How well a form fits (`r2`,
    `rmse`, `rmse_by_form`) is the mean over fits to the curve of each seed, since differences between seeds are no
    misfit.

    Args:
        method: name of the method.
        curves: one for each seed.
        resamples: of the bootstrap over prompts.

    Returns:
        a group of `laws.json`, apart from its keys; None for what needs more points than there are.
    """
    form = law_for(find_method(method))
    min_d = MIN_D[form.name]
    together = Curve(
        steps_S=np.concatenate([curve.steps_S for curve in curves]),
        kl_S=np.concatenate([curve.kl_S for curve in curves]),
        proxy_SP=np.concatenate([curve.proxy_SP for curve in curves]),
        gold_SP=np.concatenate([curve.gold_SP for curve in curves]),
        win_SP=_wins([curve.win_SP for curve in curves]),
    )
    peak_gold, peak_gold_se = mean_and_se(np.mean([curve.peak_gold_P() for curve in curves], axis=0))
    lost, lost_se = mean_and_se(np.mean([curve.peak_gold_P() - curve.gold_SP[-1] for curve in curves], axis=0))
    summary: dict[str, Any] = {
        "form": form.name,
        "min_d": min_d,
        "max_d": float(together.sqrt_kl_S.max()),
        "measured_peak_gold": peak_gold,
        "measured_peak_gold_se": peak_gold_se,
        "measured_peak_kl": float(np.mean([curve.peak().kl for curve in curves])),
        "drop": lost,
        "drop_se": lost_se,
        **_win_rate(form, curves, together),
    }
    fitted_names = ("alpha", "beta", "peak_kl", "peak_gold")
    try:
        fitted = fit_form(form, together.sqrt_kl_S, together.gold_S, min_d)
        interval = bootstrap_fit(form, together, resamples, np.random.default_rng(0), min_d)
        proxy = fit_form(form, together.sqrt_kl_S, together.proxy_S, min_d)
        alone = [fit_form(form, curve.sqrt_kl_S, curve.gold_S, min_d) for curve in curves]
        rmse_by_seed = [rmse_by_form(FORMS.values(), curve.sqrt_kl_S, curve.gold_S) for curve in curves]
    except ValueError:  # too few points away from the origin
        missing = (
            *fitted_names,
            *(f"{name}_ci" for name in fitted_names),
            "r2",
            "rmse",
            "proxy_alpha",
            "rmse_by_form",
        )
        return summary | dict.fromkeys(missing)
    peak_kl, fitted_peak = fitted.peak()
    return summary | {
        "alpha": fitted.alpha,
        "beta": fitted.beta,
        "peak_kl": peak_kl,
        "peak_gold": fitted_peak,
        **{f"{name}_ci": list(getattr(interval, name)) for name in fitted_names},
        "r2": float(np.mean([law.r2 for law in alone])),
        "rmse": float(np.mean([law.rmse for law in alone])),
        "rmse_by_form": {name: float(np.mean([rmse[name] for rmse in rmse_by_seed])) for name in FORMS},
        "proxy_alpha": proxy.alpha,
    }


def _wins(win_C: Sequence[Array | None]) -> Array | None:
    """The win rates of several curves as one, if all of them have some. Shape: (S, P)."""
    known = [win_SP for win_SP in win_C if win_SP is not None]
    return np.concatenate(known) if len(known) == len(win_C) else None


def _win_rate(form: Form, curves: Sequence[Curve], together: Curve) -> dict[str, Any]:
    """Win rate at the peak of gold, and the law of the win rate above one half; nothing for curves without it."""
    if together.win_SP is None:
        return {}
    at_peak = [float(curve.win_S[curve.gold_S.argmax()]) for curve in curves if curve.win_S is not None]
    group: dict[str, Any] = {"win_rate": float(np.mean(at_peak))}
    with suppress(ValueError):  # too few points away from the origin
        laws = win_law_metrics(together, form)
        group |= {name.removeprefix(MetricPrefix.LAW): value for name, value in laws.items()}
    return group
