"""A run with a planted law, as trackers and trainers would have logged it: KL at every step, gold at every third."""

import numpy as np

ALPHA, BETA, GOLD_SD, GOLD_START = 1.2, 0.3, 2.0, 5.0
STEPS = list(range(0, 310, 10))
KL = [round(float(kl), 6) for kl in np.linspace(0, 3, len(STEPS)) ** 2]


def gold(kl):
    d = np.sqrt(kl)
    return round(float(GOLD_START + GOLD_SD * d * (ALPHA - BETA * d)), 6)


GOLD = {step: gold(kl) for step, kl in zip(STEPS[::3], KL[::3], strict=True)}
PROXY = {step + 1: 1.5 * step for step in STEPS}
COLUMNS = "kl=objective/kl,gold=eval/gold"


def rows():
    """One object for each call of a logger: gold in a row of its own, after KL at the same step."""
    for step, kl in zip(STEPS, KL, strict=True):
        yield {"step": step, "objective/kl": kl, "loss": 0.5}
        if step in GOLD:
            yield {"step": step, "eval/gold": GOLD[step], "eval/runtime": 1.0}
