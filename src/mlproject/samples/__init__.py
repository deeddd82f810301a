"""Scored samples: a user's table of responses with gold and the scores of reward models, read and made into curves."""
