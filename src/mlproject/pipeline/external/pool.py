"""Pools from elsewhere: a user's file of responses, or a server that samples from the policy.

Where log-probabilities come from elsewhere, some are computed by the policy's weights too: the two differ where the
sampler is another policy than the one that is trained, or has another temperature or precision. The mean difference
over sampled responses estimates KL(sampler || policy).

Axis letters: P prompts, N samples per prompt, B responses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlproject.config.schema import Config
from mlproject.curve import mean_and_se
from mlproject.errors import UserError
from mlproject.models.log_probs import log_probs_of
from mlproject.models.policy_server import PolicyServer
from mlproject.models.prompt_format import PromptFormat, Responses
from mlproject.names import Artifact, Metric, Role, Split
from mlproject.optimization.pool_samples import BLOCK, judged, write_block
from mlproject.options.columns import named_columns
from mlproject.options.paths import is_there
from mlproject.pipeline.loading import (
    load_policy,
    load_prompt_format,
    new_accelerator,
    numpy_generator,
    open_world,
    stream_seed,
)
from mlproject.pipeline.step import Run
from mlproject.rewards.options import CallOptions
from mlproject.samples.responses import MEANINGS, GivenResponses, read_responses
from mlproject.strict_json import strict_json
from mlproject.worlds.files.snapshot import Cut, path_and_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FEWEST = 256
"""Responses that are checked at least."""
_LARGE = 0.5
"""Nats per response from which on a mismatch is told."""


def pool_params(config: Config, split: str) -> dict[str, Any]:
    """Parameters of a pool from elsewhere; none where this project samples it."""
    if config.pool and split == Split.CURVE:
        if not is_there(config.pool):
            raise UserError(f"pool={config.pool}: must be an existing file or folder. Correct the path.")
        file = {f"pool_{key}": value for key, value in path_and_digest(config.pool).items()}
        return {**file, **config.changed("pool_columns", "pool_check")}
    if config.policy_server:
        return {"sampler": config.policy_server, **config.changed("pool_check")}
    return {}


def is_from_elsewhere(params: Mapping[str, Any]) -> bool:
    """Whether the samples of a step are somebody else's."""
    return "pool_path" in params or "sampler" in params


@lru_cache(maxsize=2)
def _read(path: str, digest: str, columns: str) -> GivenResponses:
    return read_responses(Path(path), named_columns(columns, MEANINGS, "pool_columns"))


def _responses(p: Mapping[str, Any]) -> GivenResponses:
    """The file that the parameters of a step name; read once while its digest does not change."""
    return _read(p["pool_path"], p["pool_sha256"], p.get("pool_columns", ""))


def curve_prompt_params(config: Config) -> dict[str, Any]:
    """Parameters of a step that draws the curve prompts from those of a pool; none without a pool."""
    params = pool_params(config, Split.CURVE) if config.pool else {}
    params.pop("pool_check", None)
    return params | config.select("pool_samples") if params else {}


def prompts_of_pool(p: Mapping[str, Any], cut: Cut) -> set[str] | None:
    """The prompts to which a pool holds enough responses, as the study reads them; None without a pool.

    Args:
        p: parameters: see `curve_prompt_params`, with `curve_prompts` and `max_prompt_tokens`.
        cut: shortens a prompt to a number of the policy's tokens.

    Raises:
        UserError: if the file cannot be read, or too few prompts have enough.
    """
    if "pool_path" not in p:
        return None
    given = _responses(p)
    enough = {
        cut(prompt, p["max_prompt_tokens"]) or prompt
        for prompt, count in given.counts().items()
        if count >= p["pool_samples"]
    }
    if len(enough) < p["curve_prompts"]:
        raise too_few(given, p["pool_samples"], p["curve_prompts"], len(enough))
    return enough


def too_few(given: GivenResponses, samples: int, prompts: int, found: int) -> UserError:
    """The mistake of a pool that is too small."""
    counts = sorted(given.counts().values(), reverse=True)
    possible = counts[prompts - 1] if len(counts) >= prompts else 0
    return UserError(
        f"{given.source}: must hold pool_samples={samples} responses to each of curve_prompts={prompts} prompts of the "
        f"study, but does so for {found} (it has {len(counts)} prompts with up to {counts[0]} responses). "
        + (f"Set pool_samples={possible} or lower." if possible >= 4 else "Lower curve_prompts, or sample more.")
    )


