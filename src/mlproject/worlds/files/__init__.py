"""The world of a user's files: the user's prompts and comparisons, answered and scored by the user's models."""
