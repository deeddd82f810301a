"""Steps that take over what a user brings: a policy, reward models, a gold scorer, comparisons."""
