"""Steps that import what a user has: a policy, reward models, a gold scorer, comparisons."""
