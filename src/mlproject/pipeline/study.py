"""Plans a study, its curves and its reward models as steps; nothing is executed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlproject.config.schema import Config
from mlproject.cures import parse_reward
from mlproject.errors import UserError
from mlproject.models.inspection import inspect_checkpoint, rm_parameters
from mlproject.models.sizes import is_checkpoint
from mlproject.names import Role, RolePrefix
from mlproject.optimization import METHODS
from mlproject.pipeline.comparisons import comparisons
from mlproject.pipeline.cured_rm import cured_rm, plan_members
from mlproject.pipeline.external.comparisons import external_comparisons
from mlproject.pipeline.external.gold import external_gold
from mlproject.pipeline.external.policy import external_policy
from mlproject.pipeline.external.proxy import external_proxy
from mlproject.pipeline.external.reward import external_reward
from mlproject.pipeline.gold_rm import gold_rm
from mlproject.pipeline.initial_policy import initial_policy
from mlproject.pipeline.law import law
from mlproject.pipeline.members import auxiliary_start, check_start, variants
from mlproject.pipeline.policy_run import policy_run
from mlproject.pipeline.pool import pool
from mlproject.pipeline.proxy_rm import TEST, proxy_rm
from mlproject.pipeline.step import RunRef, Step
from mlproject.rewards.source import is_reward


@dataclass(frozen=True)
class Plan:
    """The steps of a study that are known before it starts; a search adds trials as it goes.

    Attributes:
        comparisons: gold-labelled pairs that the proxies learn from.
        pool: the initial policy's samples on the curve prompts.
        proxies: proxy RMs by (size, seed); none where no method needs one.
        policy_runs: one for each method, size and seed; of a method that needs no proxy, one for each seed.
        law: fitted to all policy runs.
    """

    comparisons: Step
    pool: Step
    proxies: dict[tuple[str, int], Step]
    policy_runs: list[Step]
    law: Step

    @property
    def steps(self) -> list[Step]:
        """All of them, apart from what they read."""
        return [self.pool, *self.proxies.values(), *self.policy_runs, self.law]


def plan_study(config: Config) -> Plan:
    """Plan a study: world -> policy -> gold -> comparisons -> proxies -> curves -> laws."""
    roots = plan_roots(config)
    largest_first = sorted(sizes_of(config), key=lambda size: -rm_parameters(size))
    sizes = largest_first if any(METHODS[method].needs_proxy for method in config.methods) else []
    proxies = {(size, seed): plan_proxy(config, roots, size, seed) for size in sizes for seed in config.seeds}
    runs = [
        plan_curve(config.replace(rm_size=size, seed=seed), method, roots=roots)
        for method in reversed(config.methods)
        for size in (largest_first if METHODS[method].needs_proxy else [config.rm_size])
        for seed in config.seeds
    ]
    return Plan(roots.comparisons, roots.pool, proxies, runs, law(config, runs))


def sizes_of(config: Config) -> Sequence[str]:
    """The reward models of a study by size; an ensemble of given checkpoints is called after its first member."""
    return [config.given_ensemble] if config.given_ensemble else config.rm_sizes


@dataclass(frozen=True)
class Roots:
    """The steps that all curves of a configuration share.

    Attributes:
        policy: the policy whose responses are compared; also the one that is optimized, unless `rm_policy_size` names
            another.
        gold: the gold RM, or what plays gold.
        comparisons: labelled pairs of responses.
        pool: samples of the optimized policy on the curve prompts, scored by gold.
    """

    policy: Step
    gold: Step
    comparisons: Step
    pool: Step


def plan_roots(config: Config) -> Roots:
    """Plan everything that the proxies read. For prompts and checkpoints of the user's own, this reads the files."""
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
    return _with_comparisons(config, policy, gold, optimized)


def _with_comparisons(config: Config, policy: Step, gold: Step | None, optimized: Step) -> Roots:
    """The roots, with comparisons by the user or by gold, and a pool scored by gold or by the test RM that plays it."""
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


def plan_proxy(config: Config, roots: Roots, size: str, seed: int) -> Step:
    """Plan what is optimized in the first round: one proxy RM, or with `reward` a reward made of it or of several."""
    return _with_cures(config, roots, roots.comparisons, size, seed, partial(_plan_member, config, roots))


def _with_cures(
    config: Config,
    roots: Roots,
    comparisons: Step,
    size: str,
    seed: int,
    one: Callable[..., Step],
    earlier: Sequence[Step] = (),
) -> Step:
    """One proxy RM, or a reward with cures that is made of several; `one` plans each by size, seed and variant."""
    cures = parse_reward(config.reward)
    check_start(config, size)
    if not cures:
        return one(size, seed, **variants(config, (), seed, 1)[0])
    members = plan_members(config, cures, size, seed, one, exists=_exists)
    name = config.given_ensemble or size
    optimized = roots.pool.inputs[Role.INITIAL_POLICY]
    return cured_rm(config, members, roots.policy, optimized, roots.gold, comparisons, name, seed, earlier)


def _plan_member(config: Config, roots: Roots, size: str, seed: int, variant: Mapping[str, Any] | None = None) -> Step:
    """Plan one proxy RM: trained on the comparisons, or an existing model, function or service, on gold's scale."""
    if is_reward(size):
        return external_reward(config, size, roots.policy, roots.gold, roots.comparisons, seed)
    if is_checkpoint(size) and (checkpoint := inspect_checkpoint(size, "rm_sizes")).is_reward_model:
        return external_proxy(config, checkpoint, size, roots.policy, roots.gold, seed)
    return proxy_rm(config, roots.comparisons, size, seed, gold=roots.gold, variant=variant)


