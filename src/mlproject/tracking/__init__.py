"""The only rooms that import MLflow or Optuna: store, runs, the scheduler of steps, search, registry, report, views."""
