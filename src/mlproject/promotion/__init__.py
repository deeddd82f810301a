"""Which reward model deserves to be used: evidence, gates, and the rule of choice; arrays in, verdicts out."""
