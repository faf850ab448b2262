"""The estimate set: random, of the stated size, and never trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from aral.annotation import BROWSING, BY_CHANCE, Project, Provenance
from aral.annotation.estimate import estimate_set_size
from aral.testing import answer_event
from tests.annotation.conftest import MakeProject, change_settings, save_pictures


@pytest.mark.parametrize(
    ("images", "budget", "share", "size"),
    [
        (10_000, 500, 0.2, 100),
        (10_000, 60, 0.2, 20),  # at least twenty
        (10_000, 30, 0.2, 15),  # but at most half of the budget
        (10_000, 5_000, 0.2, 200),  # at most two hundred
        (10_000, None, 0.2, 200),
        (20, None, 0.2, 10),  # at most half of the images
        (20, 500, 0.2, 10),
        (3, 2, 0.2, 1),
        (1, 1, 0.2, 0),
        (10_000, 500, 0.0, 0),
        (0, None, 0.2, 0),
    ],
)
def test_sizes(images: int, budget: int | None, share: float, size: int) -> None:
    assert estimate_set_size(images, budget, share) == size


def test_it_is_spread_over_the_folder_and_stays(make_project: MakeProject) -> None:
    project = make_project(80, budget=80, estimate_share=0.25)
    drawn = project.estimate.image_ids().tolist()
    assert len(drawn) == 20 and drawn == sorted(drawn)
    assert all(any(start <= one < start + 20 for one in drawn) for start in range(0, 80, 20))
    project.images.sync()
    assert project.estimate.image_ids().tolist() == drawn


def test_it_follows_the_budget_but_keeps_what_was_answered(make_project: MakeProject) -> None:
    project = make_project(80, budget=80, estimate_share=0.5)
    drawn = project.estimate.image_ids().tolist()
    outside = next(one for one in range(80) if one not in drawn)
    project.annotations.append(answer_event(outside, 0))
    for image_id in drawn[:15]:
        project.annotations.append(answer_event(image_id, 1))
    change_settings(project, budget=20)
    assert project.estimate.image_ids().tolist() == drawn[:15]
    change_settings(project, budget=80)
    assert (
        set(drawn) >= set(project.estimate.image_ids().tolist()) and len(project.estimate.image_ids()) == 40
    )
    change_settings(project, budget=79, estimate_share=0.0)
    assert project.estimate.image_ids().tolist() == drawn[:15]
    assert project.labels.counts().for_estimate == 15 and project.labels.counts().for_training == 1


def test_copies_and_broken_files_are_replaced_in_the_estimate_set(make_project: MakeProject) -> None:
    project = make_project(0, estimate_share=0.5)
    save_pictures(project.photos, 12)
    for number in range(20):
        (project.photos / f"broken-{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
        (project.photos / f"copy-{number}.png").write_bytes((project.photos / "000.png").read_bytes())
    project.images.sync()
    drawn = project.estimate.image_ids()
    assert project.images.count() == 12 and drawn.size == 6
    assert set(drawn.tolist()) <= set(project.images.labelable_ids().tolist())


def test_an_answered_image_never_enters_the_estimate_set(make_project: MakeProject) -> None:
    project = make_project(10, estimate_share=0.0)
    for image_id in range(10):
        project.annotations.append(answer_event(image_id, 0))
    save_pictures(project.photos, 10, first=10)
    change_settings(project, estimate_share=0.5)
    project.images.sync()
    assert project.estimate.image_ids().tolist() == list(range(10, 20))
    assert {label.use for label in project.labels.all()} == {"training"}


def test_images_that_enter_after_others_were_chosen_are_late(make_project: MakeProject) -> None:
    project = make_project(80, budget=40, estimate_share=0.5)
    first = set(project.estimate.image_ids().tolist())
    outside = [one for one in range(80) if one not in first]
    for image_id in outside[:3]:
        project.annotations.append(answer_event(image_id, 0, provenance=Provenance(None, BY_CHANCE, None)))
    change_settings(project, budget=50)
    second = set(project.estimate.image_ids().tolist())
    assert len(second) == 25 and project.estimate.late_ids().size == 0  # chance has chosen nothing
    chosen = next(one for one in outside[3:] if one not in second)
    project.annotations.append(answer_event(chosen, 1, provenance=Provenance(0, "margin", 0.5)))
    change_settings(project, budget=60)
    third = set(project.estimate.image_ids().tolist())
    assert len(third) == 30 and set(project.estimate.late_ids().tolist()) == third - second
    change_settings(project, budget=54)
    fourth = set(project.estimate.image_ids().tolist())
    assert len(fourth) == 27 and fourth >= second
    assert set(project.estimate.late_ids().tolist()) == fourth - second


def test_new_photos_that_enlarge_it_are_late_too(make_project: MakeProject) -> None:
    project = make_project(40, estimate_share=0.5)
    assert project.estimate.image_ids().size == 20
    outside = next(one for one in range(40) if one not in project.estimate.image_ids())
    project.annotations.append(answer_event(outside, 0, provenance=Provenance(None, BROWSING, None)))
    save_pictures(project.photos, 20, first=40)
    project.images.sync()
    assert project.estimate.image_ids().size == 30 and project.estimate.late_ids().size == 10


def order_of(photos: Path, seed: int | None = None, share: float = 0.2) -> tuple[list[int], list[int]]:
    """The estimate set of a project, and its other images in their random order; synced with the folder."""
    with Project.create_or_open(photos, seed=seed) as project:
        change_settings(project, estimate_share=share)
        project.images.sync()
        return (
            project.estimate.image_ids().tolist(),
            [cell.image_id for cell in project.grid.unlabelled_page("Ann", count=200).cells],
        )


def test_the_seed_of_a_project_draws_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("none", "zero", "one", "one again", "two")]
    for folder in folders:
        save_pictures(folder, 40)
    none, zero, one, same, two = (
        order_of(folder, seed) for folder, seed in zip(folders, (None, 0, 1, 1, 2), strict=True)
    )
    assert none == zero and one == same
    assert len({tuple(drawn) for drawn, _ in (zero, one, two)}) == 3


def test_a_project_with_images_keeps_its_seed(tmp_path: Path) -> None:
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    save_pictures(grown, 30)
    before, _ = order_of(grown, 1)
    assert order_of(grown, 2)[0] == before
    save_pictures(grown, 30, first=30)
    save_pictures(whole, 60)
    assert order_of(grown, 2, share=0.0)[1] == order_of(whole, 1, share=0.0)[1], "new images follow it too"
