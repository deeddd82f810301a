"""Saving the state of a step while it runs, so that whatever dies, another process goes on exactly where it was."""
