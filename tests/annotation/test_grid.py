"""Pages of the grid: their order, and their leases beside those of cards."""

from __future__ import annotations

import time

import numpy as np
import pytest

from aral.annotation import (
    GridPage,
    ModelRecord,
    Project,
)
from aral.testing import answer_event
from tests.annotation.conftest import MakeProject, change_settings, predict


def ids_of(page: GridPage) -> list[int]:
    return [cell.image_id for cell in page.cells]


def predict_cats(project: Project) -> None:
    """A model for which image 0 is surely a cat, and every image after it less surely."""
    ids = project.images.labelable_ids()
    cat = np.linspace(0.99, 0.6, ids.size)
    number = project.models.record(ModelRecord(0, "m0", 1, 1.0, (0, 1)))
    project.predictions.replace(number, ids, [0, 1], np.stack([cat, 1 - cat], axis=1))


def test_two_annotators_get_different_images_in_one_order(project: Project) -> None:
    everything = ids_of(project.grid.unlabelled_page("Ann", count=30))
    assert sorted(everything) == list(range(30))
    ann = project.grid.unlabelled_page("Ann", count=8)  # its grid now shows these alone
    bob = project.grid.unlabelled_page("Bob", count=8)
    assert ids_of(ann) + ids_of(bob) == everything[:16]
    assert ann.next is not None and bob.next is not None
    assert ids_of(project.grid.unlabelled_page("Cyd", count=30)) == everything[16:]


def test_two_annotators_get_different_images_by_prediction(project: Project) -> None:
    predict_cats(project)
    everything = ids_of(project.grid.predictions_page("Ann", count=30))
    assert everything == sorted(everything) and len(everything) > 20
    ann = project.grid.predictions_page("Ann", count=6)
    bob = project.grid.predictions_page("Bob", count=6)
    assert ids_of(ann) == everything[:6] and ids_of(bob) == everything[6:12]
    assert bob.next == 12 and ids_of(project.grid.predictions_page("Bob", 12, 30)) == everything[12:]
    assert (
        ids_of(project.grid.predictions_page("Cyd", count=6)) == everything[6:12]
    )  # Bob has turned the page


def test_what_is_on_cards_of_others_is_left_out_and_on_ones_own_stays(project: Project) -> None:
    bobs = {card.image_id for card in project.queue.next_cards("Bob", 10)}
    own = [card.image_id for card in project.queue.next_cards("Ann", 10, tab="left")]
    shown = ids_of(project.grid.unlabelled_page("Ann", count=30, tab="left"))
    assert set(shown) == set(range(30)) - bobs
    # The cards of a page are its own still, and none of its tiles comes as a card.
    assert [card.image_id for card in project.queue.next_cards("Ann", 10, tab="left")] == own
    assert len(project.queue.next_cards("Ann", 1, holding=own, tab="left")) == 1  # rather a tile than no card
    assert project.queue.next_cards("Cyd", 5) == []


def test_two_tabs_of_one_annotator_get_different_tiles(project: Project) -> None:
    left = ids_of(project.grid.unlabelled_page("Ann", count=10, tab="left"))
    right = ids_of(project.grid.unlabelled_page("Ann", count=30, tab="right"))
    assert sorted(left + right) == list(range(30))
    for image_id in right:
        project.annotations.append(answer_event(image_id, 0))
    # The other tab may be closed: rather its images than none.
    assert ids_of(project.grid.unlabelled_page("Ann", tab="right")) == left


def test_near_duplicates_that_others_have(project: Project) -> None:
    bobs = [card.image_id for card in project.queue.next_cards("Bob", 3)]
    project.annotations.append(answer_event(bobs[0], 1, "Bob"))
    cells = project.grid.lease("Ann", range(30))
    assert [cell.image_id for cell in cells] == [one for one in range(30) if one not in bobs[1:]]
    assert [cell.image_id for cell in cells if cell.answered] == bobs[:1]
    assert project.queue.next_cards("Bob", 10, holding=bobs) == []  # Ann's grid has all the others


