"""Units and signs: converted where they are given, guessed at and asked for where they are not."""

import numpy as np
import pandas as pd
import pytest
from tests.report.logs.planted import ALPHA, BETA, KL, STEPS

from mlproject.errors import UserError

D = np.sqrt(KL)
GOLD = D * (ALPHA - BETA * D)


def write(folder, **columns):
    path = folder / "run.csv"
    pd.DataFrame({"step": STEPS, "kl": KL, "gold": GOLD} | columns).to_csv(path, index=False)
    return path


def test_kl_per_token_times_a_length_and_in_bits_is_nats_per_response(tmp_path, read, has_planted_law):
    length = np.linspace(40, 90, len(KL))
    per_token = write(tmp_path, kl=KL / length, tokens=length)
    assert has_planted_law(read(per_token, "length=tokens", 1.0), 31)
    assert has_planted_law(read(write(tmp_path, kl=np.array(KL) / 53), "length=53", 1.0), 31)
    bits = write(tmp_path, kl=np.array(KL) / np.log(2))
    assert has_planted_law(read(bits, "", 1.0, kl_unit="bits"), 31)
    both = write(tmp_path, kl=KL / length / np.log(2), tokens=length)
    logged = read(both, "length=tokens", 1.0, kl_unit="bits")
    assert has_planted_law(logged, 31) and "KL in bits per token times length" in logged.read_as


def test_a_length_that_was_logged_at_other_steps_is_interpolated(tmp_path, read, has_planted_law):
    length = 40 + 0.1 * np.array(STEPS)
    sparse = np.where(np.arange(len(STEPS)) % 4, np.nan, length)
    sparse[-1] = length[-1]
    logged = read(write(tmp_path, kl=KL / length, tokens=sparse), "length=tokens", 1.0)
    assert has_planted_law(logged, 31)
    assert "tokens was not logged at 22 of these steps, where it is interpolated" in logged.notes


def test_a_minus_turns_a_sign_round(tmp_path, read, has_planted_law):
    path = write(tmp_path, loss=-GOLD, minus_kl=-np.array(KL))
    assert has_planted_law(read(path, "kl=-minus_kl,gold=-loss", 1.0), 31)


@pytest.mark.parametrize(("unit", "kl_unit"), [(0.0, "nats"), (float("nan"), "nats"), (1e300, "nats"), (1.0, "joules")])
def test_impossible_units_are_refused(tmp_path, read, unit, kl_unit):
    with pytest.raises(
        UserError, match="gold_sd" if kl_unit == "nats" else "kl_unit=joules: must be one of nats, bits"
    ):
        read(write(tmp_path), "", unit, kl_unit=kl_unit)


@pytest.mark.parametrize("start", [float("nan"), float("inf"), 1e300])
def test_an_impossible_start_is_refused(tmp_path, read, start):
    with pytest.raises(UserError, match="gold_start"):
        read(write(tmp_path), "", 1.0, gold_start=start)


def test_a_length_of_nothing_is_refused(tmp_path, read):
    with pytest.raises(UserError, match=r"tokens holds 0; a length must be above 0"):
        read(write(tmp_path, tokens=0.0), "length=tokens")


NOTICED = {
    "two usual names of KL": ({"objective/kl": KL}, "", "objective/kl may be kl too, and kl is read"),
    "gold in the scorer's unit": ({"gold": 3.7 + 2.3 * GOLD}, "", "give gold_sd=SD"),
    "its spread beside it": (
        {"rewards/gold/mean": 3.7 + 2.3 * GOLD, "rewards/gold/std": 2.3},
        "gold=rewards/gold/mean",
        "(rewards/gold/std at the start)",
    ),
    "a rise that no policy makes": ({"gold": 10 * GOLD}, "", "moves by 12"),
    "gold that only falls": ({"gold": -D}, "", "give columns=gold=-gold"),
    "a small KL": ({"kl": np.array(KL) / 50}, "", "give columns=kl=kl,length=TOKENS_PER_RESPONSE"),
    "a small KL beside a length": (
        {"kl": np.array(KL) / 50, "response_length/mean": 50},
        "",
        "length=response_length/mean",
    ),
    "TRL's GRPO": (
        {"train/kl": KL, "kl": None, "completions/mean_length": 50},
        "kl=train/kl",
        "give columns=kl=train/kl,length=completions/mean_length",
    ),
    "a name that says per token": ({"actor/kl_loss": KL}, "kl=actor/kl_loss", "is by its name a mean over tokens"),
    "a name that says bits": ({"kl_bits": KL}, "kl=kl_bits", "give kl_unit=bits"),
    "a name that says square root": ({"sqrt_kl": np.sqrt(KL)}, "kl=sqrt_kl", "is by its name the square root of KL"),
    "the KL of one update": ({"policy/approxkl_avg": KL}, "kl=policy/approxkl_avg", "not from the initial policy"),
    "a KL that stands still": ({"kl": np.minimum(KL, 4.0)}, "", "KL is exactly 4 at 11 of 31 steps"),
    "noise below 0": ({"kl": [*KL[:4], -0.04, *KL[5:]]}, "", "kl is below 0 at 1 of 31 steps (-0.04 nats at step 40)"),
    "steps that are epochs": ({"step": np.array(STEPS) / 100}, "", "steps are not whole numbers"),
}


@pytest.mark.parametrize("case", NOTICED)
def test_what_looks_odd_is_said_with_the_option_to_give(tmp_path, read, case):
    columns, mapping, said = NOTICED[case]
    logged = read(write(tmp_path, **columns), mapping, gold_sd=None)
    assert any(said in note for note in logged.notes), logged.notes
    assert not any("\n" in note for note in logged.notes)


def test_bits_of_best_of_n_are_noticed_by_its_n(tmp_path, read):
    n = np.arange(1, 32)
    kl = np.log(n) - (n - 1) / n
    assert read(write(tmp_path, step=n, kl=kl), "", 1.0).notes == ()
    assert "seems to be in bits" in read(write(tmp_path, step=n, kl=kl / np.log(2)), "", 1.0).notes[0]


def test_a_plain_curve_in_this_project_s_units_gives_nothing_to_notice(tmp_path, read):
    noise = np.random.default_rng(0).normal(0, 0.03, len(KL)) * (D > 0)
    for gold in (GOLD, GOLD + noise, 0.2 * D - 0.3 * D**2 / 9, D - 0.5 * D**2):
        assert read(write(tmp_path, gold=gold), "", gold_sd=None).notes == ()


def test_a_first_kl_just_below_0_is_the_initial_policy(tmp_path, read):
    logged = read(write(tmp_path, kl=[-0.01, *KL[1:]]), "", 1.0)
    assert logged.points[0].kl == 0 and logged.gold_start == 0 and len(logged.points) == 31


def test_this_projects_exact_kl_is_read_before_a_trainers(tmp_path, read, has_planted_law):
    path = write(tmp_path, **{"kl": np.array(KL) / 40, "curve/kl": KL})  # as the callback leaves it in a run of GRPO
    logged = read(path, "", 1.0)
    assert has_planted_law(logged, 31) and "kl may be kl too, and curve/kl is read" in " ".join(logged.notes)
    assert not any("is read;" in note for note in read(path, "kl=kl", 1.0).notes), "somebody has asked for the other"
