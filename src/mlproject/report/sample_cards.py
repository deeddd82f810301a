"""Sample responses of a report as cards: start, peak and end of a few prompts, chosen by a rule that it states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlproject.names import STAGES, Stage
from mlproject.names.quoting import visible
from mlproject.optimization import find_method
from mlproject.report.records import PolicyRunRecord, Report
from mlproject.report.selection import extremes, method_name, methods, number, runs_of
from mlproject.report.summary import text

SCORES = ("proxy", "gold", "human")
Rows = Mapping[tuple[str, str], Mapping[str, Any]]


def sample_blocks(report: Report) -> list[dict[str, Any]]:
    """Sample responses of every method with the smallest and the largest RM, first seed; trained policies first.

    Returns:
        one block per run: title, what gold does on all prompts, stages with step and KL, and prompts with their cards.
    """
    blocks = []
    for method in sorted(methods(report), key=lambda name: not find_method(name).trains_policy):
        for role, rm_size in extremes(report, method):
            run = runs_of(report, method, rm_size)[0]
            if run.samples:
                blocks.append(_block(run, role))
    return blocks


def chosen_prompts(rows: Rows) -> dict[str, str]:
    """Prompts that stand for a table of samples, and why: by change of gold from start to peak, median and extremes.

    Args:
        rows: of the table, by prompt and stage.

    Returns:
        why, by prompt; fewer than three where the table has fewer prompts or scores.
    """
    prompts = [p for p in dict.fromkeys(prompt for prompt, _ in rows) if all((p, stage) in rows for stage in STAGES)]
    changes = {prompt: _change(rows[prompt, Stage.START], rows[prompt, Stage.PEAK], "gold") for prompt in prompts}
    known = {prompt: change for prompt, change in changes.items() if change is not None}
    ranked = sorted(known, key=known.__getitem__)
    if not ranked:
        return dict.fromkeys(prompts[:1], "the first of the table")
    lowest = "largest fall" if known[ranked[0]] < 0 else "smallest rise"
    chosen = {ranked[len(ranked) // 2]: "median change"}
    chosen.setdefault(ranked[-1], "largest rise")
    chosen.setdefault(ranked[0], lowest)
    return {
        prompt: f"{why} of gold from start to peak, {text(known[prompt], sign=True)}" for prompt, why in chosen.items()
    }


def _block(run: PolicyRunRecord, role: str) -> dict[str, Any]:
    """The samples of one run by prompt; all score bars have the same scale."""
    rows = {(row["prompt"], row["stage"]): row for row in run.samples}
    prompts = chosen_prompts(rows)
    values = [number(rows[prompt, stage].get(score)) for prompt in prompts for stage in STAGES for score in SCORES]
    scale = max((abs(value) for value in values if value is not None), default=0.0) or 1.0
    place, first = find_method(run.method).place, next(iter(prompts), None)
    return {
        "title": f"{method_name(run.method)}, {role} RM ({run.rm_size}), seed {run.seed}",
        "overall": _overall(run),
        "stages": [
            {
                "name": stage,
                "where": f"{place(rows[first, stage]['step'])}, {text(rows[first, stage].get('kl'), 1)} nats",
            }
            for stage in STAGES
            if first is not None
        ],
        "prompts": [
            {"prompt": visible(prompt), "why": why, "cards": _cards([rows[prompt, stage] for stage in STAGES], scale)}
            for prompt, why in prompts.items()
        ],
    }


def _overall(run: PolicyRunRecord) -> str:
    """What gold does on all curve prompts, beside which the few prompts shown are to be read."""
    gold_S = run.curve.gold_S
    peak = float(gold_S.max())
    return (
        f"Over all {run.curve.gold_SP.shape[1]} curve prompts, mean gold is {text(gold_S[0])} at the start, "
        f"{text(peak)} at the peak and {text(gold_S[-1])} at the end."
    )


def _cards(rows: list[Mapping[str, Any]], scale: float) -> list[dict[str, Any]]:
    """Start, peak and end of one prompt: text, score bars in percent of the track, change since the last stage."""
    cards: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        before = rows[index - 1] if index else None
        scores = []
        for name in SCORES:
            value, change = number(row.get(name)), _change(before, row, name)
            bar = 50 * abs(value or 0.0) / scale
            left = 50 - bar if (value or 0.0) < 0 else 50.0
            scores.append({"name": name, "value": value, "bar": bar, "left": left, "change": change})
        gold, proxy = _change(before, row, "gold"), _change(before, row, "proxy")
        cards.append(
            {
                "stage": row["stage"],
                "response": visible(row["response"]),
                "scores": scores,
                "trend": "flat" if not gold else "rise" if gold > 0 else "fall",
                "fooled": gold is not None and proxy is not None and gold < 0 < proxy,
            }
        )
    return cards


def _change(before: Mapping[str, Any] | None, row: Mapping[str, Any], name: str) -> float | None:
    """Change of a score since the stage before; None if either is unknown."""
    now, then = number(row.get(name)), number(before.get(name)) if before else None
    return None if now is None or then is None else now - then
