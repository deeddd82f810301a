"""Imported once by the server that workers are forked from: everything that steps need and that is slow to import."""

import accelerate  # noqa: F401
import transformers.models.gpt_neox.modeling_gpt_neox  # noqa: F401

import mlproject.execution.worker
import mlproject.pipeline.study
import mlproject.preferences.metrics  # noqa: F401
