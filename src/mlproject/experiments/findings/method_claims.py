"""Claims that compare methods: the form of their law, and their gold beside that of another at matched KL.

Methods that optimize a reward model are compared with the first of them that trains a policy, the base, against the
same reward model and seed; a method that needs none is compared with it by seed, for each RM size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from mlproject.experiments.findings.claims import Claim, listed, sign_verdict, verdict
from mlproject.experiments.findings.evidence import law_of, mean_interval, ratio_interval, seeds_of
from mlproject.experiments.findings.form_fits import SCORES, FormFits
from mlproject.experiments.findings.frontier import all_alike, gold_gain, gold_lost, kl_to, none_higher
from mlproject.experiments.results import Cell
from mlproject.laws import FORMS, Estimate
from mlproject.optimization import METHODS, Method, find_method

Variants = Mapping[str, Sequence[Cell]]
"""Runs by label, each of one method."""

Pairs = Mapping[str, Sequence[tuple[Cell, Cell]]]
"""Runs beside those that they are compared with, by label."""

ALIKE = 1.25
"""Ratio of two coefficients up to which they count as alike."""


def method_of(cell: Cell) -> Method:
    """The method of a run."""
    return find_method(cell.settings["method"])


def form_claims(fits: Mapping[str, FormFits]) -> list[Claim]:
    """For each law, on gold and on the win rate: the methods that are registered with it follow it.

    Args:
        fits: by label of the method.
    """
    claims = []
    for law in dict.fromkeys(each.law.name for each in fits.values()):
        of_law = {label: each for label, each in fits.items() if each.law.name == law}
        for score in SCORES:
            inside, beyond = ({label: each.ratio(score, b) for label, each in of_law.items()} for b in (False, True))
            if np.isnan([each.value for each in beyond.values()]).all():
                continue
            claims.append(
                Claim(
                    f"{score.capitalize()} follows {FORMS[law].formula} for {', '.join(of_law)} (section 3.1 for "
                    "best-of-n and PPO, Rafailov et al. 2024 for direct alignment)",
                    f"error as a multiple of the other law's, beyond the fitted range: {listed(beyond)}; in range: "
                    f"{listed(inside)}",
                    verdict(all(e.high < 1 for e in beyond.values()), any(e.low > 1 for e in beyond.values())),
                )
            )
    return claims


def claims_against_base(variants: Variants, cells: Sequence[Cell]) -> list[Claim]:
    """The other methods that train against a reward model beside the base: distance, law, peak and end."""
    base = _base(cells)
    others = {label: runs for label, runs in variants.items() if _is_on_policy(runs[0]) and runs[0] not in base}
    pairs = _pairs(others, base)
    if not pairs:
        return []
    name = method_of(base[0]).label
    gains, peaks, lost = (_differences(pairs, value) for value in (_gain, _peak_gain, _further_lost))
    coefficients = {
        f"{coefficient} of {label}": ratio_interval(_log_ratio(coefficient, a, b) for a, b in each)
        for label, each in pairs.items()
        for coefficient in ("alpha", "beta")
    }
    return [
        Claim(
            "It is the distance that counts, not the method: at equal KL all on-policy methods have the same gold",
            f"gold at matched KL, less that of {name}: {listed(gains)}",
            all_alike(gains.values()),
        ),
        Claim(
            f"Their law is that of {name}: the same alpha and beta against the same reward model",
            f"as a multiple of {name}'s: {listed(coefficients)}",
            verdict(
                all(e.low > 1 / ALIKE and e.high < ALIKE for e in coefficients.values()),
                any(e.low > 1 and e.value > ALIKE for e in coefficients.values())
                or any(e.high < 1 and e.value < 1 / ALIKE for e in coefficients.values()),
            ),
        ),
        Claim(
            "No method raises peak gold",
            f"peak gold, less that of {name}: {listed(peaks)}",
            none_higher(peaks.values()),
        ),
        *(
            Claim(
                f"{label} has lost less gold than {name} after the same number of updates",
                f"gold lost since the highest, less that of {name}: {estimate}",
                sign_verdict(estimate, -1),
            )
            for label, estimate in lost.items()
        ),
    ]


def claims_without_rm(variants: Variants, cells: Sequence[Cell]) -> list[Claim]:
    """Methods that need no reward model: whether they over-optimize, and their gold beside the base's by RM size."""
    direct = {label: runs for label, runs in variants.items() if not method_of(runs[0]).needs_proxy}
    if not direct:
        return []
    lost = {label: mean_interval(cell.curve.drop_after_peak()[0] for cell in runs) for label, runs in direct.items()}
    weakest = [cell for runs in direct.values() for cell in runs if _coefficient(cell) == _least(cells, cell)]
    by_seed = mean_interval(
        float(np.mean([cell.curve.drop_after_peak()[0] for cell in weakest if cell.settings["seed"] == seed]))
        for seed in seeds_of(weakest)
    )
    claims = [
        Claim(
            "Over-optimization needs no reward model: direct alignment loses gold past its peak (Rafailov et al. 2024)",
            f"gold lost from the peak to the end, each with its smallest beta, mean over methods: {by_seed}; by method "
            f"and beta: {listed(lost)}",
            sign_verdict(by_seed, 1),
        )
    ]
    base = _base(cells)
    if not base:
        return claims
    largest, name = base[-1].settings["rm_size"], method_of(base[0]).label
    pairs = {label: each for (label, size), each in _beside(direct, base).items() if size == largest and each}
    peaks, gains = (_differences(pairs, value) for value in (_peak_gain, _gain))
    return [
        *claims,
        Claim(
            f"Direct alignment peaks no higher than {name} against a reward model of the same comparisons",
            f"peak gold, less that of {name} against the {largest} RM: {listed(peaks)}",
            none_higher(peaks.values()),
        ),
        Claim(
            f"At equal KL, direct alignment has the gold of {name}",
            f"gold at matched KL, less that of {name} against the {largest} RM: {listed(gains)}",
            all_alike(gains.values()),
        ),
    ]


