"""Direct alignment: a policy learns from comparisons without a reward model (Rafailov et al. 2023, and what followed).

`methods` declares the methods, `training` is what they share, and each loss has a file of its own.
"""
