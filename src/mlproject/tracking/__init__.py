"""The only rooms that import MLflow or Optuna: store, runs, the conductor of steps, search, registry, report, views."""
