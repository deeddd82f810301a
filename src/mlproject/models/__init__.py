"""Policies and reward models: Hugging Face models, generation, log-probabilities, KL."""
