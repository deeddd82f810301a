"""Carrying steps out: scheduler, processes, progress, and the run of an invocation."""
