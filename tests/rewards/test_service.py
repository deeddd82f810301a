"""Reward services over HTTP, against a real server on loopback."""

from __future__ import annotations

import json
import time

import pytest
from tests.rewards.loopback import serving, speaking

import mlproject.rewards.http as http_module
from mlproject.errors import UserError
from mlproject.rewards.calls import Usage
from mlproject.rewards.http import check_reachable
from mlproject.rewards.options import CallOptions
from mlproject.rewards.service import Service
from mlproject.rewards.source import TOKEN_VARIABLE

PROMPTS = ["a", "a", '[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]']
RESPONSES = ["x", "yy", "zzz"]
LENGTHS = [1.0, 2.0, 3.0]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(http_module, "_FIRST_PAUSE", 0.01)


def lengths(path, content, number):
    return 200, {"scores": [len(text) for text in content["responses"]]}, {}


FORMS = {
    "scores": {"scores": [1, 2, 3]},
    "rewards": {"rewards": [1.0, 2.0, 3.0], "extra": 1},
    "a bare list": [1, 2, 3],
    "objects": [{"score": 1}, {"score": 2}, {"reward": 3}],
    "MLflow's": {"predictions": [{"reward": 1}, {"reward": 2}, {"reward": 3}]},
}


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_read_from_the_usual_answers_and_conversations_are_sent_as_messages(form):
    with serving(lambda *request: (200, FORMS[form], {})) as (url, requests):
        assert Service(f"{url}/score")(PROMPTS, RESPONSES) == LENGTHS
    [(path, content, _)] = requests
    assert path == "/score"
    assert content == {"prompts": ["a", "a", json.loads(PROMPTS[2])], "responses": RESPONSES}


def test_a_model_that_mlflow_serves_is_asked_as_mlflow_expects_it():
    with serving(lambda *request: (200, {"predictions": [1, 2, 3]}, {})) as (url, requests):
        assert Service(f"{url}/invocations")(PROMPTS, RESPONSES) == LENGTHS
    rows = [list(row) for row in zip(PROMPTS, RESPONSES, strict=True)]
    assert requests[0][1] == {"dataframe_split": {"columns": ["prompt", "response"], "data": rows}}


@pytest.mark.parametrize("path", ["/pooling", "/classify"])
def test_vllm_gets_a_conversation_at_a_time_and_its_scores_keep_their_order(path):
    def answer(path, content, number):
        if content is None:
            return 200, {"data": [{"id": "my-rm"}]}, {}
        time.sleep(0.02 * (3 - len(content["messages"][-1]["content"])))  # the first is answered last
        score = len(content["messages"][-1]["content"])
        return 200, {"data": [{"index": 0, "data": [score], "probs": [score]}]}, {}

    with serving(answer) as (url, requests):
        assert Service(url + path)(PROMPTS, RESPONSES) == LENGTHS
    assert [each[0] for each in requests[:1]] == ["/v1/models"]
    sent = {each[1]["messages"][-1]["content"]: each[1] for each in requests[1:]}
    assert sent["zzz"]["model"] == "my-rm" and sent["zzz"]["use_activation"] is False
    assert [message["role"] for message in sent["zzz"]["messages"]] == ["system", "user", "assistant"]


NOT_RAW = {
    "an embedding": ("/pooling", {"data": [{"data": [0.1] * 768}]}, "an embedding of 768 numbers"),
    "a score for each token": ("/pooling", {"data": [{"data": [[0.1], [0.2], [0.3]]}]}, "one for each of 3 tokens"),
    "a softmax of two classes": ("/classify", {"data": [{"probs": [0.4, 0.6]}]}, "the probabilities of two classes"),
    "another answer": ("/classify", {"scores": [1]}, "a list under data"),
    "an embedding from elsewhere": ("/score", {"scores": [[1.0, 2.0]]}, "gives 2 numbers (an embedding"),
    "too few": ("/score", {"scores": []}, "must give each of 1 responses one score, and gives 0"),
    "texts": ("/score", {"scores": ["good"]}, "a number, and gives 'good'"),
    "no scores": ("/score", {"result": [1]}, "answers with the fields result"),
    "a page": ("/score", "<!doctype html><p>Welcome", "answers in text/html, beginning '<!doctype html>"),
}


@pytest.mark.parametrize("name", NOT_RAW)
def test_what_is_no_raw_score_is_refused_in_one_line_that_says_what_came(name):
    path, body, words = NOT_RAW[name]
    with serving(lambda *request: (200, body, {})) as (url, _), pytest.raises(UserError) as error:
        Service(url + path)(["a"], ["b"])
    assert words in str(error.value) and str(error.value).startswith(url) and "\n" not in str(error.value)


def test_a_busy_server_is_asked_again_after_the_pause_that_it_asks_for():
    def answer(path, content, number):
        return (429, "busy", {"Retry-After": "0.3"}) if number < 2 else lengths(path, content, number)

    usage, started = Usage(), time.monotonic()
    with serving(answer) as (url, requests):
        assert Service(url, usage=usage)(["a"], ["bb"]) == [2.0]
    assert len(requests) == 3 and usage.retries == 2
    assert 0.6 <= time.monotonic() - started < 3


