"""Phrases of the word lists, counted as a person with a pencil would."""

from __future__ import annotations

import pytest

from mlproject.worlds.lexicons import phrase_lists
from mlproject.worlds.text_stats import collective_stats, response_stats
from mlproject.worlds.word_split import is_word, split_words


def counts(text: str) -> dict[str, float]:
    return {name: float(values[0]) for name, values in response_stats([text]).items() if name in phrase_lists()}


def test_every_list_finds_every_phrase_of_its_own() -> None:
    assert set(phrase_lists()) == {"apologies", "flattery", "hedges", "refusals", "stock-phrases"}
    for name, phrases in phrase_lists().items():
        assert len(phrases) > 20
        for phrase in phrases:
            assert counts(phrase)[name] == 1, (name, phrase)


def test_case_punctuation_and_kind_of_apostrophe_do_not_matter() -> None:
    for text in ("I\u2019M SORRY!", "i'm... sorry", "Well: I'm, sorry?"):
        assert counts(text)["apologies"] == 1


def test_of_two_phrases_that_overlap_the_longer_one_counts_once() -> None:
    assert counts("it might be")["hedges"] == 1  # not `might` besides
    assert counts("it might, maybe")["hedges"] == 2
    assert response_stats(["a b c d"], {"x": ["a b", "b c d", "a b c"]})["x"].tolist() == [1]


def test_a_phrase_is_not_found_inside_a_word() -> None:
    assert response_stats(["mightily unsorry maybes"], {"x": ["might", "sorry", "maybe"]})["x"].tolist() == [0]


def test_a_paragraph_has_the_counts_of_a_pencil() -> None:
    text = (
        "Great question! I'd be happy to help. It seems that the cable is loose; perhaps the port, too. "
        "Sorry for the trouble. I hope this helps!"
    )
    assert counts(text) == {"apologies": 1, "flattery": 1, "hedges": 2, "refusals": 0, "stock-phrases": 2}


def test_lists_hold_words_and_no_phrase_twice() -> None:
    for phrases in phrase_lists().values():
        spoken = [tuple(word for word in split_words(phrase) if is_word(word)) for phrase in phrases]
        assert all(spoken)
        assert len(set(spoken)) == len(spoken)


def test_a_policy_that_says_the_same_to_everybody_is_seen_only_over_many_responses() -> None:
    varied = [f"number {i * 7919 % 1000} then {i * 104729 % 1000}" for i in range(100)]
    same = [varied[0]] * 100
    apart, alike = collective_stats(varied), collective_stats(same)
    assert (apart["distinct-responses"], alike["distinct-responses"]) == (1, pytest.approx(0.01))
    assert alike["compression"] > 5 * apart["compression"]
    assert response_stats(varied[:1])["repetition"] == response_stats(same[:1])["repetition"]
