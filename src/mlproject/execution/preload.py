"""Imported once by the server that workers are forked from: everything that steps need and that is slow to import."""

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

import mlproject.execution.worker
import mlproject.pipeline.study
import mlproject.preferences.metrics  # noqa: F401
