"""The policy at its peak, kept while a trainer goes on: neither the last one nor that of the best proxy score."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.curve import CurvePoint
from mlproject.errors import UserError
from mlproject.models.live_policy import unwrapped
from mlproject.models.model_loading import load_causal_lm
from mlproject.strict_json import strict_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PEAK_FOLDER = "overoptimization-peak"
"""Name of the folder in a trainer's output folder."""

_RECORD = "overoptimization.json"


def what_tells_the_peak(keep_peak: bool | str, has_gold: bool, auxiliary_rms: Sequence[str]) -> str:
    """Whose score tells the peak: empty for gold, else the name of an auxiliary reward model.

    Args:
        keep_peak: as the user gave it.
        has_gold: whether something plays gold.
        auxiliary_rms: names of the auxiliary reward models.

    Raises:
        UserError: for a value that `keep_peak` has not, and where nothing tells the peak.
    """
    if keep_peak not in (False, True, "restore"):
        raise UserError(f'keep_peak={keep_peak!r}: must be False, True or "restore".')
    if keep_peak and not has_gold and not auxiliary_rms:
        raise UserError(
            f"keep_peak={keep_peak!r}: must have something that tells the peak. Give gold=, or a held-out reward model "
            "as auxiliary_rms=."
        )
    return "" if has_gold or not auxiliary_rms else auxiliary_rms[0]


class PeakKeeper:
    """Saves a policy whenever its score is higher than ever before.

    The folder holds a model that `from_pretrained` reads (an adapter, where the policy is one of peft's), the
    tokenizer, and `overoptimization.json` with step, KL and score. It is replaced when its successor is complete.

    Args:
        output_folder: of the trainer.
        role: what the score is: empty for gold, else the name of an auxiliary reward model.
    """

    def __init__(self, output_folder: Path, role: str = "") -> None:
        self.folder, self._role = output_folder / PEAK_FOLDER, role
        self._best = -math.inf

    def resume(self, step: int) -> None:
        """Take up the peak of a training that was interrupted and goes on from a step; a later one does not count."""
        try:
            record = json.loads((self.folder / _RECORD).read_text())
        except (OSError, ValueError):
            return
        if record.get("step", math.inf) < step and isinstance(record.get("score"), float):
            self._best = record["score"]

    def offer(self, point: CurvePoint, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> bool:
        """Save the policy if its score is the highest so far.

        Args:
            point: measured on the policy.
            policy: in whatever mode; not changed.
            tokenizer: saved beside it.

        Returns:
            whether it was saved.
        """
        score = point.statistics.get(self._role, math.nan) if self._role else point.gold
        if not score > self._best:
            return False
        unfinished = self.folder.with_name(PEAK_FOLDER + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        policy.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        record = {"step": point.step, "kl": point.kl, "score": float(score), "of": self._role or "gold"}
        (unfinished / _RECORD).write_text(strict_json(record, indent=1))
        shutil.rmtree(self.folder, ignore_errors=True)
        unfinished.rename(self.folder)
        self._best = float(score)
        return True

    def restore(self, model: Any) -> None:
        """Give a model the weights of the peak, where there is one.

        Raises:
            UserError: where the folder cannot be read by this process, as on another machine.
        """
        policy = unwrapped(model)
        if not (self.folder / _RECORD).is_file():
            raise UserError(
                f'keep_peak="restore": must find {self.folder} on every machine of the training. Let output_dir be a '
                "folder that all of them see, or use keep_peak=True and load the peak afterwards."
            )
        if hasattr(policy, "peft_config"):
            from peft import load_peft_weights, set_peft_model_state_dict

            set_peft_model_state_dict(policy, load_peft_weights(str(self.folder), device="cpu"))
            return
        peak = load_causal_lm(str(self.folder), f"peak in {self.folder}", dtype=policy.dtype)
        policy.load_state_dict(peak.state_dict())
