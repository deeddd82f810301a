"""Metrics of runs."""

from __future__ import annotations

from typing import Final

from mlproject.names.table import NameTable

METRICS: Final = NameTable()
CHECKPOINT_METRICS: Final = NameTable()

_SD, _NATS, COUNT, _SHARE, _SECONDS = "standard deviations", "nats", "count", "share", "seconds"
EVERY_POINT = "policy runs, trainer runs, fits: every point"
_FORECAST = "PPO runs, trainer runs: every point; fits: once"
_END = "policy runs, trainer runs: at the end"
_LAW = "policy runs, trainer runs, fits: at the end"
_COMPARE = "policy runs of `compare`"
_WINS = "policy runs, trainer runs: every point"
_VALIDATED = f"proxy RMs, test RMs, {_COMPARE}"
_MAIN = "studies of `main`, `compare`, where there is a recommendation"


class Metric:
    """Metrics of runs."""

    CURVE_KL: Final = METRICS.add(
        "curve/kl", "KL from the initial policy, summed over a response's tokens", EVERY_POINT, _NATS
    )
    CURVE_SQRT_KL: Final = METRICS.add(
        "curve/sqrt_kl", "its square root, the distance d", EVERY_POINT, "square-root nats"
    )
    CURVE_PROXY: Final = METRICS.add("curve/proxy", "proxy score above the initial policy's", EVERY_POINT, _SD)
    CURVE_PROXY_SE: Final = METRICS.add("curve/proxy_se", "its standard error over prompts", EVERY_POINT, _SD)
    CURVE_GOLD: Final = METRICS.add("curve/gold", "gold score above the initial policy's", EVERY_POINT, _SD)
    CURVE_GOLD_SE: Final = METRICS.add("curve/gold_se", "its standard error over prompts", EVERY_POINT, _SD)
    CURVE_HUMAN: Final = METRICS.add(
        "curve/human",
        "human judgement above the initial policy's",
        "policy runs of the embedded world: every point",
        _SD,
    )
    CURVE_WIN_RATE: Final = METRICS.add(
        "curve/win_rate",
        "probability that a response beats one of the initial policy to the same prompt, by gold; ties are half",
        _WINS, "probability", "0.2.0",
    )  # fmt: skip
    CURVE_WIN_RATE_SE: Final = METRICS.add(
        "curve/win_rate_se", "its standard error over prompts", _WINS, "probability", "0.2.0"
    )
    CURVE_PEAK: Final = METRICS.add(
        "curve/peak", "gold at the curve's highest point, logged at its step alone: charts show it as a dot",
        "policy runs: at the end", _SD, "0.2.0",
    )  # fmt: skip
    FORECAST_PEAK_KL: Final = METRICS.add("forecast/peak_kl", "KL at which gold is expected to peak", _FORECAST, _NATS)
    FORECAST_PEAK_KL_LOW: Final = METRICS.add("forecast/peak_kl_low", "95 % interval, lower end", _FORECAST, _NATS)
    FORECAST_PEAK_KL_HIGH: Final = METRICS.add("forecast/peak_kl_high", "95 % interval, upper end", _FORECAST, _NATS)
    FORECAST_PEAK_GOLD: Final = METRICS.add("forecast/peak_gold", "gold score expected at the peak", _FORECAST, _SD)
    FORECAST_PEAK_GOLD_LOW: Final = METRICS.add("forecast/peak_gold_low", "95 % interval, lower end", _FORECAST, _SD)
    FORECAST_PEAK_GOLD_HIGH: Final = METRICS.add("forecast/peak_gold_high", "95 % interval, upper end", _FORECAST, _SD)
    FORECAST_P_PAST_PEAK: Final = METRICS.add(
        "forecast/p_past_peak", "P(past peak): the peak lies at a smaller KL", _FORECAST, "probability"
    )
    FORECAST_LOSES_BEYOND_KL: Final = METRICS.add(
        "forecast/loses_beyond_kl", "KL beyond which further optimization is expected to lose gold", _FORECAST, _NATS
    )
    FORECAST_GOLD_RESPONSES: Final = METRICS.add(
        "forecast/gold_responses", "gold-scored responses that the forecast rests on", _FORECAST, COUNT
    )
    FORECAST_P_FIT: Final = METRICS.add(
        "forecast/lack_of_fit_p", "below .05 neither noise nor misfit explains the points, and nothing is quoted",
        _FORECAST, "probability", since="0.2.0",
    )  # fmt: skip
    PEAK_GOLD: Final = METRICS.add(
        "peak/gold", "gold at the peak: chosen on one half of the prompts, scored on the other", _END, _SD
    )
    PEAK_GOLD_SE: Final = METRICS.add("peak/gold_se", "its standard error over prompts", _END, _SD)
    PEAK_KL: Final = METRICS.add("peak/kl", "KL at the peak", _END, _NATS)
    PEAK_STEP: Final = METRICS.add("peak/step", "n (best-of-n) or update (PPO) at the peak", _END, "step")
    PEAK_WIN_RATE: Final = METRICS.add(
        "peak/win_rate", "win rate at the peak of gold", "policy runs: at the end", "probability", "0.2.0"
    )
    DROP_GOLD: Final = METRICS.add("drop/gold", "gold lost from the peak to the last point", _END, _SD)
    DROP_GOLD_SE: Final = METRICS.add("drop/gold_se", "its standard error, paired over prompts", _END, _SD)
    LAW_ALPHA: Final = METRICS.add("law/alpha", "fitted coefficient a", _LAW, "standard deviations per square-root nat")
    LAW_BETA: Final = METRICS.add(
        "law/beta",
        "fitted coefficient b of R(d) = d(a - b d), best-of-n, or R(d) = d(a - b log d), RL",
        _LAW,
        "standard deviations per nat (best-of-n) or per square-root nat (RL)",
    )
    LAW_RMSE: Final = METRICS.add("law/rmse", "root mean squared error of the fit", _LAW, _SD)
    LAW_R2: Final = METRICS.add("law/r2", "coefficient of determination of the fit", _LAW, _SHARE)
    LAW_PEAK_KL: Final = METRICS.add("law/peak_kl", "KL at the fitted law's peak", _LAW, _NATS)
    LAW_PEAK_GOLD: Final = METRICS.add("law/peak_gold", "gold at the fitted law's peak", _LAW, _SD)
    LAW_WIN_ALPHA: Final = METRICS.add(
        "law/win_alpha", "coefficient a of the same law, fitted to the win rate above one half",
        "policy runs: at the end", "per square-root nat", "0.2.0",
    )  # fmt: skip
    LAW_WIN_BETA: Final = METRICS.add(
        "law/win_beta", "its coefficient b", "policy runs: at the end", "per nat or per square-root nat", "0.2.0"
    )
    LAW_WIN_RMSE: Final = METRICS.add(
        "law/win_rmse", "root mean squared error of that fit", "policy runs: at the end", "probability", "0.2.0"
    )
    LAW_WIN_PEAK_KL: Final = METRICS.add("law/win_peak_kl", "KL at its peak", "policy runs: at the end", _NATS, "0.2.0")
    LAW_WIN_PEAK: Final = METRICS.add(
        "law/win_peak", "win rate at its peak", "policy runs: at the end", "probability", "0.2.0"
    )
    ROUND_SQRT_KL_SUM: Final = METRICS.add(
        "round/sqrt_kl_sum", "distances of all rounds so far, added up", "policy runs: at the end", "square-root nats"
    )
    SFT_LOSS: Final = METRICS.add(
        "sft/loss", "training loss of the last steps", "trained initial policies", "nats per token"
    )
    RM_PARAMS: Final = METRICS.add(
        "rm/params",
        "parameters of the proxy: the param `rm_params` as a number, which lists of runs can be sorted by",
        "policy runs, when they are opened",
        COUNT,
        "0.2.0",
    )
    RM_TRAIN_LOSS: Final = METRICS.add(
        "rm/train_loss", "training loss of the last steps", "trained reward models", "nats per comparison"
    )
    RM_VAL_ACCURACY: Final = METRICS.add(
        "rm/val_accuracy", "held-out comparisons ordered as labelled; ties count half", _VALIDATED, _SHARE
    )
    RM_VAL_LOSS: Final = METRICS.add(
        "rm/val_loss", "Bradley-Terry loss on held-out comparisons", _VALIDATED, "nats per comparison"
    )
    RM_VAL_LOSS_CALIBRATED: Final = METRICS.add(
        "rm/val_loss_calibrated",
        "the same after scaling, against gold's soft labels",
        _VALIDATED,
        "nats per comparison",
    )
    RM_GOLD_ACCURACY: Final = METRICS.add(
        "rm/gold_accuracy",
        "pairs ordered as gold does, where gold did not label the comparisons",
        "proxy RMs, test RMs",
        _SHARE,
    )
    RM_ECE: Final = METRICS.add("rm/ece", "expected calibration error after scaling", _VALIDATED, "probability")
    RM_SCALE: Final = METRICS.add(
        "rm/scale", "factor that puts raw scores on gold's scale", _VALIDATED, "standard deviations per raw unit"
    )
    RM_FORWARD_PASSES: Final = METRICS.add(
        "rm/forward_passes", "reward models that read each response", "rewards with cures", COUNT, since="0.2.0"
    )
    RM_PAIRS: Final = METRICS.add("rm/pairs", "pairs that `rm/val_accuracy` is of", _COMPARE, COUNT, since="0.2.0")
    BEST_OF_K_ACCURACY: Final = METRICS.add(
        "best_of_k/accuracy", "prompts whose best response by the reward model is right; ties share",
        f"{_COMPARE}, where gold is 1 and 0", _SHARE, since="0.2.0",
    )  # fmt: skip
    RM_ACCURACY_BROAD: Final = METRICS.add(
        "rm/accuracy_broad",
        "agreement with human judgement on the held-out part of the training mix",
        "trained gold RMs",
        _SHARE,
    )
    RM_LOSS_BROAD: Final = METRICS.add(
        "rm/loss_broad", "Bradley-Terry loss there", "trained gold RMs", "nats per comparison"
    )
    RM_ECE_BROAD: Final = METRICS.add(
        "rm/ece_broad", "expected calibration error there", "trained gold RMs", "probability"
    )
    RM_ACCURACY_INITIAL_POLICY: Final = METRICS.add(
        "rm/accuracy_initial_policy",
        "agreement with human judgement on the initial policy's pairs",
        "trained gold RMs",
        _SHARE,
    )
    RM_LOSS_INITIAL_POLICY: Final = METRICS.add(
        "rm/loss_initial_policy", "Bradley-Terry loss there", "trained gold RMs", "nats per comparison"
    )
    RM_ECE_INITIAL_POLICY: Final = METRICS.add(
        "rm/ece_initial_policy", "expected calibration error there", "trained gold RMs", "probability"
    )
    SAMPLES_PROMPTS: Final = METRICS.add("samples/prompts", "prompts in use", "scored samples", COUNT, since="0.2.0")
    SAMPLES_RESPONSES: Final = METRICS.add(
        "samples/responses", "scored responses in use", "scored samples", COUNT, since="0.2.0"
    )
    COMPARISONS_COUNT: Final = METRICS.add("comparisons/count", "comparisons", "comparisons", COUNT)
    COMPARISONS_HELD_OUT: Final = METRICS.add("comparisons/held_out", "of them held out", "comparisons", COUNT)
    COMPARISONS_TIES_DROPPED: Final = METRICS.add(
        "comparisons/ties_dropped",
        "pairs dropped because gold scores both alike, or a user's file says that neither won",
        "comparisons",
        COUNT,
    )
    COMPARISONS_DROPPED: Final = METRICS.add(
        "comparisons/dropped",
        "valid rows or pairs of the file that make no comparison: ties, equal or empty responses, see `read_as`",
        "imported comparisons",
        COUNT,
        "0.2.0",
    )
    COMPARISONS_ROWS_SKIPPED: Final = METRICS.add(
        "comparisons/rows_skipped", "rows of the file that were left out", "imported comparisons", COUNT
    )
    POOL_GOLD_MEAN: Final = METRICS.add("pool/gold_mean", "mean gold score of the samples", "pools", _SD)
    POOL_GOLD_STD: Final = METRICS.add("pool/gold_std", "standard deviation of the gold scores", "pools", _SD)
    POOL_DISTINCT: Final = METRICS.add("pool/distinct", "distinct samples among all", "pools", _SHARE)
    POOL_MEAN_LENGTH: Final = METRICS.add("pool/mean_length", "mean length of the samples", "pools", "tokens")
    POOL_GOLD_HUMAN_CORRELATION: Final = METRICS.add(
        "pool/gold_human_correlation",
        "correlation of gold score and human judgement",
        "pools of the embedded world",
        "correlation",
    )
    PROBE_WORST_GAIN: Final = METRICS.add(
        "probe/worst_gain", "largest mean gain of a cheap change of responses", "probes", _SD, "0.2.0"
    )
    PROBE_WORST_EXCESS: Final = METRICS.add(
        "probe/worst_excess", "largest mean gain beyond gold's on the same responses", "probes", _SD, "0.2.0"
    )
    SAMPLER_KL: Final = METRICS.add(
        "pool/sampler_kl",
        "mean log-probability by whoever sampled less that by the policy's weights: estimates KL(sampler || policy)",
        "pools from elsewhere, best-of-n runs on them",
        _NATS,
        "0.2.0",
    )
    SAMPLER_KL_SE: Final = METRICS.add(
        "pool/sampler_kl_se", "its standard error over responses", "pools from elsewhere", _NATS, "0.2.0"
    )
    SAMPLER_GAP: Final = METRICS.add(
        "pool/sampler_gap", "mean absolute difference of the two", "pools from elsewhere", _NATS, "0.2.0"
    )
    SAMPLER_CHECKED: Final = METRICS.add(
        "pool/sampler_checked", "responses that were compared", "pools from elsewhere", COUNT, "0.2.0"
    )
    GOLD_CENTRE: Final = METRICS.add(
        "gold/centre", "mean raw score of the initial policy's responses", "imported gold RMs", "raw units"
    )
    GOLD_SD: Final = METRICS.add("gold/sd", "standard deviation of those scores", "imported gold RMs", "raw units")
    GOLD_TIES: Final = METRICS.add("gold/ties", "pairs that it scores alike", "imported gold RMs", _SHARE)
    PROMPTS_ROWS_SKIPPED: Final = METRICS.add(
        "prompts/rows_skipped", "rows of the file that were left out", "imported initial policies", COUNT
    )
    PROMPTS_TOO_LONG: Final = METRICS.add(
        "prompts/too_long", "prompts longer than `max_prompt_tokens`", "imported initial policies", COUNT
    )
    AUDIT_GOLD: Final = METRICS.add("audit/gold", "gold score at the peak on the `audit` prompts", "audits", _SD)
    AUDIT_GOLD_SE: Final = METRICS.add("audit/gold_se", "its standard error over prompts", "audits", _SD)
    AUDIT_PROXY: Final = METRICS.add("audit/proxy", "proxy score there", "audits", _SD)
    AUDIT_KL: Final = METRICS.add("audit/kl", "KL there", "audits", _NATS)
    AUDIT_STEP: Final = METRICS.add("audit/step", "n or update of the peak", "audits", "step")
    TRIALS_COMPLETE: Final = METRICS.add("trials/complete", "complete trials", "searches", COUNT)
    TRIALS_PRUNED: Final = METRICS.add(
        "trials/pruned", "trials ended early because they could not win", "searches", COUNT
    )
    TRIALS_REUSED: Final = METRICS.add(
        "trials/reused", "trials whose policy run existed already", "searches", COUNT, since="0.2.0"
    )
    TRIALS_UPDATES: Final = METRICS.add("trials/updates", "PPO updates that the search made", "searches", COUNT)
    BEST_PEAK_GOLD: Final = METRICS.add("best/peak_gold", "peak gold of the best trial", "searches", _SD)
    BEST_KL_COEF: Final = METRICS.add(
        "best/kl_coef", "KL coefficient of the best trial", "searches", "standard deviations per nat"
    )
    BEST_BETA: Final = METRICS.add("best/align_beta", "its beta", "searches of direct alignment", "1", since="0.2.0")
    GATES_PASSED: Final = METRICS.add("gates/passed", "1 if all gates hold, else 0", "promotions", "0 or 1")
    CANDIDATES: Final = METRICS.add("candidates", "candidates that were compared", "promotions", COUNT)
    CANDIDATE_PEAK_GOLD: Final = METRICS.add("candidate/peak_gold", "peak gold of the candidate", "promotions", _SD)
    RECOMMENDED_GOLD: Final = METRICS.add(
        "recommendation/gold",
        "gold that a run of the recommended setting is expected to reach",
        _MAIN,
        _SD,
        since="0.2.0",
    )
    RECOMMENDED_HUMAN: Final = METRICS.add(
        "recommendation/human", "human judgement there, in a world that has it", _MAIN, _SD, since="0.2.0"
    )
    RECOMMENDED_KL: Final = METRICS.add(
        "recommendation/kl", "KL at which the recommended setting stops", _MAIN, _NATS, since="0.2.0"
    )
    MONITOR_SECONDS: Final = METRICS.add(
        "monitor/seconds", "time of this measurement", "trainer runs: every point", _SECONDS
    )
    MONITOR_SHARE: Final = METRICS.add(
        "monitor/share", "share of the training's time that measuring took", "trainer runs: every point", _SHARE
    )
    MONITOR_PROMPTS: Final = METRICS.add(
        "monitor/prompts", "held-out prompts in use", "trainer runs: every point", COUNT
    )
    MONITOR_EVERY: Final = METRICS.add(
        "monitor/every", "optimizer steps between measurements", "trainer runs: every point", "steps"
    )


class CheckpointMetric:
    """Metrics of logged models, on the data set `curve`: MLflow can search models by them."""

    GOLD: Final = CHECKPOINT_METRICS.add("gold", "gold score above the initial policy's", unit=_SD)
    GOLD_SE: Final = CHECKPOINT_METRICS.add("gold_se", "its standard error over prompts", unit=_SD)
    PROXY: Final = CHECKPOINT_METRICS.add("proxy", "proxy score above the initial policy's", unit=_SD)
    KL: Final = CHECKPOINT_METRICS.add("kl", "KL from the initial policy", unit=_NATS)
