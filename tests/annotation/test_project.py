"""The folder of a project, its access rights, what is refused, and the pace of labelling."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import (
    Project,
)
from aral.errors import BadInput
from aral.testing import answer_event
from tests.annotation.conftest import MakeProject, change_settings, label_map, save_pictures


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_everything_is_for_its_owner_alone(project: Project, photos: Path) -> None:
    assert project.folder == photos / ".aral" and project.photos == photos
    assert stat.S_IMODE(project.folder.stat().st_mode) == 0o700
    project.images.thumbnail(1)
    assert modes(project.folder) == {0o600}


def test_a_project_is_found_by_its_photos_or_its_folder(project: Project, photos: Path) -> None:
    project.annotations.append(answer_event(2, 1))
    for folder in (photos, photos / ".aral"):
        with Project.open(folder) as again:
            assert label_map(again) == {2: 1} and again.photos == photos


def test_a_project_moves_with_its_photos(project: Project, photos: Path) -> None:
    project.annotations.append(answer_event(2, 1))
    project.close()
    moved = photos.rename(photos.with_name("elsewhere"))
    with Project.open(moved) as again:
        assert again.photos == moved and again.images.picture(2, "full").startswith(b"\xff\xd8")


def test_a_project_may_lie_elsewhere(photos: Path, tmp_path: Path) -> None:
    save_pictures(photos, 3)
    photos.chmod(0o500)
    place = tmp_path / "deep" / "project"
    try:
        with Project.create_or_open(photos, place, ("cat",)) as project:
            project.images.sync()
            assert project.images.count() == 3 and not (photos / ".aral").exists()
        with Project.open(place) as again:
            assert again.photos == photos and again.folder == place
    finally:
        photos.chmod(0o700)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(BadInput, match=f"belongs to the photos in {photos}"):
        Project.create_or_open(other, place)


def test_read_only_photos_need_another_project_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BadInput, match="--project"):
        Project.create_or_open(photos)


def test_harmful_project_folders_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lies inside the photos"):
        Project.create_or_open(photos, photos / "project")
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letter.txt").touch()
    with pytest.raises(BadInput, match="no project and not empty"):
        Project.create_or_open(photos, home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    with pytest.raises(BadInput, match="no folder"):
        Project.create_or_open(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"There is no project in .*\n.*aral label"):
        Project.open(photos)
    with pytest.raises(BadInput, match="budget of 0"):
        Project.create_or_open(photos, budget=0)


def test_another_kind_of_file_or_a_newer_one_is_refused(project: Project, photos: Path) -> None:
    project.close()
    file = photos / ".aral" / "project.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(BadInput, match="layout 99, from a newer release"):
        Project.open(photos)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA application_id = 5")
    with pytest.raises(BadInput, match="not the store of a project"):
        Project.open(photos)
    file.write_bytes(b"no database at all")
    with pytest.raises(BadInput, match="damaged or no store of a project"):
        Project.open(photos)


def test_the_budget_stays_until_another_is_given(project: Project, photos: Path) -> None:
    for given_budget, expected in ((40, 40), (None, 40), (50, 50)):
        with Project.create_or_open(photos, budget=given_budget) as again:
            assert again.settings.get().budget == expected


def test_changes_grow_with_changes_only(project: Project) -> None:
    counts = [project.changes()]
    for act in (
        lambda: project.annotations.append(answer_event(1, 0)),
        lambda: project.classes.rename(0, "Katze", "Ann"),
        lambda: project.images.sync(),
    ):
        act()
        counts.append(project.changes())
    assert counts == sorted(set(counts))
    project.queue.next_cards("Ann", 3)
    project.labels.all()
    assert project.changes() == counts[-1]


def test_two_processes_may_start_the_same_project_at_once(photos: Path) -> None:
    save_pictures(photos, 3)
    children = []
    started = time.time() + 0.3
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                time.sleep(max(0.0, started - time.time()))
                with Project.create_or_open(photos, class_names=("cat", "dog")) as project:
                    project.classes.add(f"class {number}", "Ann")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    with Project.open(photos) as project:
        names = [known.name for known in project.classes.all()]
    assert sorted(names) == ["cat", "class 0", "class 1", "class 2", "class 3", "dog"]


def test_pace_over_the_last_minutes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    change_settings(project, budget=20)
    for number in range(11):
        monkeypatch.setattr("time.time", lambda number=number: 1000.0 + 6 * number)
        project.annotations.append(answer_event(number, 0))
        assert project.pace("Ann").labels_per_minute == pytest.approx(
            {0: 0.0, 1: 6.0}.get(number, 10.0)  # in the first ten seconds no more than these tell
        )
    found = project.pace("Ann")
    assert found.labels_per_minute == pytest.approx(10.0)
    assert found.seconds_left == pytest.approx(9 * 6.0)
    assert found.left == 9
    project.queue.replace(0, np.arange(10, 16), np.arange(6.0), [""] * 6, "margin", np.arange(0))
    assert project.queue.remaining() == 5  # image 10 is answered
    assert project.pace("Ann").round_seconds_left == pytest.approx(5 * 6.0)
    change_settings(project, budget=500)  # more than there are images for
    project.annotations.append(answer_event(20, "bad image"))
    assert (project.pace("Ann").left, project.pace("Ann").seconds_left) == (18, pytest.approx(18 * 6.0))
    change_settings(project, budget=5)
    assert (project.pace("Ann").left, project.pace("Ann").seconds_left) == (0, 0.0)
    change_settings(project, budget=None)
    assert project.pace("Ann").left == 18
    assert project.pace("Bob").labels_per_minute == 0 and project.pace("Bob").seconds_left is None
    monkeypatch.setattr("time.time", lambda: 1000.0 + 60 + 301)
    assert project.pace("Ann").seconds_left is None


def test_the_rest_of_a_query_includes_images_of_the_estimate_set(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a budget of 20 ten measure, so every second card does: five of a round take ten answers."""
    project = make_project(30, budget=20, estimate_share=0.5)
    measuring = set(project.estimate.image_ids().tolist())
    others = [image_id for image_id in range(30) if image_id not in measuring]
    assert len(measuring) == 10
    for number in range(4):
        monkeypatch.setattr("time.time", lambda number=number: 1000.0 + 6 * number)
        project.annotations.append(answer_event(others[number], 0))
    project.queue.replace(0, np.array(others[4:9]), np.arange(5.0), [""] * 5, "margin", np.arange(0))
    assert project.pace("Ann").round_seconds_left == pytest.approx(10 * 6.0)
    for image_id in sorted(measuring)[:7]:
        project.annotations.append(answer_event(image_id, 0, "Bob"))
    assert project.pace("Ann").round_seconds_left == pytest.approx(8 * 6.0)  # three are left to measure
