"""Mistakes that are answered before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlproject.__main__ import _warnings
from mlproject.cli.early_checks import check_arguments
from mlproject.cli.parser import parse_command_line
from mlproject.cli.proxies import refuse_reward_of_existing
from mlproject.config.schema import load_config
from mlproject.errors import UserError


@pytest.mark.parametrize("proxy", ["25k", "./my-rm", "owner/name", "models:/reward-model@champion", "0" * 32, ""])
def test_whatever_could_be_a_proxy_passes(proxy):
    check_arguments({"proxy": proxy})


@pytest.mark.parametrize("proxy", ["13", "25K", "0" * 31, "champion"])
def test_what_no_proxy_could_be_is_refused(proxy):
    with pytest.raises(UserError, match=f"proxy={proxy}: must be a size"):
        check_arguments({"proxy": proxy})


def test_only_a_single_missing_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("")
    for curve in ("log.csv", "0" * 32, "kl=a.csv,gold=b.csv", "folder", "runs:/abc"):
        check_arguments({"curve": curve})
    with pytest.raises(UserError, match=r"curve=other\.csv\.gz: no such file"):
        check_arguments({"curve": "other.csv.gz"})


def test_a_missing_file_costs_no_heavy_import(tmp_path):
    code = (
        "import sys; from mlproject.__main__ import main; code = main(['fit', '--curve', 'nosuch.csv']); "
        "print(code, {'torch', 'mlflow', 'pandas'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert answer.stdout.strip() == "2 set()" and "curve=nosuch.csv: no such file" in answer.stderr


def test_a_proxy_that_exists_takes_no_cures():
    cured, plain = (load_config("smoke", {"reward": reward}) for reward in ("par", "single"))
    for proxy in ("models:/reward-model@champion", "0" * 32):
        refuse_reward_of_existing({"proxy": proxy}, plain)
        with pytest.raises(UserError, match=rf"^reward=par: must be single with proxy={proxy}, which exists already"):
            refuse_reward_of_existing({"proxy": proxy}, cured)
    for arguments in ({"proxy": "25k"}, {"proxy": "./my-rm"}, {"proxy": "armo", "samples": "a.csv"}, {"proxy": ""}, {}):
        refuse_reward_of_existing(arguments, cured)
    held = load_config("smoke", {"reward": "mean", "reward_terms": "members", "reward_threshold": "0.5"})
    refuse_reward_of_existing({"proxy": "0" * 32}, held)  # says what the proxy is


@pytest.mark.parametrize(
    ("arguments", "is_idle"),
    [(["ppo", "--proxy", "3k"], True), (["main"], False), (["search"], False), (["experiment", "--name", "x"], False)],
)
def test_what_only_a_search_or_a_grid_varies_is_idle_for_a_command_without_one(arguments, is_idle):
    options = ["--preset", "smoke", "--kl_in", "corrected-loss", "--search_rewards", "par", "--par_k", "2"]
    command = parse_command_line([*arguments, *options])
    warned = [line.split(":")[0] for line in _warnings(command)]
    assert warned == (["kl_in=corrected-loss", "par_k=2.0"] if is_idle else [])


def test_beside_given_members_the_proxy_is_the_first_of_them():
    given = load_config("smoke", {"reward": "mean", "ensemble_checkpoints": "./a,./b"})
    for proxy in ("3k", "./b", "rewards:length"):
        with pytest.raises(UserError, match=rf"^proxy={proxy}: must be \./a, the first of ensemble_checkpoints, since"):
            refuse_reward_of_existing({"proxy": proxy}, given)
    refuse_reward_of_existing({"proxy": "./a"}, given)
    refuse_reward_of_existing({"proxy": "3k"}, given.replace(reward="par"))  # made of the proxy; the list is idle
