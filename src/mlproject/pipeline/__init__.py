"""The steps of a study: each names its configuration and inputs, and knows how to make its artifacts.

One file per kind of run, with two functions: one builds the `Step` (free of heavy imports), `work(run)` carries it out.
"""
