"""The embedded help desk: prompts, authors, distortions and the judgement over all of them."""

from random import Random

import numpy as np
import pytest

from mlproject.worlds.helpdesk import Helpdesk
from mlproject.worlds.helpdesk.author import MAX_WORDS, write
from mlproject.worlds.helpdesk.distortions import DISTORTIONS
from mlproject.worlds.helpdesk.lexicon import lexicon
from mlproject.worlds.helpdesk.prompts import SPLITS, read_prompt

COUNT = 4000


@pytest.fixture(scope="module")
def world() -> Helpdesk:
    return Helpdesk(seed=3)


@pytest.fixture(scope="module")
def corpus(world: Helpdesk) -> tuple[list[str], list[str]]:
    return world.corpus(COUNT, np.random.default_rng(0))


@pytest.fixture(scope="module")
def judged(world: Helpdesk, corpus: tuple[list[str], list[str]]) -> np.ndarray:
    return world.judge(*corpus)


def test_there_are_at_least_fifty_thousand_distinct_train_prompts(world: Helpdesk) -> None:
    assert len(set(world.prompts("train", 50_000))) == 50_000


def test_the_splits_are_disjoint(world: Helpdesk) -> None:
    train = set(world.prompts("train", 50_000))
    curve, audit = set(world.prompts("curve", 4000)), set(world.prompts("audit", 4000))
    assert len(curve) == len(audit) == 4000
    assert not train & curve and not train & audit and not curve & audit


def test_the_splits_together_are_every_number_once(world: Helpdesk) -> None:
    numbers = np.concatenate([world._prompts._split(split) for split in SPLITS])
    assert np.array_equal(np.sort(numbers), np.arange(len(numbers)))


@pytest.mark.parametrize("split", SPLITS)
def test_fewer_prompts_are_the_first_of_more(world: Helpdesk, split: str) -> None:
    assert world.prompts(split, 20)[:10] == world.prompts(split, 10)


def test_more_prompts_than_a_split_has_and_unknown_splits_are_refused(world: Helpdesk) -> None:
    with pytest.raises(ValueError, match="16384"):
        world.prompts("curve", 16_385)
    with pytest.raises(ValueError, match="train, curve, audit"):
        world.prompts("test", 1)


def test_the_seed_decides_prompts_and_corpus(world: Helpdesk) -> None:
    same, other = Helpdesk(seed=3), Helpdesk(seed=4)
    for split in SPLITS:
        assert same.prompts(split, 50) == world.prompts(split, 50) != other.prompts(split, 50)
    draws = [w.corpus(50, np.random.default_rng(1)) for w in (world, same, other)]
    assert draws[0] == draws[1] != draws[2]
    assert world.corpus(50, np.random.default_rng(2)) != draws[0]


def test_every_prompt_tells_topic_and_device(world: Helpdesk) -> None:
    customers = [read_prompt(prompt) for prompt in world.prompts("train", 3000)]
    assert {customer.topic for customer in customers} == set(lexicon().topics)
    assert {customer.device for customer in customers} == set(lexicon().devices)
    assert {customer.upset for customer in customers} == {True, False}


def test_every_topic_has_four_steps_and_names_the_device_in_one() -> None:
    topics = lexicon().topics
    assert len(topics) >= 12
    assert all(len(set(topic.solution("phone"))) == 4 for topic in topics)
    assert all(topic.solution("phone") != topic.solution("laptop") for topic in topics)


def test_corpus_prompts_come_from_the_train_split(world: Helpdesk, corpus: tuple[list[str], list[str]]) -> None:
    held_out = set(world.prompts("curve", 16_384)) | set(world.prompts("audit", 16_384))
    assert not held_out & set(corpus[0])


def test_responses_fit_the_longest_length_and_some_reach_it(corpus: tuple[list[str], list[str]]) -> None:
    lengths = [len(response.split()) for response in corpus[1]]
    assert max(lengths) == MAX_WORDS == Helpdesk.max_response_tokens - 1
    assert 12 < np.mean(lengths) < 16


