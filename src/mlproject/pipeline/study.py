"""The main job as a list of steps: one over-optimization study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlproject.errors import UserError
from mlproject.models.checkpoints import inspect_checkpoint, rm_parameters
from mlproject.models.sizes import is_checkpoint
from mlproject.names import RolePrefix
from mlproject.optimization import METHODS
from mlproject.pipeline.comparisons import comparisons
from mlproject.pipeline.external.comparisons import external_comparisons
from mlproject.pipeline.external.gold import external_gold
from mlproject.pipeline.external.policy import external_policy
from mlproject.pipeline.external.proxy import external_proxy
from mlproject.pipeline.gold_rm import gold_rm
from mlproject.pipeline.initial_policy import initial_policy
from mlproject.pipeline.law import law
from mlproject.pipeline.policy_run import policy_run
from mlproject.pipeline.pool import pool
from mlproject.pipeline.proxy_rm import TEST, proxy_rm
from mlproject.pipeline.step import RunRef, Step

if TYPE_CHECKING:
    from mlproject.config.schema import Config


@dataclass(frozen=True)
class Plan:
    """The steps of a study that are known before it starts (the search decides on its own ones as it goes).

    Attributes:
        comparisons: gold-labelled pairs that the proxies learn from.
        pool: the initial policy's samples on the curve prompts.
        proxies: by (size, seed).
        policy_runs: one for each method, size and seed.
        law: fitted to all policy runs.
    """

    comparisons: Step
    pool: Step
    proxies: dict[tuple[str, int], Step]
    policy_runs: list[Step]
    law: Step

    @property
    def steps(self) -> list[Step]:
        return [self.pool, *self.proxies.values(), *self.policy_runs, self.law]


def plan_study(config: Config) -> Plan:
    """Lay out a study: world -> policy -> gold -> comparisons -> proxies -> curves -> laws."""
    root = plan_roots(config)
    largest_first = sorted(config.rm_sizes, key=lambda size: -rm_parameters(size))
    proxies = {(size, seed): plan_proxy(config, root, size, seed) for size in largest_first for seed in config.seeds}
    runs = [
        plan_curve(config.replace(rm_size=size, seed=seed), method)
        for method in reversed(config.methods)
        for size, seed in proxies
    ]
    return Plan(root.comparisons, root.pool, proxies, runs, law(config, runs))


@dataclass(frozen=True)
class Roots:
    """What all curves of a configuration stand on.

    Attributes:
        policy: responds in the comparisons; also the policy that is optimized, but where `rm_policy_size` differs.
        gold: plays the ground truth.
        comparisons: gold-labelled pairs.
        pool: samples of the optimized policy on the curve prompts.
    """

    policy: Step
    gold: Step
    comparisons: Step
    pool: Step


def plan_roots(config: Config) -> Roots:
    """Lay out everything above the proxies."""
    world, source = config.world_spec, config.gold_source
    if world.imports_policy:
        policy = optimized = external_policy(config)
        rm_config = config
    else:
        rm_config = config if config.rm_policy_size == "same" else config.replace(policy_size=config.rm_policy_size)
        policy, optimized = initial_policy(rm_config), initial_policy(config)
    gold: Step | None = None
    if source.is_trained or (source.is_test_rm and world.has_human):  # for a test RM it labels the comparisons only
        gold = gold_rm(rm_config, policy)
    elif not source.is_test_rm:
        gold = external_gold(rm_config, policy)
    return _judged(config, policy, gold, optimized)


def _judged(config: Config, policy: Step, gold: Step | None, optimized: Step) -> Roots:
    """Comparisons by whoever labels them, and the pool of the curve prompts by whoever plays gold."""
    if config.preferences:
        labelled = external_comparisons(config, policy)
    else:
        assert gold is not None  # the configuration was checked
        labelled = comparisons(config, policy, gold)
    if config.gold_source.is_test_rm:
        test_rm = proxy_rm(config, labelled, config.gold_size, config.world_seed, half=TEST)
        gold = external_gold(config, policy, test_rm)
    assert gold is not None
    return Roots(policy, gold, labelled, pool(config, optimized, gold))


def plan_proxy(config: Config, root: Roots, size: str, seed: int) -> Step:
    """Lay out one proxy RM: trained on the comparisons, or a reward model that exists, put on gold's scale."""
    if is_checkpoint(size) and (found := inspect_checkpoint(size, "rm_sizes")).is_reward_model:
        return external_proxy(config, found, size, root.policy, root.gold, seed)
    return proxy_rm(config, root.comparisons, size, seed, gold=root.gold)