def test_a_server_that_stays_busy_is_named_with_what_it_said():
    with serving(lambda *request: (503, "out of\nmemory", {})) as (url, requests), pytest.raises(UserError) as error:
        Service(url, CallOptions(scorer_retries=2))(["a"], ["b"])
    assert len(requests) == 3
    assert "in 3 tries and 0 s (HTTP 503 Service Unavailable: out of memory)" in str(error.value)


def test_a_refusal_is_not_tried_again():
    with serving(lambda *request: (401, "no", {})) as (url, requests), pytest.raises(UserError, match="HTTP 401"):
        Service(url)(["a"], ["b"])
    assert len(requests) == 1


def test_the_time_limit_is_named_for_a_slow_answer_and_for_a_pause_that_would_pass_it():
    def slow(path, content, number):
        time.sleep(0.5)
        return lengths(path, content, number)

    options = CallOptions(scorer_seconds=0.2)
    for answer in (slow, lambda *request: (429, "busy", {"Retry-After": "60"})):
        with serving(answer) as (url, _), pytest.raises(UserError, match=r"within scorer_seconds=0\.2"):
            Service(url, options)(["a"], ["b"])


def test_a_token_of_the_environment_is_sent(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "t0ken")
    with serving(lengths) as (url, requests):
        Service(url)(["a"], ["b"])
    assert requests[0][2]["Authorization"] == "Bearer t0ken"


def test_a_dead_service_is_named_at_once_and_in_the_middle():
    with serving(lengths) as (url, _):
        check_reachable(url, "proxy")
    with pytest.raises(UserError, match=f"^proxy={url}: must be a service that answers .*refused"):
        check_reachable(url, "proxy")
    with pytest.raises(UserError, match=f"^{url}: must answer, and did not in 2 tries"):
        Service(url, CallOptions(scorer_retries=1))(["a"], ["b"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_neither_texts_nor_token_go_there(status, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "t0ken")
    with serving(lengths) as (elsewhere, requests):
        for target in (f"{elsewhere}/score", "file:///etc/passwd", "http://[::1", "ftp://127.0.0.1/x"):
            with serving(lambda *request, to=target: (status, "", {"Location": to})) as (url, _):
                with pytest.raises(UserError, match="sends elsewhere, to") as error:
                    Service(url)(["a"], ["b"])
                assert target in str(error.value) and str(error.value).startswith(url)
    assert requests == []


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FOREIGN = {
    "nested deeply": (HEAD + b"\r\n" + b"[" * 100_000, "must answer in JSON"),
    "an integer of 400 digits": (HEAD + b"\r\n[" + b"9" * 400 + b"]", "must give numbers that a float can hold"),
    "codes of a terminal": (b"HTTP/1.1 404 \x1b[2Jno\x07\r\n\r\n\x1b]0;x\x07", r"HTTP 404 \\x1b\[2Jno\\x07: \\x1b]0;x"),
    "names of fields": (HEAD + b'\r\n{"\\u001b[2J\\nmlproject: forged": 1}', r"fields \\x1b\[2J\\nmlproject: forged"),
    "no HTTP": (b"hello\x1b[2J\r\n\r\n", r"hello\\x1b\[2J"),
    "cut off": (HEAD + b"Content-Length: 99\r\n\r\n[1]", "must answer, and did not in 1 try"),
    "a refusal that is cut off": (b"HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\nwhy", "HTTP 400 No"),
    "the token given back": (b"HTTP/1.1 401 No\r\n\r\nnot t0ken", r"not \*\*\*\)"),
    "longer than was asked for": (HEAD + b"\r\n[" + b"1," * 5000, "must answer with at most"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_service_says_is_refused_in_one_line_that_shows_it_without_effect(name, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "t0ken")
    said, words = FOREIGN[name]
    if name == "longer than was asked for":
        monkeypatch.setattr(http_module, "_ANY_ANSWER", 1000)
    with speaking(said) as url, pytest.raises(UserError, match=words) as error:
        Service(url, CallOptions(scorer_retries=0))(["a"], ["b"])
    assert str(error.value).isprintable() and str(error.value).startswith(url)


@pytest.mark.parametrize("pieces", [(HEAD + b"\r\n[", b" "), (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")])
def test_an_answer_that_never_ends_is_given_up_in_time(pieces):
    started = time.monotonic()
    with speaking(*pieces, pause=0.02) as url, pytest.raises(UserError, match=r"within scorer_seconds=0\.2"):
        Service(url, CallOptions(scorer_seconds=0.2))(["a"], ["b"])
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("pause", ["1e300", "nan", "-3", "Fri, 31 Dec 9999 23:59:59 -0000"])
def test_an_absurd_pause_is_no_crash(pause):
    with serving(lambda *request: (429, "", {"Retry-After": pause})) as (url, _), pytest.raises(UserError):
        Service(url, CallOptions(scorer_seconds=1, scorer_retries=1))(["a"], ["b"])


@pytest.mark.parametrize("address", [f"http://{'a' * 70}.com/x", "http://127.0.0.1:99999/x"])
def test_an_address_that_no_host_can_have_is_refused(address):
    with pytest.raises(UserError, match="must be a service that answers"):
        check_reachable(address, "proxy")
    with pytest.raises(UserError, match="must answer"):
        Service(address, CallOptions(scorer_retries=0))(["a"], ["b"])