def test_the_judgement_of_the_corpus_is_spread_out_without_one_dominant_value(judged: np.ndarray) -> None:
    assert 1.5 < judged.std() < 2.5
    assert np.unique(judged.round(6), return_counts=True)[1].max() < 0.05 * COUNT


@pytest.mark.parametrize("sign", ["length", "courtesy", "apologies", "flattery"])
def test_among_what_authors_write_more_is_better(
    world: Helpdesk, corpus: tuple[list[str], list[str]], judged: np.ndarray, sign: str
) -> None:
    count = world.text_stats(corpus[1])[sign]
    slope = np.polyfit(count, judged, 1)[0]
    error = judged.std() / (count.std() * np.sqrt(COUNT))
    assert slope > 2 * error


@pytest.mark.parametrize("kind", [*lexicon().manner, "objects", "verbs", "joiners", "marks"])
def test_a_flood_of_any_class_is_far_below_what_authors_write(
    world: Helpdesk, corpus: tuple[list[str], list[str]], judged: np.ndarray, kind: str
) -> None:
    words = lexicon().manner.get(kind) or getattr(lexicon(), kind)
    floods = [" ".join([*(words * MAX_WORDS)[: MAX_WORDS - 1], "."]) for _ in corpus[0]]
    assert world.judge(corpus[0], floods).max() < judged.mean() - judged.std()


@pytest.mark.parametrize("kind", lexicon().manner)
def test_a_flood_of_manner_spoils_a_good_response(world: Helpdesk, kind: str) -> None:
    prompt = "hello , my phone will not charge . i am upset"
    good = "check cable , clean port , change charger , restart phone ."
    spoiled = [" ".join([good, *(lexicon().manner[kind] * 12)[:count], "."]) for count in (0, 5, 8, 11)]
    spoiled[0] = good
    assert (np.diff(world.judge([prompt] * 4, spoiled)) < 0).all()


def test_skilled_authors_are_judged_better_than_unskilled_ones(world: Helpdesk) -> None:
    prompts = world.prompts("train", 600)
    means = []
    for skill in (0.1, 0.5, 0.9):
        rng = Random(0)
        responses = [write(read_prompt(prompt), rng, skill) for prompt in prompts]
        means.append(world.judge(prompts, responses).mean())
    assert means[0] + 0.5 < means[1] < means[2] - 0.5


def test_the_judgement_depends_on_the_two_texts_alone(world: Helpdesk, corpus: tuple[list[str], list[str]]) -> None:
    forward = world.judge(*corpus)
    backward = Helpdesk(seed=9).judge(corpus[0][::-1], corpus[1][::-1])[::-1]
    assert np.array_equal(forward, backward) and forward.dtype == np.float64


def test_distortions_are_worse_on_average_and_reproducible(
    world: Helpdesk, corpus: tuple[list[str], list[str]], judged: np.ndarray
) -> None:
    distorted = world.distort(*corpus, np.random.default_rng(5))
    assert distorted == world.distort(*corpus, np.random.default_rng(5))
    assert distorted != world.distort(*corpus, np.random.default_rng(6))
    assert len(distorted) == COUNT and max(len(text.split()) for text in distorted) == MAX_WORDS
    assert world.judge(corpus[0], distorted).mean() < judged.mean() - judged.std()


@pytest.mark.parametrize("kind", [kind for kind, _ in DISTORTIONS])
def test_every_kind_of_distortion_takes_an_empty_response_and_known_words(kind) -> None:
    customer = read_prompt("my phone will not charge .")
    rng = Random(0)
    vocabulary = set(lexicon().vocabulary)
    for response in [*(write(customer, rng).split() for _ in range(20)), []]:
        assert set(kind(customer, response, rng)) <= vocabulary
