"""The search: Optuna looks for the options with the highest peak gold; every trial is a policy run."""
