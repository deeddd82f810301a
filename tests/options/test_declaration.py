"""Options are grouped by the class that declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from mlproject.errors import UserError
from mlproject.options.commented_yaml import commented_yaml
from mlproject.options.declaration import Form, Options, option, options_by_heading, shared_option
from mlproject.options.values import check, convert, requirement


@dataclass(frozen=True, kw_only=True)
class Sampling(Options):
    HEADING: ClassVar[str] = "Sampling"

    samples: int = option("samples per prompt", minimum=1)
    temperature: float = option("of the softmax", default=1.0, minimum=0, maximum=20_000, heading="Softmax")


@dataclass(frozen=True, kw_only=True)
class SoftConfig(Sampling):
    HEADING: ClassVar[str] = "Soft best-of-n"

    sizes: tuple[str, ...] = option("sizes", choices=("1k", "3k"), form=Form("a path", lambda text: "/" in text))


FIELDS = {field.name: field for fields in options_by_heading(SoftConfig).values() for field in fields}


def test_an_option_stands_under_the_heading_of_the_class_that_declares_it_unless_it_names_another() -> None:
    names = {heading: [field.name for field in fields] for heading, fields in options_by_heading(SoftConfig).items()}
    assert names == {"Soft best-of-n": ["sizes"], "Sampling": ["samples"], "Softmax": ["temperature"]}


def test_options_are_written_as_yaml_with_what_they_must_be() -> None:
    text = commented_yaml(SoftConfig(samples=4, sizes=("1k", "./x")), "Two\nlines")
    dashes = {heading: f"# ---- {heading} ".ljust(100, "-") for heading in ("Soft best-of-n", "Sampling", "Softmax")}
    assert text.splitlines() == [
        "# Two",
        "# lines",
        "",
        dashes["Soft best-of-n"],
        "",
        "# sizes [a comma-separated list without repeats, each one of 1k, 3k, or a path]",
        "sizes: [1k, ./x]",
        "",
        dashes["Sampling"],
        "",
        "# samples per prompt [a whole number of at least 1]",
        "samples: 4",
        "",
        dashes["Softmax"],
        "",
        "# of the softmax [a number from 0 to 20,000]",
        "temperature: 1.0",
    ]


def test_a_form_is_accepted_beside_the_choices_and_named_in_the_message() -> None:
    check(FIELDS["sizes"], ("3k", "a/b"))
    with pytest.raises(UserError, match=r"^sizes=2k: must be .*each one of 1k, 3k, or a path\.$"):
        check(FIELDS["sizes"], ("2k",))
    assert convert(FIELDS["sizes"], "1k, a/b") == ("1k", "a/b")
    assert requirement(FIELDS["temperature"]) == "a number from 0 to 20,000"


def test_a_shared_option_is_the_same_option_and_shown_once_under_its_first_heading() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Sharing(Options):
        HEADING: ClassVar[str] = "Sharing"

        samples: int = shared_option(Sampling, "samples")
        temperature: float = shared_option(Sampling, "temperature")
        rank: int = option("rank", default=1)

    names = {heading: [field.name for field in fields] for heading, fields in options_by_heading(Sharing).items()}
    assert names == {"Sampling": ["samples"], "Softmax": ["temperature"], "Sharing": ["rank"]}
    assert Sharing(samples=2) == Sharing(samples=2, temperature=1.0, rank=1)
    both = options_by_heading(type("Both", (Sharing, Sampling), {}))
    assert [field.name for fields in both.values() for field in fields] == ["samples", "temperature", "rank"]
    with pytest.raises(UserError, match=r"^samples=0: must be a whole number of at least 1\.$"):
        check(both["Sampling"][0], 0)
