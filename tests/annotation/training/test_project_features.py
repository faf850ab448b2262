"""The features of a project's images, read beside labelling: which, in which order, and what survives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import Project, project_features
from aral.annotation.project_features import ProjectFeatures
from aral.errors import RunFailed
from aral.representations import Backbone
from aral.testing import answer_event, save_noise, tiny_backbone

PATIENCE_SECONDS = 20.0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.01)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(12):
        save_noise(tmp_path / "photos" / f"{number:02d}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def project(photos: Path) -> Iterator[Project]:
    with Project.create_or_open(photos, class_names=("a", "b")) as opened:
        opened.images.sync()
        yield opened


def read_all(project: Project, backbone: Backbone) -> ProjectFeatures:
    features = ProjectFeatures(project, backbone, workers=1)
    features.start()
    wait_for(lambda: features.is_complete)
    return features


def test_every_image_that_can_be_labelled_is_read_once(project: Project) -> None:
    backbone = tiny_backbone()
    features = read_all(project, backbone)
    assert features.ids().tolist() == project.images.labelable_ids().tolist()
    assert features.progress()[:2] == (12, 12)
    rows = features.of(np.array([3, 0], dtype=np.int64))
    features.close()
    assert rows.shape == (2, backbone.feature_size) and not np.allclose(rows[0], rows[1])

    again = ProjectFeatures(project, tiny_backbone())
    again.start()
    assert again.ids().size == 12, "known before anything is read"
    assert np.array_equal(again.of(np.array([3, 0], dtype=np.int64)), rows), "in the order of the ids"
    again.close()


def test_an_image_that_is_copied_is_read_once_and_one_that_is_added_is_read_too(
    project: Project, photos: Path
) -> None:
    features = read_all(project, tiny_backbone())
    save_noise(photos / "copy.png", 3)
    save_noise(photos / "new.png", 99)
    project.images.sync()
    wait_for(lambda: features.is_complete and features.ids().size == 13)
    features.close()


def test_a_file_that_has_gone_or_changed_is_counted_and_stops_nothing(project: Project, photos: Path) -> None:
    (photos / "05.png").unlink()
    save_noise(photos / "07.png", 77)
    features = read_all(project, tiny_backbone())
    by_name = {each.name: each.id for each in project.images.all()}
    assert features.refused == 2
    assert set(by_name.values()) - set(features.ids().tolist()) == {by_name["05.png"], by_name["07.png"]}
    features.close()


def test_answered_images_come_first_then_leased_ones_then_the_estimate_set(project: Project) -> None:
    cards = project.queue.next_cards("Ann", 3)
    leased = {card.image_id for card in cards}
    free = [int(each) for each in project.images.labelable_ids() if each not in leased]
    answered = free[-1]
    project.annotations.append(answer_event(answered, 0))
    in_set = set(project.estimate.image_ids().tolist())
    order = [image for image, _, _ in project.images.by_urgency()]
    assert order[0] == answered and set(order[1:4]) == leased
    rest = [image in in_set for image in order[4:]]
    assert rest == sorted(rest, reverse=True), "the estimate set before the others"
    assert len(order) == 12


def test_urgent_images_are_the_beginning_of_all_images(project: Project) -> None:
    project.queue.next_cards("Ann", 2)
    answered = int(project.images.labelable_ids()[-1])
    project.annotations.append(answer_event(answered, 0))
    everything, urgent = project.images.by_urgency(), project.images.by_urgency(urgent_only=True)
    assert urgent == everything[: len(urgent)]
    in_set = set(project.estimate.image_ids().tolist())
    assert {answered} | in_set <= {image for image, _, _ in urgent} and len(urgent) < len(everything)


def test_an_urgent_image_is_read_next_without_looking_up_all_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_features, "FIRST_PART", 2)
    monkeypatch.setattr(project_features, "LARGEST_PART", 2)
    extract, read, looked_up = project_features.extract_features, [], []
    listed = type(project.images).by_urgency

    def counted(images: object, urgent_only: bool = False) -> list[tuple[int, str, str]]:
        looked_up.append(urgent_only)
        return listed(images, urgent_only)  # type: ignore[arg-type]

    last = [image for image, _, _ in project.images.by_urgency()][-1]

    def extracted(images: object, *arguments: object, **more: object) -> object:
        read.append([Path(name).name for name in images.names])  # type: ignore[attr-defined]
        if len(read) == 2:
            project.annotations.append(answer_event(last, 0))
        return extract(images, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(project.images), "by_urgency", counted)
    monkeypatch.setattr(project_features, "extract_features", extracted)
    features = read_all(project, tiny_backbone())
    features.close()
    assert read[2][0] == project.images.get(last).name
    assert sorted(name for part in read for name in part) == [f"{number:02d}.png" for number in range(12)]
    assert looked_up.count(False) == 1


def test_images_that_come_while_others_are_read_are_read_too(project: Project, photos: Path) -> None:
    features = read_all(project, tiny_backbone())
    save_noise(photos / "99.png", 99)
    project.images.sync()
    wait_for(lambda: features.count() == 13 and features.is_complete)
    features.close()


def test_what_was_read_before_a_kill_is_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_features, "FIRST_PART", 4)
    monkeypatch.setattr(project_features, "LARGEST_PART", 4)
    extract, parts = project_features.extract_features, []

    def killed(*arguments: object, **more: object) -> object:
        if parts:
            raise RuntimeError("killed")
        parts.append(extract(*arguments, **more))  # type: ignore[arg-type]
        return parts[0]

    with monkeypatch.context() as patched:
        patched.setattr(project_features, "extract_features", killed)
        features = ProjectFeatures(project, tiny_backbone(), workers=1)
        features.start()
        wait_for(lambda: features.has_failed)
        with pytest.raises(RunFailed, match="killed"):
            features.check()
        features.close()
    again = ProjectFeatures(project, tiny_backbone(), workers=1)
    again.start()
    assert again.ids().size >= 4
    wait_for(lambda: again.is_complete)
    assert again.ids().size == 12
    again.close()
