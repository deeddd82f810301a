"""Calibrates a reward model to gold's scale and measures how well the two agree."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.models.reward_model import RewardModel
from mlproject.models.scorers import Scorer
from mlproject.names import Artifact, Metric, Role, RolePrefix
from mlproject.pipeline.step import Run
from mlproject.preferences.calibration import calibration_scale
from mlproject.preferences.comparisons import EncodedComparisons, encode_comparisons
from mlproject.preferences.rankings import joined

AnyScorer = TypeVar("AnyScorer", bound=Scorer)


def pairwise_metrics(margin_B: np.ndarray, prefers_a_B: np.ndarray) -> dict[str, float]:
    """As `mlproject.preferences.metrics` has it; imported here, since `evaluate` takes seconds and plans need none."""
    from mlproject.preferences import metrics

    return metrics.pairwise_metrics(margin_B, prefers_a_B)


def score_margins(model: RewardModel, pairs: EncodedComparisons) -> NDArray[np.float64]:
    """Score of response a minus that of response b, in the model's units. Shape: (B,)."""
    return model.scores(pairs.a) - model.scores(pairs.b)


def label_agreement(margin_B: NDArray[np.float64], labelled: EncodedComparisons) -> dict[str, float]:
    """Accuracy and loss (nats per comparison) of score margins against labels."""
    against_labels = pairwise_metrics(margin_B, labelled.prefers_a_B)
    return {Metric.RM_VAL_ACCURACY: against_labels["accuracy"], Metric.RM_VAL_LOSS: against_labels["loss"]}


def calibrated(raw: RewardModel, pairs: EncodedComparisons) -> tuple[RewardModel, dict[str, float]]:
    """Centre and scale a reward model on pairs of responses with gold scores.

    Args:
        raw: the model in its own units.
        pairs: comparisons whose margins are known, in gold standard deviations.

    Returns:
        the model in gold standard deviations, and metrics of its agreement with gold on the pairs.
    """
    return calibrated_by(raw, raw.scores(pairs.a), raw.scores(pairs.b), pairs)


def calibrated_by(
    raw: AnyScorer, raw_a_B: NDArray[np.float64], raw_b_B: NDArray[np.float64], pairs: EncodedComparisons
) -> tuple[AnyScorer, dict[str, float]]:
    """The same for any scorer, by its raw scores of both responses. Shapes: (B,)."""
    margin_B = raw_a_B - raw_b_B
    scale = calibration_scale(margin_B, pairs.margin_B)
    against_soft = pairwise_metrics(scale * margin_B, 1 / (1 + np.exp(-pairs.margin_B)))
    return raw.with_units((raw_a_B.mean() + raw_b_B.mean()) / 2, scale), {
        **label_agreement(margin_B, pairs),
        Metric.RM_VAL_LOSS_CALIBRATED: against_soft["loss"],
        Metric.RM_ECE: against_soft["ece"],
        Metric.RM_SCALE: scale,
    }


def load_unit_pairs(run: Run, prompt_format: PromptFormat) -> EncodedComparisons:
    """The pairs that determined the units of an imported gold RM, without ties, in a reward model's prompt format."""
    return encode_comparisons(unit_pairs(run), prompt_format)


def unit_pairs(run: Run) -> pd.DataFrame:
    """These pairs as a table of comparisons."""
    pairs = pd.read_parquet(run.input(Role.GOLD_RM) / Artifact.PAIRS)
    pairs = pairs[pairs.score_a != pairs.score_b].reset_index(drop=True)
    pairs["prefers_a"] = pairs.score_a > pairs.score_b
    return pairs


def calibration_pairs(run: Run) -> pd.DataFrame:
    """Pairs of responses with gold scores: those of gold's own units, by the initial policy, or held-out comparisons.

    These are of the initial policy too, but in a later round of the policies whose responses the run learns from.
    """
    if (run.input(Role.GOLD_RM) / Artifact.PAIRS).exists():
        return unit_pairs(run)
    table = joined(tables_of_rounds(run))
    return table[table.held_out].reset_index(drop=True)


def tables_of_rounds(run: Run) -> list[pd.DataFrame]:
    """The comparisons that a run learns from, whole: those of earlier rounds, as far as it has them, and its own."""
    roles = [*(f"{RolePrefix.EARLIER}{i}" for i in range(run.params.get("earlier", 0))), Role.COMPARISONS]
    return [pd.read_parquet(run.input(role) / Artifact.COMPARISONS) for role in roles]


def responses_of_pairs(table: pd.DataFrame, column: str, prompt_format: PromptFormat) -> Responses:
    """One side of a table of pairs, `response_a` or `response_b`, as a policy wrote it."""
    prompts = table.prompt.tolist()
    return Responses(prompts, prompt_format.encode(prompts, table[column].tolist()), prompt_format)
