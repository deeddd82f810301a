"""What a careful reader would notice about units and signs, and which option to give: a line for each.

The numbers of a curve alone do not tell its units, but names, neighbours and sizes often do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mlproject.report.logs.columns import REQUIRED, USUAL_NAMES, find
from mlproject.report.logs.join import JoinedLog

START_GOLD = 0.5
"""Gold of the initial policy, in the unit of the law, beyond which gold has not been centred, nor probably scaled."""

HIGHEST_RISE = 6.0
"""Gold standard deviations that no policy is expected to gain: Gao et al. 2022 measured up to 2."""

LOWEST_RISE = 0.05
"""Gold standard deviations, of a whole run, below which gold may be in another unit."""

LOWEST_KL = 0.5
"""Nats at the end of a run below which KL may be per token: a response has tens to thousands of tokens."""

OLD_POLICY_KL = re.compile(r"approx_?kl|ppo_?kl|policy/.*kl|kl_?old|old_?kl", re.I)
"""Names of the KL from the policy of the last update, which says nothing about the initial policy."""

PER_TOKEN_KL = re.compile(r"per_?token|token_?kl|kl_loss|kl_penalty|mean_kl|kl_mean|_kl_k[123]", re.I)
DISTANCE = re.compile(r"sqrt|root", re.I)
"""Names of the square root of KL, which is what curves are drawn over."""

BITS_KL = re.compile(r"bits|log2", re.I)
GRPO_NEIGHBOUR = re.compile(r"completions?/mean_length|completion_length", re.I)
LENGTH = re.compile(r"completions?/mean_length|completion_length|response_length(/mean)?$|mean_response_length|"
                    r"(^|/)(mean_)?length$|num_tokens_per_response", re.I)  # fmt: skip


def notices(
    joined: JoinedLog, gold_start: float, gold_sd: float | None, kl_unit: str, method_kl_n: bool = False
) -> Iterator[str]:
    """Lines about a joined log.

    Args:
        joined: the log, in its own units.
        gold_start: the initial policy's gold, in the log's unit.
        gold_sd: the unit that the user gave; None if none was given.
        kl_unit: the unit of KL that the user gave or that is taken.
        method_kl_n: whether the step is the n of best-of-n, whose KL is known.
    """
    rows, kl_name = joined.numbers, joined.columns["kl"]
    has_length = "length" in joined.columns
    short_name = kl_name.rpartition(" - ")[2]
    lengths = [name for name in joined.names if LENGTH.search(str(name))]
    length = lengths[0] if lengths else "TOKENS_PER_RESPONSE"
    for meaning in REQUIRED:
        usual = [name for name in USUAL_NAMES[meaning] if name in joined.names]
        if len(usual) > 1 and usual[0] == joined.columns[meaning]:
            yield (
                f"{', '.join(usual[1:])} may be {meaning} too, and {usual[0]} is read; if it is not meant, give "
                f"columns={meaning}=COLUMN"
            )
    if OLD_POLICY_KL.search(short_name):
        yield (
            f"{kl_name} is by its name the KL from the policy before the last update, not from the initial policy; "
            "if so, give columns=kl=COLUMN"
        )
    if DISTANCE.search(short_name):
        yield f"{kl_name} is by its name the square root of KL; if so, square it in the log"
    if not has_length:
        is_grpo = short_name in ("kl", "train/kl") and any(GRPO_NEIGHBOUR.search(str(name)) for name in joined.names)
        if is_grpo or PER_TOKEN_KL.search(short_name):
            yield f"{kl_name} is by its name a mean over tokens; if so, give columns=kl={kl_name},length={length}"
        elif float(rows.kl.max()) < LOWEST_KL:
            yield (
                f"KL ends at {rows.kl.max():.3g} nats per response, which is little; if it is per token, give "
                f"columns=kl={kl_name},length={length}"
            )
    same = int((rows.kl == rows.kl.mode()[0]).sum())
    if same > max(3, len(rows) / 4) and rows.kl.mode()[0] > 0:
        yield (
            f"KL is exactly {rows.kl.mode()[0]:.6g} at {same} of {len(rows)} steps; if it was not measured there, "
            "leave them out"
        )
    if kl_unit == "nats":
        if BITS_KL.search(short_name):
            yield f"{kl_name} is by its name in bits; if so, give kl_unit=bits"
        elif method_kl_n and _is_in_bits(rows.step.to_numpy(), rows.kl.to_numpy()):
            yield "KL is 1.44 times log n - (n - 1)/n at every n, so it seems to be in bits; if so, give kl_unit=bits"
    unit = 1.0 if gold_sd is None else gold_sd
    rise = np.abs(rows.gold - gold_start).max() / unit
    if gold_sd is None and is_own_unit(gold_start, rise):
        yield (
            f"gold starts at {gold_start:.3g} and moves by {rise:.3g}, so it seems to be in the scorer's own unit, and "
            f"so are law and peak; {_spread_hint(joined)}"
        )
    elif gold_sd is None and 0 < rise < LOWEST_RISE:
        yield (
            f"gold moves by {rise:.3g} in all, which is little if it is in standard deviations; if it is in the "
            f"scorer's own unit, {_spread_hint(joined)}"
        )
    elif rise > HIGHEST_RISE:
        yield f"gold moves by {rise:.3g} standard deviations, which is much; gold_sd may be too small"
    if only_falls(rows.gold.to_numpy() - gold_start, rows.kl.to_numpy()):
        gold_name = joined.columns["gold"]
        yield (
            f"{gold_name} only falls from its start; if less is better, give columns=gold={_turned(gold_name)}; "
            "otherwise there is no peak, and any optimization loses gold"
        )


def is_own_unit(gold_start: float, rise: float) -> bool:
    """Whether gold seems to be in its scorer's own unit and not in standard deviations above the initial policy's."""
    return abs(gold_start) > START_GOLD or rise > HIGHEST_RISE


def only_falls(rise_S: np.ndarray, kl_S: np.ndarray) -> bool:
    """Whether gold lies below its start from the first points on, and ever lower: three thirds, each below the last."""
    order = np.argsort(kl_S, kind="stable")
    moved = rise_S[order][kl_S[order] > 0.002]
    if len(moved) < 3:
        return False
    means = [float(part.mean()) for part in np.array_split(moved, 3)]
    scatter = float(np.std(np.diff(moved))) / np.sqrt(2 * max(len(moved) // 3, 1)) if len(moved) > 3 else 0.0
    return means[0] < -scatter and means[1] < means[0] and means[2] <= means[1] + scatter and moved.max() <= scatter


def _turned(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _is_in_bits(n_S: np.ndarray, kl_S: np.ndarray) -> bool:
    used = n_S > 1
    if used.sum() < 3:
        return False
    nats = np.log(n_S[used]) - (n_S[used] - 1) / n_S[used]
    return bool(np.allclose(kl_S[used] / nats, 1 / np.log(2), rtol=0.02))


def _spread_hint(joined: JoinedLog) -> str:
    """How to give the spread; from the log itself where it has the column beside gold (TRL: `mean` and `std`)."""
    gold = joined.columns["gold"]
    beside = (
        [re.sub(r"mean$", "std", gold), f"{gold}_std", f"{gold}/std"]
        if gold.endswith("mean")
        else [f"{gold}_std", f"{gold}/std"]
    )
    found = [name for other in beside for name in find(other, joined.names)]
    option = "give gold_sd=SD, the standard deviation of the initial policy's gold scores"
    return option + (f" ({found[0]} at the start)" if found else "")