def test_a_page_keeps_its_position_while_others_answer(project: Project) -> None:
    everything = ids_of(project.grid.unlabelled_page("Ann", count=30))
    first = project.grid.unlabelled_page("Ann", count=10)
    for image_id in (*ids_of(first), everything[20]):
        project.annotations.append(answer_event(image_id, 0, "Bob"))
    assert first.next is not None
    assert ids_of(project.grid.unlabelled_page("Ann", first.next, 10)) == [*everything[10:20]]
    assert project.grid.unlabelled_page("Ann", first.next, 19).next is None


def test_tiles_are_free_again_after_ten_minutes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    shown = ids_of(project.grid.unlabelled_page("Ann", count=30))
    assert project.grid.unlabelled_page("Bob").cells == []
    monkeypatch.setattr(time, "time", lambda: 1601.0)
    assert ids_of(project.grid.unlabelled_page("Bob")) == shown


def test_overlap_lets_several_annotators_have_an_image(project: Project) -> None:
    change_settings(project, overlap=2)
    for name in ("Ann", "Bob"):
        assert len(project.grid.unlabelled_page(name).cells) == 30
    assert project.grid.unlabelled_page("Cyd").cells == []


def test_a_skipped_image_is_leased_again_to_the_grid(project: Project) -> None:
    (card,) = project.queue.next_cards("Ann", 1)
    project.annotations.append(answer_event(card.image_id, "skip"))
    assert card.image_id in ids_of(project.grid.unlabelled_page("Ann"))
    assert card.image_id not in [each.image_id for each in project.queue.next_cards("Bob", 30)]


def test_tiles_do_not_count_as_given_out(make_project: MakeProject) -> None:
    project = make_project(100, budget=100, estimate_share=0.2)
    project.grid.unlabelled_page("Ann", count=40)
    purposes = [card.purpose for card in project.queue.next_cards("Ann", 10)]
    assert purposes.count("estimate") == 2


def test_the_grid_is_sorted_by_class_and_probability_and_stays(make_project: MakeProject) -> None:
    project = make_project(12, estimate_share=0.25)
    measuring = set(project.estimate.image_ids().tolist())
    free = [image_id for image_id in range(12) if image_id not in measuring]
    project.annotations.append(answer_event(free[0], 1))
    dog = {image_id: (image_id + 0.5) / 12 for image_id in range(12)}
    predict(project, dog)
    cats = [one for one in free[1:] if dog[one] < 0.5]
    dogs = [one for one in free[1:] if dog[one] > 0.5]
    expected = sorted(cats, key=lambda one: dog[one]) + sorted(dogs, key=lambda one: -dog[one])
    page = project.grid.predictions_page("Ann").cells
    assert [cell.image_id for cell in page] == expected
    assert [cell.answered for cell in page] == [False] * len(expected)
    project.annotations.append(answer_event(expected[1], 0))
    again = project.grid.predictions_page("Ann", 1, 2).cells
    assert [(cell.image_id, cell.answered) for cell in again] == [(expected[1], True), (expected[2], False)]
    assert again[0].name == f"{expected[1]:03d}.png" and again[0].suggestion is not None
    assert project.grid.predictions_page("Ann", 100).cells == []


def test_unlabelled_images_in_an_order_that_stays(project: Project) -> None:
    everything = [cell.image_id for cell in project.grid.unlabelled_page("Ann").cells]
    assert sorted(everything) == list(range(30)) and everything != sorted(everything)
    project.annotations.append(answer_event(everything[0], 0))
    first = project.grid.unlabelled_page("Ann", 0, 5)
    assert [cell.image_id for cell in first.cells] == everything[1:6] and first.next is not None
    second = project.grid.unlabelled_page("Ann", first.next, 5)
    assert [cell.image_id for cell in second.cells] == everything[6:11]
    assert [cell.image_id for cell in project.grid.cells([7, 999, 3])] == [7, 3]
