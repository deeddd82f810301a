"""Rewards that are no models: Python functions and services over HTTP, called in batches, with a cache and a limit."""
