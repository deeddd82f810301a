"""Reward models of several sizes: do the laws fit, how do their coefficients change, and do they extrapolate?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, Finding, sign_verdict, verdict
from mlproject.experiments.findings.evidence import (
    law_of,
    mean_interval,
    methods_of,
    peak_is_inside,
    rank_correlations,
    seeds_of,
    select,
    slope_interval,
)
from mlproject.experiments.findings.proxy_line import proxy_claims
from mlproject.experiments.results import Cell, Result
from mlproject.laws import (
    FORMS,
    LAST_VALUE,
    MIN_D,
    Goodhart,
    JointFit,
    decompose,
    extrapolate,
    joint_fit,
    law_for,
    score_forms,
)
from mlproject.laws.forms import rival_of
from mlproject.optimization import find_method

CUT = 0.6
"""Share of the KL range that an extrapolation is fitted on: 6 of 10 nats in the paper."""

_RESAMPLES = 400


def analyse(result: Result) -> Finding:
    """Claims about trends, forms, extrapolation and Goodhart components."""
    claims, goodhart, shapes, tables = [], [], [], {}
    for method in methods_of(result):
        cells = select(result, method=method)
        scores, cuts, parts = _form_scores(cells), _cuts(cells), [_parts(cell) for cell in cells]
        claims += [*_trends(method, cells), _forms(method, scores), _extrapolation(method, cuts)]
        goodhart += _goodhart(method, cells, parts)
        shapes += proxy_claims(method, cells)
        tables[f"Forms, {method} (mean over {len(cells)} curves)"] = _form_table(method, scores)
        tables[f"Beyond {CUT:.0%} of the KL, {method}: RMSE of the extrapolation from the points before it"] = (
            _cut_table(cuts)
        )
        tables[f"Goodhart components, {method}"] = _goodhart_table(cells, parts)
    claims += [*goodhart, *shapes]
    reached = [cell for cell in result.cells if peak_is_inside(cell.curve)]
    notes = [
        f"{len(reached)} of {len(result.cells)} curves peak before their last point; the others may peak beyond it.",
        "Slopes are per tenfold RM parameters, over all runs; brackets are 95 % t-intervals over runs.",
        "The 50k RM has one layer and the 25k RM two: depth matters here as well as parameters.",
        "A calibrated proxy is scaled so that its differences match those of gold on the initial policy's responses: "
        "calibration removes regressional Goodhart, and (on soft labels, after training on hard ones) overcorrects it.",
    ]
    return Finding(claims=claims, notes=notes, tables=tables)


def _trends(method: str, cells: Sequence[Cell]) -> list[Claim]:
    params = [cell.settings["rm_params"] for cell in cells]
    height = rank_correlations(cells, lambda cell: cell.curve.peak().gold)
    peak_kl = rank_correlations(cells, lambda cell: cell.curve.peak().kl)
    claims = [
        Claim(
            f"Peak gold rises with RM size, {method} (fig. 1)",
            f"by {slope_interval([cell.curve.peak().gold for cell in cells], params)} per tenfold parameters; rank "
            f"correlation by seed {_signed(height)}",
            verdict(min(height) > 0, max(height) < 0),
        ),
        Claim(
            f"The peak comes later (in KL) for larger RMs, {method} (fig. 1)",
            f"rank correlation by seed {_signed(peak_kl)}",
            verdict(min(peak_kl) > 0, max(peak_kl) < 0),
        ),
    ]
    laws = [law_of(cell) for cell in cells]
    beta = slope_interval([law.beta for law in laws], params)
    alpha = slope_interval([law.alpha for law in laws], params)
    if not find_method(method).trains_policy:
        claims.append(
            Claim(f"alpha of {method} rises with log parameters (fig. 3a)", f"slope {alpha}", sign_verdict(alpha, 1))
        )
        claims.append(
            Claim(f"beta of {method} falls with log parameters (fig. 3b)", f"slope {beta}", sign_verdict(beta, -1))
        )
        return claims
    shared, free = _joint(method, cells)
    shared_beta = slope_interval(np.concatenate([fit.beta_C for fit in shared]).tolist(), _params_by_seed(cells))
    rmse = [np.mean([fit.rmse for fit in fits]) for fits in (shared, free)]
    aic = float(np.mean([a.aic - b.aic for a, b in zip(shared, free, strict=True)]))
    return [
        *claims,
        Claim(
            f"beta of RL falls with log parameters, {method}, alpha shared (fig. 3c)",
            f"slope {shared_beta}; with one alpha per curve {beta}",
            sign_verdict(shared_beta, -1),
        ),
        Claim(
            f"alpha of RL can be shared over RM sizes at little cost, {method} (section 3.2)",
            f"RMSE {rmse[0]:.3f} shared, {rmse[1]:.3f} free; AIC difference {aic:+.0f} for sharing (less is better); "
            f"free alphas change by {alpha} per tenfold",
            verdict(rmse[0] < 1.1 * rmse[1], rmse[0] > 1.25 * rmse[1]),
        ),
    ]


def _signed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)


def _joint(method: str, cells: Sequence[Cell]) -> tuple[list[JointFit], list[JointFit]]:
    """Joint fits over the RM sizes of each seed: with a shared alpha, and with free alphas."""
    form, curves = law_for(find_method(method)), []
    for seed in seeds_of(cells):
        of_seed = [cell.curve for cell in cells if cell.settings["seed"] == seed]
        curves.append([(curve.sqrt_kl_S, curve.gold_S) for curve in of_seed])
    shared, free = ([joint_fit(form, each, share, MIN_D[form.name]) for each in curves] for share in (True, False))
    return shared, free


def _params_by_seed(cells: Sequence[Cell]) -> list[float]:
    return [cell.settings["rm_params"] for seed in seeds_of(cells) for cell in cells if cell.settings["seed"] == seed]


def _form_scores(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell and form: rmse, aic, held-out rmse."""
    rows = []
    for cell in cells:
        d_S, gold_S = cell.curve.sqrt_kl_S, cell.curve.gold_S
        cut = float(np.sqrt(CUT * cell.curve.kl_S.max()))
        for name, score in score_forms(FORMS.values(), d_S, gold_S, cut).items():
            rows.append({"cell": id(cell), "form": name, **vars(score)})
    return pd.DataFrame(rows)


