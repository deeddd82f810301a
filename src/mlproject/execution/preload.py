"""Imported once by the server that workers are forked from: everything that steps need and that is slow to import."""

import mlproject.pipeline.study
import mlproject.tracking.runs  # noqa: F401