def table_without_rm(variants: Variants, cells: Sequence[Cell]) -> pd.DataFrame:
    """Methods that need no reward model beside the base, by the size of its reward model; empty without either."""
    direct = {label: runs for label, runs in variants.items() if not method_of(runs[0]).needs_proxy}
    return pd.DataFrame(
        {
            "method": label,
            "RM of the other": size,
            "peak gold, less its": str(mean_interval(_peak_gain(a, b) for a, b in each)),
            "gold at matched KL, less its": str(mean_interval(_gain(a, b) for a, b in each)),
            "gold lost at the end, less its": str(mean_interval(_further_lost(a, b) for a, b in each)),
        }
        for (label, size), each in _beside(direct, _base(cells)).items()
    )


def _beside(direct: Variants, base: Sequence[Cell]) -> dict[tuple[str, str], list[tuple[Cell, Cell]]]:
    """Runs beside those of the base with the same seed, by label and by the size of the base's reward model."""
    return {
        (label, size): [(a, b) for a in runs for b in base if _size_and_seed(b) == (size, a.settings["seed"])]
        for label, runs in direct.items()
        for size in dict.fromkeys(cell.settings["rm_size"] for cell in base)
    }


def claims_against_selection(methods: Variants, cells: Sequence[Cell]) -> list[Claim]:
    """Nats that a method spends for the same gold as the first one that selects from the pool."""
    names = [method_of(cell).name for cell in cells if not method_of(cell).trains_policy]
    selecting = [cell for cell in cells if cell.settings["method"] in names[:1]]
    pairs = _pairs({label: runs for label, runs in methods.items() if _is_on_policy(runs[0])}, selecting)
    if not pairs:
        return []
    ratios = {label: ratio_interval(_log_nats(a, b) for a, b in each) for label, each in pairs.items()}
    return [
        Claim(
            f"Every method that trains spends more nats than {method_of(selecting[0]).label} for the same gold "
            "(section 3.5 for PPO)",
            f"ratio of the KL at which half of the lower peak is reached: {listed(ratios)}",
            verdict(all(e.low > 1 for e in ratios.values()), any(e.high < 1 for e in ratios.values())),
        )
    ]


def _is_on_policy(cell: Cell) -> bool:
    return method_of(cell).trains_policy and method_of(cell).needs_proxy


def _base(cells: Sequence[Cell]) -> list[Cell]:
    """Runs of the first registered method that trains a policy against a reward model."""
    first = next(name for name, method in METHODS.items() if method.trains_policy and method.needs_proxy)
    return [cell for cell in cells if cell.settings["method"] == first]


def _size_and_seed(cell: Cell) -> tuple[str, int]:
    return cell.settings["rm_size"], cell.settings["seed"]


def _pairs(variants: Variants, others: Sequence[Cell]) -> dict[str, list[tuple[Cell, Cell]]]:
    """Runs beside others against the same reward model and with the same seed; a label without any is left out."""
    by_key = {_size_and_seed(cell): cell for cell in others}
    pairs = {
        label: [(cell, by_key[_size_and_seed(cell)]) for cell in runs if _size_and_seed(cell) in by_key]
        for label, runs in variants.items()
    }
    return {label: each for label, each in pairs.items() if each}


def _differences(pairs: Pairs, value: Callable[[Cell, Cell], float]) -> dict[str, Estimate]:
    return {label: mean_interval(value(a, b) for a, b in each) for label, each in pairs.items() if each}


def _coefficient(cell: Cell) -> float:
    return float(cell.settings[method_of(cell).coefficient])


def _least(cells: Sequence[Cell], cell: Cell) -> float:
    """The smallest coefficient of the runs of a method."""
    return min(_coefficient(each) for each in cells if method_of(each) == method_of(cell))


def _peak_gain(a: Cell, b: Cell) -> float:
    return a.curve.peak().gold - b.curve.peak().gold


def _gain(a: Cell, b: Cell) -> float:
    return gold_gain(a.curve, b.curve)


def _further_lost(a: Cell, b: Cell) -> float:
    return gold_lost(a.curve) - gold_lost(b.curve)


def _log_ratio(coefficient: str, a: Cell, b: Cell) -> float:
    """Logarithm of a coefficient of one run's law over that of another's; nan where one is not positive."""
    one, other = (getattr(law_of(cell), coefficient) for cell in (a, b))
    return float(np.log(one / other)) if one > 0 and other > 0 else float("nan")


def _log_nats(a: Cell, b: Cell) -> float:
    """Logarithm of the ratio of nats at which half of the lower peak is reached; nan where it is not above 0."""
    half = 0.5 * min(cell.curve.peak().gold for cell in (a, b))
    spent = [kl_to(cell.curve, half) for cell in (a, b)]
    return float(np.log(spent[0] / spent[1])) if half > 0 and min(spent) > 0 else float("nan")