def _form_table(method: str, scores: pd.DataFrame) -> pd.DataFrame:
    law = scores[scores.form == law_for(find_method(method)).name]
    best = scores.loc[scores.groupby("cell").aic.idxmin()].form.value_counts()
    rows = []
    for name, form in FORMS.items():
        of_form = scores[scores.form == name]
        rows.append(
            {
                "form": name,
                "R(d)": form.formula,
                "RMSE": f"{of_form.rmse.mean():.3f}",
                "AIC minus that of the law": f"{of_form.aic.mean() - law.aic.mean():+.0f}",
                "lowest AIC on": f"{best.get(name, 0)} of {len(law)}",
                f"held-out RMSE (beyond {CUT:.0%} of the KL)": f"{of_form.held_out_rmse.median():.3f} (median)",
            }
        )
    return pd.DataFrame(rows)


def _forms(method: str, scores: pd.DataFrame) -> Claim:
    law = law_for(find_method(method))
    own, rival = law.name, rival_of(law).name
    rmse = scores.pivot(index="cell", columns="form", values="rmse")
    wins = int((rmse[own] < rmse[rival]).sum())
    closest = rmse.mean().drop(own).idxmin()
    return Claim(
        f"R = {FORMS[own].formula} fits {method} (section 3.1)",
        f"RMSE {rmse[own].mean():.3f}, {rmse[rival].mean():.3f} for the other law, better on {wins} of {len(rmse)} "
        f"curves; best other form: {closest}, {rmse[closest].mean():.3f}",
        verdict(wins > 0.8 * len(rmse), wins < 0.2 * len(rmse)),
    )


