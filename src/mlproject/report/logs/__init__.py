"""Finished runs as trackers and trainers leave them, read as one table of KL and gold joined on step."""
