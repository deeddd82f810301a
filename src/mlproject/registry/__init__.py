"""The registry: versions of reward models, their promotion and rollback, and the history of the champion."""
