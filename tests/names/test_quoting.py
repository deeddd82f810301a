"""Quoted texts are text and no more: rendered, they have no element of their own, and what they said is still there."""

from __future__ import annotations

import re
import shutil
from html import unescape

import pytest
from markdown import markdown
from markdown_it import MarkdownIt
from mlflow import MlflowClient

from mlproject.names.quoting import can_be_searched, filter_value, markdown_quote, markdown_text, one_line, visible

FORGERIES = [
    "x\n## Gate results\n- passed margin",
    "x\r\n\r\n# Verdict\r\n\r\npassed",
    "a title\n===\nand another\n---",
    "<script>alert(1)</script><img src=x onerror=alert(1)><b>passed</b>",
    "<!-- hidden\n## Verdict\n-->",
    "[all gates passed](http://evil.example) ![i](http://evil.example/i.png)",
    "[a]: http://evil.example\n\n[a] <http://evil.example>",
    "http://evil.example https://evil.example www.evil.example ftp://evil.example mail@evil.example",
    "javascript:alert(1) data:text/html;base64,xx",
    "- one\n+ two\n* three\n1. four\n2) five\n    code\n\tcode",
    "```\nfenced\n```\n~~~\nfenced\n~~~\n`code` ``code``",
    "| a | b |\n|---|---|\n| passed | yes |",
    "**bold** __bold__ *em* _em_ ~~gone~~ $x$ {: .class }",
    "> nested\n>> deeper\n***\n___",
    "\\# \\[a\\](b) &lt;b&gt; &#35; head\n&#35; head",
    "Term\n: definition\n\n[^1]: note [^1]",
]


def rendered(card: str) -> list[str]:
    gfm = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [markdown(card, extensions=["extra"]), gfm.render(card)]


@pytest.mark.parametrize("text", FORGERIES)
def test_a_quotation_is_paragraphs_of_text(text):
    card = f"> **Prompt:** {markdown_quote(text)}\n\n## Lineage\n"
    assert all(line.startswith(">") for line in card.split("\n\n## Lineage")[0].split("\n"))
    expected = re.findall(r"[^\W_]+", text)
    for html in rendered(card):
        quote, _, rest = html.partition("</blockquote>")
        assert set(re.findall(r"</?(\w+)", quote)) <= {"blockquote", "p", "strong", "br"}
        assert quote.count("<strong>") == 1
        assert re.findall(r"<(h\d)", rest) == ["h2"]
        shown = unescape(re.sub(r"<[^>]+>", " ", quote)).partition("Prompt:")[2]
        assert re.findall(r"[^\W_]+", shown) == expected


@pytest.mark.parametrize("text", FORGERIES)
def test_a_name_in_a_table_stays_in_its_cell(text):
    name = markdown_text(text)
    assert "\n" not in name
    for html in rendered(f"| what | value |\n|---|---|\n| size | {name} |\n| gold | 1 |\n"):
        assert html.count("<tr>") == 3
        assert set(re.findall(r"</?(\w+)", html)) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_hidden_characters_are_seen_and_letters_of_any_language_stay():
    assert (
        visible("a\x1b[31mb\x00\x85\u202ec\u2066\u200b\ufeff") == "a\\x1b[31mb\\x00\\x85\\u202ec\\u2066\\u200b\\ufeff"
    )
    assert visible("half \ud800") == "half \\ud800"
    for text in ("naïve 我的手机 Ελληνικά नमस्ते می\u200cخواهم 👩\u200d👩\u200d👧", "two\nlines\tand a tab"):
        assert visible(text) == text


def test_a_line_of_a_log_is_one_and_is_cut():
    assert one_line("a\r\nWARNING: forged\x1b[2J\tb") == "a\\r\\nWARNING: forged\\x1b[2J\\tb"
    assert one_line("x" * 1000, 100) == "x" * 99 + "…"
    assert len(one_line("\n" * 1000, 100)) == 100
    assert one_line("short", 100) == "short"


def test_a_long_quotation_is_cut():
    assert len(markdown_quote("word " * 10_000)) < 2000
    assert markdown_quote("word " * 10_000).endswith("… (cut)")


def test_mlflow_finds_a_name_whatever_it_holds_unless_it_cannot_be_searched(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    names = ["Bob's", 'a "b"', "a;b -- c", "a`b", "100%_", "a\\b", "é = 'x"]
    assert all(map(can_be_searched, names))
    for name in names:
        client.create_registered_model(name)
        client.create_run("0", tags={"x": name})
    for name in names:
        assert [m.name for m in client.search_registered_models(f"name = {filter_value(name)}")] == [name]
        found = client.search_runs(["0"], f"tags.x = {filter_value(name)} and tags.x != 'other'")
        assert [run.data.tags["x"] for run in found] == [name]
    assert not any(map(can_be_searched, ["a'b\"c", "a\\"]))