def plan_curve(config: Config, method: str, prior: RunRef | None = None, roots: Roots | None = None) -> Step:
    """Plan the policy run of one method against one proxy (`rm_size`, `seed`), in one round or several.

    In each further round, responses of the policy as optimized so far are compared; a new proxy learns from these
    comparisons (and, with `rounds_data=all`, from those of all rounds before); against it the policy is optimized
    further, or (`rounds_from=initial`) anew.

    Args:
        config: the whole configuration.
        method: name of a registered method.
        prior: run of kind `law` whose curves the forecast starts from.
        roots: those of a configuration that differs in `rm_size`, `seed` and options of the methods at most; planned
            here where there are none.

    Raises:
        UserError: for several rounds of a method that trains no policy, and for a test RM that is optimized.
    """
    if config.rounds > 1 and not METHODS[method].trains_policy:
        raise UserError(
            f"rounds={config.rounds}: must be 1 for {method}, which trains no policy whose responses could be compared "
            "anew. Use rounds=1 or another method."
        )
    needs_proxy = METHODS[method].needs_proxy
    if needs_proxy and config.test_rms:
        _check_test_rms(config)
    if config.rounds > 1 and needs_proxy and is_reward(config.rm_size):
        raise UserError(
            f"rounds={config.rounds}: must be 1 for {config.rm_size}, which learns from no comparisons. Use rounds=1, "
            "or an rm_size that is trained here."
        )
    roots = roots or plan_roots(config)
    rounds = [roots.comparisons]
    run: Step | None = None
    for round in range(1, config.rounds + 1):
        if run is not None:
            rounds.append(comparisons(config, roots.policy, roots.gold, run, round))
        earlier = rounds[:-1] if config.rounds_data == "all" else []
        proxy: Step | None = None
        if needs_proxy and run is None:
            proxy = plan_proxy(config, roots, config.rm_size, config.seed)
        elif needs_proxy:
            later = partial(proxy_rm, config, rounds[-1], earlier=earlier)
            proxy = _with_cures(config, roots, rounds[-1], config.rm_size, config.seed, later, earlier)
        auxiliary = auxiliary_rms(config if needs_proxy else config.replace(ensemble=0), roots, rounds[-1], earlier)
        run = policy_run(
            config, proxy, roots.pool, method, config.seed, run, round, prior,
            auxiliary_rms=auxiliary, comparisons=[*earlier, rounds[-1]],
        )  # fmt: skip
    assert run is not None  # there is at least one round
    return run


def auxiliary_rms(config: Config, roots: Roots, comparisons: Step, earlier: Sequence[Step] = ()) -> dict[str, Step]:
    """Plan the auxiliary RMs of one proxy (`rm_size`, `seed`): its test RMs, and an ensemble of the next seeds.

    A test RM learns from the half of the comparisons that the proxy does not see; an existing one is used as it is.
    With `rm_start=policy` those of the policy's size start from its trunk, as the proxy does.

    Returns:
        steps by role; none where neither `test_rms` nor `ensemble` asks for any.

    Raises:
        UserError: for an ensemble of an existing reward model, which has no further seeds, or two test RMs of one name.
    """
    size, seed = config.rm_size, config.seed
    if config.ensemble and _exists(size):
        raise UserError(
            f"ensemble={config.ensemble}: must be 0 for {size}, an existing reward that has no further seeds. "
            "Use ensemble=0 or an rm_size that is trained here."
        )
    rms: dict[str, Step] = {}
    for test_size in dict.fromkeys(size if name == "same" else name for name in config.test_rms):
        role = RolePrefix.TEST_RM + _role_name(test_size)
        if role in rms:
            raise UserError(
                f"test_rms={test_size}: the last part of its path must differ from those of the other test RMs. Rename "
                "a folder."
            )
        rms[role] = (
            _plan_member(config, roots, test_size, seed)
            if _exists(test_size)
            else proxy_rm(
                config,
                comparisons,
                test_size,
                seed,
                earlier,
                TEST,
                roots.gold,
                variant=auxiliary_start(config, test_size, seed),
            )
        )
    for member_seed in range(seed + 1, seed + 1 + config.ensemble):
        rms[f"{RolePrefix.MEMBER}{member_seed}"] = proxy_rm(
            config, comparisons, size, member_seed, earlier, gold=roots.gold,
            variant=auxiliary_start(config, size, member_seed),
        )  # fmt: skip
    return rms


def _check_test_rms(config: Config) -> None:
    """Refuse to test a reward by itself: its gap to the proxy would be 0."""
    given = config.ensemble_checkpoints if config.given_ensemble else (config.rm_size,)
    optimized = {_identity(name) for name in given if _exists(name)}
    for name in config.test_rms:
        if _identity(size := config.rm_size if name == "same" else name) in optimized:
            raise UserError(
                f"test_rms={name}: must be another reward model than {size}, which exists already and is optimized, so "
                "that it cannot learn from the other half of the comparisons. Give another size or checkpoint."
            )


def _identity(size: str) -> str:
    """What is the same for two ways to write the path of one checkpoint."""
    return inspect_checkpoint(size, "rm_sizes").digest if is_checkpoint(size) else size


def _exists(size: str) -> bool:
    """Whether a size names an existing reward model, a function or a service."""
    return is_reward(size) or (is_checkpoint(size) and inspect_checkpoint(size, "rm_sizes").is_reward_model)


def _role_name(size: str) -> str:
    """A size as part of a role and of metric names: of a checkpoint, the last part of its path."""
    return re.sub(r"[^\w.-]", "-", re.split(r"[/\\]", size.rstrip("/\\"))[-1])
