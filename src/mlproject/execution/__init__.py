"""Executing steps: the scheduler, the executors behind it, progress, and the run of an invocation."""
