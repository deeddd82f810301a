"""The options that all on-policy methods share. Free of torch, as are those of each method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mlproject.cures import parse_reward
from mlproject.cures.mean import CURE as MEAN
from mlproject.optimization.method_config import FORECAST, STOPS, TrainedPolicyConfig, Work
from mlproject.options.declaration import BrokenRule, Form, option

if TYPE_CHECKING:
    from mlproject.options.study import StudyOptions

OFF, REWARD, LOSS, CORRECTED_LOSS = "off", "reward", "loss", "corrected-loss"
MEMBERS = "members"
K1, K2, K3, SQRT_CHI2 = "k1", "k2", "k3", "sqrt-chi2"
_PENALTY, _CONSTRAINT = "KL penalty", "Constrained optimization"

LARGEST_ERROR = 0.2
"""Of the controller of kl_coef, as a share of its target (Ziegler et al. 2019, section 2.2)."""


def _is_nats(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _are_scores(text: str) -> bool:
    try:
        return all(abs(float(part)) <= _LARGEST_SCORE for part in text.split(","))
    except ValueError:
        return False


_LARGEST_SCORE = 1000.0


@dataclass(frozen=True, kw_only=True)
class OnPolicyConfig(TrainedPolicyConfig):
    """Options of every on-policy method: rollouts, gradient steps, curve points and their budget.

    They are named after PPO, which had them first, so that one command gives all methods the same budget.
    """

    HEADING: ClassVar[str] = "On-policy methods"
    GROUP_OPTION: ClassVar[str] = ""
    """Option that says how many responses of an update belong to one prompt; empty: one."""

    kl_coef: float = option("KL penalty, gold standard deviations per nat", minimum=0, maximum=100)
    ppo_updates: int = option("updates of a run: its budget", minimum=1, maximum=1_000_000)
    ppo_batch_size: int = option("rollouts per update", minimum=2, maximum=1_000_000)
    ppo_epochs: int = option("passes over the rollouts of an update", minimum=1, maximum=100)
    ppo_minibatches: int = option("gradient steps per pass", minimum=1, maximum=1_000_000)
    ppo_lr: float = option("learning rate of the policy", minimum=1e-9, maximum=1)
    ppo_clip: float = option("clip range of the probability ratio", minimum=0.001, maximum=10)
    ppo_eval_first: int = option(
        "updates at the beginning of a run that are all measured", minimum=0, maximum=1_000_000
    )
    ppo_eval_every: int = option("updates between two curve points after these", minimum=1, maximum=1_000_000)
    eval_samples: int = option("responses per curve prompt at each curve point", minimum=1, maximum=1000)
    stop: str = option(
        "when a run ends: after ppo_updates (budget), once the forecast says that the peak is past (forecast), or at "
        "the KL budget of the registered proxy (kl-budget)",
        choices=STOPS,
        heading="Stopping",
    )
    ppo_rollout_batch: int = option(
        "rollouts sampled at a time, and shared between processes; 0: all at once, by one process",
        default=0,
        minimum=0,
        maximum=1_000_000,
    )
    ppo_mixed_precision: str = option("precision of the gradient passes", default="no", choices=("no", "bf16"))
    lora_rank: int = option(
        "rank of the adapters that are trained instead of the whole policy; 0: no adapters",
        default=0,
        minimum=0,
        maximum=4096,
    )
    kl_in: str = option(
        "where the penalty of kl_coef stands: in the reward of each token, in the loss, or there times the probability "
        "ratio to the policy that sampled (corrected-loss; TRL's use_bias_correction_kl)",
        default=REWARD,
        choices=(REWARD, LOSS, CORRECTED_LOSS),
        heading=_PENALTY,
    )
    kl_estimator: str = option(
        "what the penalty measures on sampled tokens: an estimator of KL, or the square root of the chi-squared "
        "divergence of whole responses",
        default=K1,
        choices=(K1, K2, K3, SQRT_CHI2),
        heading=_PENALTY,
    )
    kl_target: str = option(
        "KL from the reference at which a controller holds the policy, by moving kl_coef; forecast: where gold is "
        "forecast to peak",
        default=OFF,
        choices=(OFF, FORECAST),
        form=Form("a number of nats above 0", _is_nats),
        heading=_PENALTY,
    )
    kl_horizon: int = option(
        "rollouts in which that controller changes kl_coef by a fifth",
        default=1000,
        minimum=1,
        maximum=1_000_000_000,
        heading=_PENALTY,
    )
    reference_reset: int = option(
        "updates after which the penalty is measured from the policy of that moment; 0: always from the initial policy",
        default=0,
        minimum=0,
        maximum=1_000_000,
        heading=_PENALTY,
    )
    reward_threshold: str = option(
        "proxy score above the initial policy's at which the proxy is held by a learned multiplier, gold standard "
        "deviations (one number for each of several terms); forecast: that of the forecast peak of gold",
        default=OFF,
        choices=(OFF, FORECAST),
        form=Form("a number, or several with commas between them", _are_scores),
        heading=_CONSTRAINT,
    )
    reward_terms: str = option(
        "what is held there: the reward, or each member of reward=mean, with a multiplier of its own",
        default=REWARD,
        choices=(REWARD, MEMBERS),
        heading=_CONSTRAINT,
    )
    multiplier_lr: float = option(
        "change of a multiplier in an update, per standard deviation between threshold and proxy",
        default=0.02,
        minimum=1e-6,
        maximum=10,
        heading=_CONSTRAINT,
    )
    gradient_penalty: float = option(
        "strength of gradient regularization, half of the squared norm of the gradient; it doubles the gradient passes",
        default=0.0,
        minimum=0,
        maximum=1,
    )

    @property
    def last_step(self) -> int:
        return self.ppo_updates

    @property
    def work(self) -> Work:
        """Gradient regularization doubles the gradient passes."""
        passes = self.ppo_epochs * (2 if self.gradient_penalty else 1)
        return Work(self.ppo_batch_size, self.ppo_batch_size, self.ppo_batch_size * passes)

    @property
    def variant(self) -> str:
        """How the penalty differs from that of PPO as it is published."""
        penalty = [
            f"KL {self.kl_coef:g}" if self.kl_coef else "",
            {REWARD: "", LOSS: "in loss", CORRECTED_LOSS: "in loss, corrected"}[self.kl_in],
            "" if self.kl_estimator == K1 else self.kl_estimator,
            "" if self.kl_target == OFF else f"to {self.kl_target}",
            f"reset {self.reference_reset}" if self.reference_reset else "",
            "" if self.reward_threshold == OFF else f"hold {self.reward_threshold}",
            "of members" if self.reward_terms == MEMBERS else "",
            f"GR {self.gradient_penalty:g}" if self.gradient_penalty else "",
        ]
        return " ".join(filter(None, penalty))

    @property
    def revision(self) -> int:
        """1 with a threshold, which since counts from the initial policy's score."""
        return 0 if self.reward_threshold == OFF else 1

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The numbers of `reward_threshold`, which has some."""
        return tuple(map(float, self.reward_threshold.split(",")))

    @property
    def process_limit(self) -> tuple[int, str]:
        """Processes share rollouts by shards, and minibatches by rollouts."""
        batch, size, minibatches = self.ppo_batch_size, self.ppo_rollout_batch, self.ppo_minibatches
        shards = -(-batch // size) if size else 1
        if shards <= batch // minibatches:
            return shards, f"ppo_rollout_batch={size} with ppo_batch_size={batch}"
        return batch // minibatches, f"ppo_minibatches={minibatches} with ppo_batch_size={batch}"

    def broken_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """A minibatch needs a rollout, an update whole groups, and a run a curve point."""
        size, batch = getattr(self, self.GROUP_OPTION, 1), self.ppo_batch_size
        if batch % size:
            yield BrokenRule(
                self.GROUP_OPTION,
                f"divide ppo_batch_size={batch}, so that every prompt has all its responses",
                f"Use ppo_batch_size={size * max(1, round(batch / size))}, or another group size.",
            )
        if self.ppo_minibatches > self.ppo_batch_size:
            yield BrokenRule(
                "ppo_minibatches",
                f"be at most ppo_batch_size={self.ppo_batch_size}",
                "Use fewer minibatches or a larger batch.",
            )
        if self.ppo_eval_every > self.ppo_updates:
            yield BrokenRule(
                "ppo_eval_every", f"be at most ppo_updates={self.ppo_updates}", "Measure more often or run longer."
            )
        yield from self._penalty_rules()
        if self.reward_threshold != OFF:
            yield from self._constraint_rules(config)

    def _penalty_rules(self) -> Iterator[BrokenRule]:
        """A controller needs a coefficient that stays above 0, and a target that is measured from where KL is."""
        if self.kl_target != OFF and (least := LARGEST_ERROR * self.ppo_batch_size) >= self.kl_horizon:
            yield BrokenRule(
                "kl_horizon",
                f"be above {least:g}, a fifth of ppo_batch_size={self.ppo_batch_size}, so that no update turns kl_coef "
                "negative",
                "Use a longer horizon, or fewer rollouts.",
            )
        if self.kl_target == FORECAST and self.reference_reset:
            yield BrokenRule(
                "reference_reset",
                f"be 0 where kl_target={FORECAST}, which is a KL from the initial policy",
                "Give kl_target as a number of nats, or remove the option.",
            )
        if self.kl_in == CORRECTED_LOSS and self.kl_estimator == SQRT_CHI2:
            yield BrokenRule(
                "kl_in",
                f"be {REWARD} or {LOSS} where kl_estimator={SQRT_CHI2}, which is no sum over tokens",
                "Use kl_in=loss, or another estimator.",
            )

    def _constraint_rules(self, config: StudyOptions) -> Iterator[BrokenRule]:
        """Terms of their own are those of a mean, and every term has a threshold."""
        sizes = [1]
        if self.reward_terms == MEMBERS:
            rewards = (config.reward, *config.search_rewards)
            other = next((text for text in rewards if parse_reward(text)[-1:] != (MEAN,)), "")
            sizes = [config.ensemble_size, *config.search_ensemble_members]
            if other:
                yield BrokenRule(
                    "reward_terms",
                    f"be {REWARD} where a reward is {other}, since what is optimized is a mean of the members, by "
                    "weights",
                    f"Give reward={MEAN.name}, and nothing else in search_rewards, or remove the option.",
                )
            if self.reward_threshold == FORECAST:
                yield BrokenRule(
                    "reward_terms",
                    f"be {REWARD} where reward_threshold={FORECAST}, which is one number",
                    "Give thresholds as numbers, or remove the option.",
                )
        count = 1 if self.reward_threshold == FORECAST else len(self.thresholds)
        if count > 1 and (wrong := next((size for size in sizes if size != count), 0)):
            yield BrokenRule(
                "reward_threshold",
                f"be one number, or one for each of the terms, of which there {'is' if wrong == 1 else 'are'} {wrong}",
                "Correct the list.",
            )

    def warnings(self, config: StudyOptions) -> Iterator[str]:
        """A penalty without a coefficient does nothing, nor does a multiplier without a threshold."""
        if self.reward_threshold == OFF:
            for name, default in (("reward_terms", REWARD), ("multiplier_lr", 0.02)):
                if (value := getattr(self, name)) != default:
                    yield (
                        f"{name}={value}: makes no difference where reward_threshold is {OFF}. Give "
                        "reward_threshold, or remove the option."
                    )
        if self.kl_target == OFF and self.kl_horizon != 1000:
            yield (
                f"kl_horizon={self.kl_horizon}: makes no difference where kl_target is {OFF}. Give kl_target, or "
                "remove the option."
            )
        if self.kl_coef:
            if self.kl_in == LOSS and self.kl_estimator == K1:
                yield (
                    f"kl_in={LOSS}: makes no difference on average with kl_estimator={K1}, whose gradient is 0 in "
                    f"expectation. Use kl_estimator={K2}, or kl_in={CORRECTED_LOSS}."
                )
            return
        is_searched = isinstance(config.of_method(config.searched_method), OnPolicyConfig)
        if is_searched and config.n_trials and any(config.search_kl_coefs):  # trials have coefficients of their own
            return
        for name, off in (("kl_in", REWARD), ("kl_estimator", K1), ("kl_target", OFF), ("reference_reset", 0)):
            if (value := getattr(self, name)) != off:
                yield f"{name}={value}: makes no difference where kl_coef is 0. Give kl_coef, or remove the option."
