"""Imported once by the server that workers are forked from: everything that is slow to import (7 s together)."""

import mlproject.models.init
import mlproject.models.reward_model
import mlproject.optimization.best_of_n
import mlproject.optimization.ppo
import mlproject.pipeline.loading
import mlproject.preferences.bradley_terry
import mlproject.preferences.metrics
import mlproject.tracking.runs
import mlproject.worlds.helpdesk  # noqa: F401
