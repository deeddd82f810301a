"""Experiments: grids in YAML files, their runs, their stored results, and the findings derived from them."""
