"""Experiments: a grid from a YAML file, its runs, its kept results, and the findings read from them."""
