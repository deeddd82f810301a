"""Params of runs that are no options of the configuration."""

from __future__ import annotations

from typing import Final

from mlproject.names.table import NameTable

PARAMS: Final = NameTable()

_POLICY, _RM = "policy runs", "proxy RMs, test RMs"
_FILES = "imports from files"

for _name, _meaning, _when, _unit in (
    ("entry_point", "the command", "studies", ""),
    ("preset", "the preset", "studies", ""),
    ("method", "the method; its own options follow", "policy runs, audits, promotions, fits", ""),
    ("rm_params", "parameters of the reward model", "reward models, policy runs, audits", "count"),
    ("policy_params", "parameters of the policy", "initial policies", "count"),
    ("vocabulary", "size of the vocabulary", "initial policies", "tokens"),
    ("layout", "how prompt and response are joined", "imported initial policies", ""),
    ("held_out", "comparisons that `rm/val_*` are measured on", _RM, "count"),
    ("half", "`train` or `test`: which half of the comparisons it learns from", _RM, ""),
    ("plays_gold", "whether a test RM plays gold", "test RMs", ""),
    ("earlier", "earlier rounds whose comparisons it learns from, too", _RM, "count"),
    ("rm_checkpoint", "checkpoint that it is, or starts from", _RM, ""),
    ("rm_sha256", "digest of that checkpoint", _RM, ""),
    ("split", "split of the prompts, where it is not `curve`", "pools", ""),
    ("round", "round of comparisons and optimization, from the second on", "comparisons, policy runs", ""),
    ("witnesses", "roles of the auxiliary reward models, separated by commas", _POLICY, ""),
    ("forecast_prior", "law run whose priors the forecast starts from", _POLICY, ""),
    ("kl_budget", "KL at which the run ends", _POLICY, "nats"),
    ("policy_sha256", "digest of the policy's checkpoint", "imported initial policies", ""),
    ("gold_sha256", "digest of the checkpoint that plays gold", "imported gold RMs", ""),
    ("function_sha256", "digest of the file of the function that plays gold", "imported gold RMs", ""),
    ("prompts_path", "file of the prompts", _FILES, ""),
    ("prompts_sha256", "digest of that file", _FILES, ""),
    ("preferences_path", "file of the comparisons", _FILES, ""),
    ("preferences_sha256", "digest of that file", _FILES, ""),
    ("refused_by", "models, beside the policy, whose chat templates refuse rows that were left out", _FILES, ""),
    ("refused_by_sha256", "digests of these models", _FILES, ""),
    ("curves", "JSON: method, RM size, RM parameters and seed of every curve", "laws", ""),
    ("policy_run", "JSON: options that all trials share", "searches", ""),
    ("name", "name of the experiment's file", "experiments", ""),
    ("finding", "what the experiment is about", "experiments", ""),
    ("cells", "policy runs of the grid", "experiments", "count"),
    ("grid", "digest of their fingerprints", "experiments", ""),
    ("shown", "JSON: figure and table of the experiment's file", "experiments", ""),
    ("gates", "digest of the gates", "promotions", ""),
    ("champion_before", "version that was champion, or `none`", "promotions", ""),
    ("dry_run", "whether the registry is left as it is", "promotions", ""),
    ("invocation", "run id of the command", "rollbacks", ""),
    ("points", "digest of the points", "fits", ""),
    ("curve", "file or run id that the points were read from", "fits", ""),
    ("columns", "which column or metric is what", "fits, scored samples", ""),
    ("gold_sd", "standard deviation of the initial policy's gold, in the curve's units", "fits", "units of the curve"),
    ("gold_start", "mean of the initial policy's gold, in the curve's units", "fits", "units of the curve"),
):
    PARAMS.add(_name, _meaning, _when, _unit)
PARAMS.add("policy_runs", "run ids of the candidate's best policy run by each method", "promotions", since="0.2.0")
PARAMS.add("kl_unit", "unit in which the log gives KL", "fits", "", since="0.2.0")
PARAMS.add("read_as", "kind of a user's file, where 0.1 read it otherwise or not at all", _FILES, since="0.2.0")
for _name, _meaning, _unit in (
    ("samples_path", "the table of scored samples", ""),
    ("samples_sha256", "digest of that file", ""),
    ("rms", "columns of the reward models, where the user named them", ""),
    ("min_samples", "responses below which a prompt was left out; 0: half the median", "count"),
    ("duplicates", "`keep` or `drop`: responses that repeat another of their prompt", ""),
):
    PARAMS.add(_name, _meaning, "scored samples", _unit, since="0.2.0")
for _name, _meaning, _when, _unit in (
    ("checkpoints", "JSON: steps of a series of checkpoints", "policy runs of `measure`", ""),
    ("step", "step of the training at a checkpoint", "measured checkpoints", ""),
    ("checkpoint", "folder or hub name of it", "measured checkpoints", ""),
    ("checkpoint_sha256", "digest of its configuration and weights", "measured checkpoints", ""),
):
    PARAMS.add(_name, _meaning, _when, _unit, since="0.2.0")
PARAMS.add("resampled", "whether an ensemble's member learned from resampled comparisons", "proxy RMs", since="0.2.0")
for _name, _meaning, _unit in (
    ("start_seed", "seed of the start that the members of a weight average share", ""),
    ("lr_factor", "factor of `rm_lr`, for a member of a weight average", ""),
    ("dropout", "dropout in training, for a member of a weight average", "probability"),
):
    PARAMS.add(_name, _meaning, "proxy RMs", _unit, since="0.2.0")
