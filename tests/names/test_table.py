"""A table of names: what it holds, and which names it covers."""

from __future__ import annotations

import pytest

from mlproject.names.table import NameSpec, NameTable


def test_a_name_is_returned_as_it_was_given_and_listed_with_what_is_said_of_it():
    table = NameTable()
    assert table.add("a/b", "a meaning", "at the end", "nats", "0.2.0") == "a/b"
    assert table.add("c", "another") == "c"
    assert list(table) == [NameSpec("a/b", "a meaning", "at the end", "nats", "0.2.0"), NameSpec("c", "another")]


def test_a_name_cannot_mean_two_things():
    table = NameTable()
    table.add("a", "one thing")
    with pytest.raises(ValueError, match="a: must be added once"):
        table.add("a", "another thing")


@pytest.mark.parametrize(
    ("name", "covered"),
    [("plain", True), ("plainer", False), ("gate/peak", True), ("gate/", False), ("x-7.png", True), ("x-7xpng", False)],
)
def test_a_family_covers_every_name_with_its_beginning_and_its_end(name, covered):
    table = NameTable()
    table.add("plain", "by itself")
    assert table.add_family("gate/", "<gate>", "a family") == "gate/"
    table.add("x-<i>.png", "a family of files")
    assert table.covers(name) is covered
