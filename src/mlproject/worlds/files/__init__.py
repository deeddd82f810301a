"""The world of a user's own files: their prompts and comparisons, answered and scored by their own models."""
