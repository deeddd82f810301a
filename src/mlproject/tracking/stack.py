"""Imported once by the server that workers are forked from: everything that is slow to import (7 s together)."""

import mlflow.artifacts
import pandas
import torch
import transformers.models.gpt_neox.modeling_gpt_neox

import mlproject.models.build
import mlproject.models.reward_model
import mlproject.optimization.best_of_n
import mlproject.optimization.ppo
import mlproject.preferences.bradley_terry
import mlproject.preferences.metrics
import mlproject.steps.common
import mlproject.tracking.runs
import mlproject.worlds.helpdesk  # noqa: F401