def import_samples(run: Run) -> None:
    """Write samples from elsewhere. Artifacts: `samples/`, and `pool_check.json` where log-probabilities came along."""
    p = run.params
    split = p.get("split", Split.CURVE)
    world, device = open_world(run), new_accelerator().device
    prompt_format = load_prompt_format(run, world)
    policy = load_policy(run.input(Role.INITIAL_POLICY), device)
    prompts, samples = world.prompts(split, p[f"{split}_prompts"]), p["pool_samples"]
    draw = _from_server(run, prompt_format) if "sampler" in p else _from_file(p, prompts, prompt_format)
    folder = run.folder / Artifact.POOL_SAMPLES
    folder.mkdir()
    size = max(1, BLOCK // samples)
    rng, gaps = numpy_generator("pool check", p["world_seed"]), []
    share = max(p.get("pool_check", 0.05), min(1.0, _FEWEST / (len(prompts) * samples)))
    for number, start in enumerate(range(0, len(prompts), size)):
        responses = draw(prompts[start : start + size], start)
        if responses.log_prob_B is None:
            every = np.arange(len(responses))
            log_prob_B = _log_prob(policy, responses, every)
            responses = Responses(responses.prompts, responses.sequences, prompt_format, log_prob_B)
        elif p.get("pool_check", 0.05) > 0:
            checked = rng.permutation(len(responses))[: max(1, round(share * len(responses)))]
            gaps.append(responses.log_prob_B[checked] - _log_prob(policy, responses, checked))
        write_block(folder, number, responses, samples, judged(world, responses))
        run.progress(min(1.0, (start + size) / len(prompts)))
    if gaps:
        _report(run, np.concatenate(gaps))


def _report(run: Run, gap_B: np.ndarray) -> None:
    """Say how the sampler's log-probabilities differ from the policy's, nats per response."""
    gap, se = mean_and_se(gap_B)
    found = {
        Metric.SAMPLER_KL: gap,
        Metric.SAMPLER_KL_SE: se,
        Metric.SAMPLER_GAP: float(np.abs(gap_B).mean()),
        Metric.SAMPLER_CHECKED: float(len(gap_B)),
    }
    (run.folder / Artifact.POOL_CHECK).write_text(strict_json(found))
    run.log_metrics(found)
    if gap > _LARGE + 2 * se or gap < -_LARGE - 2 * se:
        print(
            f"pool: log-probabilities of its sampler differ from those of the policy by {gap:.2f} +- {2 * se:.2f} nats "
            "per response. Are temperature, end of responses and weights the same?",
            file=sys.stderr,
            flush=True,
        )


def _log_prob(policy: PreTrainedModel, responses: Responses, rows: np.ndarray) -> np.ndarray:
    """Log-probability of some responses under the policy, nats."""
    sequences = responses.sequences.select(torch.from_numpy(rows)).to(policy.device)
    with torch.no_grad():
        return log_probs_of(policy, sequences).sum(1).double().cpu().numpy()


def _from_server(run: Run, prompt_format: PromptFormat) -> Callable[[Sequence[str], int], Responses]:
    p = run.params
    server = PolicyServer(p["sampler"], CallOptions.among(run.execution_options))
    split = p.get("split", Split.CURVE)
    return lambda prompts, start: server.sample(
        prompts, p["pool_samples"], prompt_format, stream_seed("served pool", split, p["world_seed"], start)
    )


def _from_file(
    p: Mapping[str, Any], prompts: Sequence[str], prompt_format: PromptFormat
) -> Callable[[Sequence[str], int], Responses]:
    given = _responses(p)
    known = set(prompts)
    rows_of: dict[str, np.ndarray] = {}
    for prompt, rows in given.by_prompt.items():
        short = prompt if prompt in known else next((each for each in known if prompt.endswith(each)), "")
        if short and len(rows) >= p["pool_samples"]:
            rows_of.setdefault(short, rows[: p["pool_samples"]])
    if len(rows_of) < len(known):
        raise too_few(given, p["pool_samples"], len(known), len(rows_of))

    def take(texts: Sequence[str], start: int) -> Responses:
        rows = np.concatenate([rows_of[text] for text in texts])
        repeated = [text for text in texts for _ in range(p["pool_samples"])]
        sequences = prompt_format.encode(repeated, given.texts.take(rows).to_pylist())
        return Responses(
            repeated, sequences, prompt_format, None if given.log_prob_B is None else given.log_prob_B[rows]
        )

    return take
