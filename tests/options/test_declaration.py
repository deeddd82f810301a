"""Options are grouped by the class that declares them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from mlproject.config.schema import load_config
from mlproject.errors import UserError
from mlproject.optimization.ppo_config import PPOConfig
from mlproject.options.commented_yaml import commented_yaml
from mlproject.options.declaration import BrokenRule, Form, Options, option, options_by_heading
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

    def broken_rules(self) -> Iterator[BrokenRule]:
        if len(self.sizes) > self.samples:
            yield BrokenRule("sizes", f"be at most samples={self.samples}", "Use fewer.")


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


def test_rules_of_a_group_are_asked_of_the_whole_configuration() -> None:
    config = load_config("smoke", {})
    assert isinstance(config, PPOConfig)
    assert list(PPOConfig.broken_rules(config)) == []
    [rule] = SoftConfig(samples=1, sizes=("1k", "3k")).broken_rules()
    assert rule == ("sizes", "be at most samples=1", "Use fewer.")