def _cuts(cells: Sequence[Cell]) -> pd.DataFrame:
    rows = []
    for cell in cells:
        extrapolations = extrapolate(cell.curve.sqrt_kl_S, cell.curve.gold_S, CUT * float(cell.curve.kl_S.max()))
        rows.append({"rm_size": cell.settings["rm_size"], **{name: each.rmse for name, each in extrapolations.items()}})
    return pd.DataFrame(rows)


def _cut_table(cuts: pd.DataFrame) -> pd.DataFrame:
    table = cuts.groupby("rm_size", sort=False).mean()
    table.loc["all"] = cuts.drop(columns="rm_size").mean()
    return table.map("{:.3f}".format).reset_index(names="RM size")


def _extrapolation(method: str, cuts: pd.DataFrame) -> Claim:
    rmse, own = cuts.drop(columns="rm_size"), law_for(find_method(method)).name
    rivals = [name for name in rmse if name not in (own, LAST_VALUE)]
    best = min(rivals, key=lambda name: rmse[name].mean())
    over_last = int((rmse[own] < rmse[LAST_VALUE]).sum())
    return Claim(
        f"Fitted on the first {CUT:.0%} of the KL, the law predicts the rest, {method} (fig. 26)",
        f"RMSE {rmse[own].mean():.3f}; last value {rmse[LAST_VALUE].mean():.3f} (the law is better on {over_last} of "
        f"{len(rmse)}); best other form {best} {rmse[best].mean():.3f}",
        verdict(
            over_last > 0.7 * len(rmse) and rmse[own].mean() <= 1.1 * rmse[best].mean(),
            rmse[own].mean() > rmse[LAST_VALUE].mean(),
        ),
    )


def _goodhart_table(cells: Sequence[Cell], parts: Sequence[Goodhart]) -> pd.DataFrame:
    rows = []
    for size in dict.fromkeys(cell.settings["rm_size"] for cell in cells):
        of_size = [part for cell, part in zip(cells, parts, strict=True) if cell.settings["rm_size"] == size]
        names = ("regressional", "extremal", "extremal_excess", "gamma")
        rows.append({"RM size": size, **{n: str(mean_interval(getattr(p, n).value for p in of_size)) for n in names}})
    return pd.DataFrame(rows).rename(
        columns={
            "regressional": "regressional (alpha of proxy - alpha of gold)",
            "extremal": "extremal (beta of gold)",
            "extremal_excess": "beta of gold - beta of proxy",
        }
    )


def _parts(cell: Cell) -> Goodhart:
    form = law_for(find_method(cell.settings["method"]))
    return decompose(form, cell.curve, _RESAMPLES, np.random.default_rng(0), MIN_D[form.name])


def _goodhart(method: str, cells: Sequence[Cell], parts: Sequence[Goodhart]) -> list[Claim]:
    params = [cell.settings["rm_params"] for cell in cells]
    positive = sum(part.regressional.low > 0 for part in parts)
    excess = sum(part.extremal_excess.low > 0 for part in parts)
    shrink = slope_interval([part.extremal.value for part in parts], params)
    gamma = slope_interval([part.gamma.value for part in parts], params)
    negative = sum(part.regressional.high < 0 for part in parts)
    return [
        Claim(
            f"Regressional Goodhart: the proxy's alpha exceeds gold's, {method} (section 4.2)",
            f"significantly on {positive} of {len(parts)} curves, significantly lower on {negative}",
            verdict(positive > 0.8 * len(parts), negative > 0.5 * len(parts)),
        ),
        Claim(
            f"The gold curve bends more than the proxy curve, {method} (figs. 1, 20)",
            f"significantly on {excess} of {len(parts)} curves",
            verdict(excess > 0.8 * len(parts), excess < 0.2 * len(parts)),
        ),
        Claim(
            f"Extremal Goodhart (beta) decreases with RM size, {method} (section 4.2)",
            f"slope {shrink} per tenfold",
            sign_verdict(shrink, -1),
        ),
        Claim(
            f"gamma decreases with RM size, {method} (Kim et al. 2025)",
            f"slope {gamma} per tenfold",
            sign_verdict(gamma, -1),
        ),
    ]
