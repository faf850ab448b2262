"""Searches by words as the page requests them and the training worker answers them."""

from __future__ import annotations

import numpy as np
import pytest

from aral.annotation import Project, TrainingState
from aral.annotation.searches import KEPT_SEARCHES, MOST_FOUND, MOST_LETTERS
from aral.errors import BadInput


@pytest.fixture
def searchable(project: Project) -> Project:
    """A project whose training worker runs and has a backbone with text."""
    project.searches.set_representation("hf:tiny")
    project.models.set_training_state(TrainingState("idle"))
    return project


def test_a_request_waits_until_it_is_answered(searchable: Project) -> None:
    searches = searchable.searches
    before = searchable.changes()
    number = searches.request("  a dog\n on grass ")
    assert searchable.changes() > before, "the worker sees that there is something to do"
    assert searches.request("a dog on grass") == number, "it waits already"
    other = searches.request("a cat")
    assert searches.waiting() == [(number, "a dog on grass"), (other, "a cat")]
    assert searches.get(number).ids is None
    searches.answer(number, np.array([5, 2, 9, 4]), np.array([0.1, 0.3, -0.2, 0.3], dtype=np.float32), 7)
    found = searches.get(number)
    assert found.ids is not None and found.ids.tolist() == [2, 4, 5, 9], "of equal ones the lower id first"
    assert found.similarities is not None
    assert found.similarities.tolist() == pytest.approx([0.3, 0.3, 0.1, -0.2])
    assert (found.unread, found.words, found.problem) == (7, "a dog on grass", "")
    assert searches.waiting() == [(other, "a cat")]
    searches.refuse(other, "The tokenizer is gone.")
    assert searches.waiting() == [] and searches.get(other).problem == "The tokenizer is gone."
    assert searches.request("a dog on grass") > other, "images may have been read meanwhile"


def test_only_the_newest_searches_and_the_best_images_are_kept(searchable: Project) -> None:
    numbers = [searchable.searches.request(f"words {number}") for number in range(KEPT_SEARCHES + 3)]
    with pytest.raises(BadInput, match="not kept any more"):
        searchable.searches.get(numbers[2])
    assert searchable.searches.get(numbers[3]).words == "words 3"
    assert len(searchable.searches.waiting()) == KEPT_SEARCHES
    many = np.arange(MOST_FOUND + 5)
    searchable.searches.answer(numbers[-1], many, many.astype(np.float32), 0)
    found = searchable.searches.get(numbers[-1]).ids
    assert found is not None and found.size == MOST_FOUND and found[0] == MOST_FOUND + 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "no words"),
        (" \x00\udcff\u202e ", "no words"),
        ("x" * (MOST_LETTERS + 1), "too long"),
    ],
)
def test_words_that_cannot_be_searched_are_refused(searchable: Project, words: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        searchable.searches.request(words)


def test_without_text_or_a_worker_a_search_is_refused(project: Project) -> None:
    project.models.set_training_state(TrainingState("idle"))
    with pytest.raises(BadInput, match="has no text"):
        project.searches.request("a dog")
    project.searches.set_representation("hf:tiny")
    assert project.searches.request("a dog")
    for state in (TrainingState("off"), TrainingState("failed", message="The disk is full.")):
        project.models.set_training_state(state)
        with pytest.raises(BadInput, match=f"training worker. {state.message or 'Training is off.'}"):
            project.searches.request("a cat")
    project.searches.set_representation("")
    with pytest.raises(BadInput, match="has no text"):
        project.searches.request("a dog")
