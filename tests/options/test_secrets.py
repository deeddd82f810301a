"""Secrets are masked wherever they stand in a URL, and what is no secret is left as it is."""

from __future__ import annotations

import io
import sys

import pytest

from mlproject.options import secrets
from mlproject.options.secrets import has_secret, mask, mask_output, remember

SECRET = "s3cr3t-W0rd"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(secrets, "_known", set())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:{}@db/optuna",
        "postgresql+psycopg://me:{}@db:5432/optuna?sslmode=require",
        "POSTGRESQL://me:{}@db/optuna",
        "postgresql://me:a@{}@db/optuna",
        "postgresql://me:a/{}/b@db/optuna",
        "postgresql://me:a:{}?b#c@db/optuna",
        "postgresql://me:a {} b@db/optuna",
        "postgresql://:{}@db/optuna",
        "mysql+pymysql://db/optuna?user=me&password={}",
        "mysql://db/optuna?PASSWD={}&charset=utf8",
        "postgresql://db/optuna?sslmode=require&sslpassword=a@b/{}",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{}",
        "https://{}@tracking.example",
        "https://{}:x-oauth-basic@tracking.example/path",
        "https://me:{}@tracking.example:5000",
        "http://tracking.example/?token={}",
        "https://bucket.example/run.csv?X-Amz-Date=1&X-Amz-Signature={}",
        "https://blob.example/run.csv?sv=1&sig={}",
        "https://api.example/run?api_key={}&run=3",
        "https://api.example/run?key={}",
        "https://api.example/run#access_token={}",
        "https://api.example/run#{}",
        "https://api.example/run?a=b#{}",
        "https://api.example/run#/{}",
        "https://api.example/run#L10/{}",
        "gs://bucket/run.csv#x&{}",
        "databricks://{}@workspace",
        "redis://:{}@cache/0",
        "host=db user=me password={}",
        "storage_password={}",
        "Server=db;Pwd={};Database=x",
        "{{'url': 'postgresql://db/optuna', 'password': '{}'}}",
        '{{"api_key": "{}", "n": 3}}',
        "{{'hf_token': {}, 'a': 1}}",
    ],
)
def test_a_secret_is_masked_alone_and_inside_of_a_message(url):
    given = url.format(SECRET)
    assert has_secret(given)
    masked = mask(given)
    assert SECRET not in masked
    assert "***" in masked
    assert not has_secret(masked)
    remember([given])
    for message in (f"storage={given}: cannot be opened", f"('{given}',)", f"no such host, {SECRET}, at all"):
        assert SECRET not in mask(message)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@db/optuna",
        "http://host:5000",
        "http://host:5000/#/experiments/1/runs?viewStateShareKey=abc&compareRunsMode=CHART",
        "sqlite:////a/b:c@d.db",
        "sqlite:////a/b#c/d.db",
        "sqlite+pysqlite:////a/b#c/d.db",
        "http://host:5000/#/",
        "see https://forge.example/a/b/issues/3#issuecomment-12345678 and https://forge.example/a.py#L10-L20",
        "models:/reward-model@champion",
        "runs:/0123456789abcdef",
        "proxy=models:/reward-model@champion: not found. Give a size, a run id or models:/NAME@ALIAS.",
        "a key=value, and n_trials=3",
        "max_response_tokens=64 and eos_token=<eos>, {'tokens': [1, 2], 'key': 'x'}",
        "prompts: must not hold a password or token.",
    ],
)
def test_what_is_no_secret_stays(text):
    assert mask(text) == text
    assert not has_secret(text)


def test_a_secret_is_also_found_as_it_is_meant_and_not_inside_of_other_words():
    remember(["postgresql://me:p%40ss%2Fw0rd@db/optuna"])
    assert mask("login with p@ss/w0rd failed, p%40ss%2Fw0rd") == "login with *** failed, ***"
    remember(["postgresql://me:curve@db/optuna"])
    assert mask("curves of a curve") == "curves of a ***"


def test_streams_are_masked_only_if_there_is_something_to_mask(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    mask_output()
    assert isinstance(sys.stdout, io.StringIO)
    remember([f"postgresql://me:{SECRET}@db/optuna"])
    mask_output()
    mask_output()
    print("told:", SECRET)
    sys.stderr.writelines(["first\n", f"{SECRET}\n"])
    assert sys.stdout.getvalue() == "told: ***\n"
    assert sys.stderr.getvalue() == "first\n***\n"


def test_a_message_goes_on_behind_a_fragment_and_keeps_its_own_words():
    given = "https://127.0.0.1/run.csv#abcdef"
    remember([given, "https://other.example/?token=x/y@z"])
    assert mask(f"curve={given}: must not hold a password or token.") == (
        "curve=https://127.0.0.1/run.csv#***: must not hold a password or token."
    )