def plan_curve(config: Config, method: str, prior: RunRef | None = None) -> Step:
    """Lay out the policy run of one method against one proxy (`rm_size`, `seed`), in one round or several.

    In each further round the policy as optimized so far gives new comparisons; a new proxy learns from them (and, with
    `rounds_data=all`, from those of the rounds before); the policy is optimized against it from where it is, or
    (`rounds_from=initial`) anew.

    Args:
        config: of everything.
        method: name of a registered method.
        prior: run of kind `law` whose curves the forecast starts from.

    Raises:
        UserError: for several rounds of a method that trains no policy.
    """
    if config.rounds > 1 and not METHODS[method].trains_policy:
        raise UserError(f"rounds={config.rounds}: {method} trains no policy that could give new comparisons; rounds=1")
    root = plan_roots(config)
    labelled = [root.comparisons]
    run: Step | None = None
    for round in range(1, config.rounds + 1):
        if run is not None:
            labelled.append(comparisons(config, root.policy, root.gold, run, round))
        earlier = labelled[:-1] if config.rounds_data == "all" else []
        if run is None:
            proxy = plan_proxy(config, root, config.rm_size, config.seed)
        else:
            proxy = proxy_rm(config, labelled[-1], config.rm_size, config.seed, earlier)
        auxiliary = auxiliary_rms(config, root, labelled[-1], earlier)
        run = policy_run(config, proxy, root.pool, method, config.seed, run, round, prior, auxiliary_rms=auxiliary)
    assert run is not None  # there is at least one round
    return run


def auxiliary_rms(config: Config, root: Roots, comparisons: Step, earlier: Sequence[Step] = ()) -> dict[str, Step]:
    """Lay out the reward models that watch one proxy (`rm_size`, `seed`): its test RMs, and proxies of the next seeds.

    A test RM learns from the other half of the comparisons; one that exists already is taken as it is.

    Returns:
        by role; none where neither `test_rms` nor `ensemble` asks for any.

    Raises:
        UserError: for an ensemble beside a proxy that exists already: other seeds of it would be the same.
    """
    size, seed = config.rm_size, config.seed
    if config.ensemble and _exists(size):
        raise UserError(f"ensemble={config.ensemble}: {size} is trained already and has no other seeds; ensemble=0")
    sizes = dict.fromkeys(size if each == "same" else each for each in config.test_rms)
    tests = {}
    for each in sizes:
        if RolePrefix.TEST_RM + _role(each) in tests:
            raise UserError(f"test_rms={each}: another one is called {_role(each)} too; rename a folder")
        tests[RolePrefix.TEST_RM + _role(each)] = (
            plan_proxy(config, root, each, seed)
            if _exists(each)
            else proxy_rm(config, comparisons, each, seed, earlier, half=TEST, gold=root.gold)
        )
    seeds = range(seed + 1, seed + 1 + config.ensemble)
    return tests | {
        f"{RolePrefix.MEMBER}{each}": proxy_rm(config, comparisons, size, each, earlier, gold=root.gold)
        for each in seeds
    }


def _exists(size: str) -> bool:
    """Whether a size is somebody's finished reward model."""
    return is_checkpoint(size) and inspect_checkpoint(size, "rm_sizes").is_reward_model


def _role(size: str) -> str:
    """A size as it may stand in the name of a metric: of a checkpoint the last part of its path."""
    return re.sub(r"[^\w.-]", "-", re.split(r"[/\\]", size.rstrip("/\\"))[-1])
