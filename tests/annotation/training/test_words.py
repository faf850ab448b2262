"""Projects whose backbone has text: suggestions from the class names until there is a model, and search by words."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aral.annotation import (
    Project,
    Trainer,
    TrainingOptions,
    TrainingState,
    export,
    status,
    trainer,
    training_run,
)
from aral.annotation.predictions import hides_suggestion
from aral.annotation.project_features import ProjectFeatures
from aral.annotation.refinement import Refinement
from aral.annotation.training_run import TrainingRun
from aral.annotation.word_search import answer_searches
from aral.errors import BadInput
from aral.representations import Backbone, TextTower
from aral.testing import CountingTrunk, answer_event, text_image_backbone
from aral.testing.backbones import COLOURS, ColourWords
from tests.annotation.training.conftest import settle

OPTIONS = TrainingOptions(representation="hf:tiny", threads=1)
CLASSES = ("green", "red")


def save_colours(photos: Path, count: int) -> None:
    """Noisy images of one colour each, ``COLOUR-NNN.png``."""
    photos.mkdir(exist_ok=True)
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
        pixels = 0.6 * np.array(COLOURS[name]) + 0.4 * noise
        Image.fromarray(pixels.astype(np.uint8)).save(photos / f"{name}-{number:03d}.png")


@pytest.fixture
def backbone(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A backbone with text that knows colours, under the name that the projects have."""
    made = text_image_backbone()
    monkeypatch.setattr(trainer, "make_backbone", lambda settings: made)
    monkeypatch.setattr(training_run, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(trainer, "SHORT_SECONDS", 0.01)
    monkeypatch.setattr(Refinement, "can_compare", lambda self, classes: False)
    return made


@pytest.fixture
def project(tmp_path: Path, backbone: Backbone) -> Iterator[Project]:
    """Fifty images, forty labels, some of them for the estimate set."""
    save_colours(tmp_path / "photos", 50)
    with Project.create_or_open(tmp_path / "photos", class_names=CLASSES, budget=40) as project:
        project.images.sync()
        yield project


@pytest.fixture
def worker(project: Project) -> Iterator[Trainer]:
    worker = Trainer(project, OPTIONS)
    yield worker
    worker.close()


Answer = Callable[[int], None]


@pytest.fixture
def answer(project: Project) -> Answer:
    """Give the next images outside the estimate set their true classes."""

    def give(count: int) -> None:
        cards = project.queue.next_cards("Ann", 60, fresh=True)
        chosen = [card for card in cards if card.purpose != "estimate"][:count]
        events = [
            answer_event(card.image_id, true_class(card.name), suggestion_shown=True) for card in chosen
        ]
        project.annotations.append_many(events)

    return give


def true_class(name: str) -> int:
    return CLASSES.index(name.partition("-")[0])


def test_suggestions_of_the_class_names_before_the_first_answer(project: Project, worker: Trainer) -> None:
    settle(worker, project)
    table = project.predictions.table()
    assert table.model_number == -1 and table.ids.tolist() == project.images.labelable_ids().tolist()
    for image_id in table.ids.tolist():
        found = project.predictions.get(image_id)
        assert found is not None and found.is_zero_shot
        assert found.class_id == true_class(project.images.get(image_id).name)
        assert 0.5 < found.probability <= 1
    made = project.predictions.zero_shot()
    assert made is not None and (made.images, made.classes) == (50, ((0, "green"), (1, "red")))
    assert made.representation == "tiny-text"
    settle(worker, project)
    assert project.predictions.number() == -1, "nothing has changed"


def test_they_are_no_round_of_training(project: Project, worker: Trainer, tmp_path: Path) -> None:
    settle(worker, project)
    assert project.models.all() == [] and project.models.newest_number() is None
    assert project.models.newest_estimate() is None and project.models.advice() is None
    found = status(project)
    assert found.facts["models"] == 0
    assert found.facts["suggestions"] == {"method": "zero-shot", "representation": "tiny-text", "images": 50}
    said = " ".join(found.sentences)
    assert "Nothing is trained yet." in said and "Suggestions are zero-shot" in said
    assert "Suggestions are zero-shot" in project.models.training_state().message


def test_they_are_withheld_as_those_of_a_model_are(project: Project, worker: Trainer) -> None:
    settle(worker, project)
    cards = project.queue.next_cards("Ann", 60)
    in_set = set(project.estimate.image_ids().tolist())
    hidden = dict(
        zip((card.image_id for card in cards), hides_suggestion([c.image_id for c in cards]), strict=True)
    )
    withheld = {card.image_id for card in cards if card.suggestion is None or card.hidden_suggestion}
    assert in_set and in_set <= withheld and any(hidden.values())
    assert withheld == in_set | {image for image, is_hidden in hidden.items() if is_hidden}
    shown = {cell.image_id for cell in project.grid.predictions_page("Ann").cells}
    assert shown and not shown & withheld
    with pytest.raises(BadInput, match="is hidden, so it cannot be accepted"):
        project.annotations.append(answer_event(next(iter(in_set)), 0, suggestion_shown=True, accepted=True))


def test_the_first_model_replaces_them(
    project: Project, worker: Trainer, answer: Answer, tmp_path: Path
) -> None:
    settle(worker, project)
    answer(4)
    settle(worker, project)
    assert [each.trained_on for each in project.models.all()] == [4]
    assert project.predictions.number() == 1 and project.predictions.zero_shot() is None
    project.classes.rename(0, "blue", "Ann")
    settle(worker, project)
    assert project.predictions.number() > 0, "there is a model"
    found = status(project)
    assert found.facts["suggestions"] == {"method": "linear"}
    assert "zero-shot" not in " ".join(found.sentences) + project.models.training_state().message


def test_a_contradiction_of_theirs_is_no_label_to_check_and_not_exported(
    project: Project, worker: Trainer, tmp_path: Path
) -> None:
    settle(worker, project)
    card = next(card for card in project.queue.next_cards("Ann", 60) if card.purpose != "estimate")
    project.annotations.append(answer_event(card.image_id, 1 - true_class(card.name)))
    assert project.labels.suspects(10) == []
    export(project, tmp_path / "out", ["csv"])
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out" / "labels.csv").read_text("utf-8-sig")))
    assert (row["suggestion"], row["probability"]) == ("", "")


def test_they_follow_the_classes(project: Project, worker: Trainer) -> None:
    settle(worker, project)
    project.classes.rename(0, "blue", "Ann")
    settle(worker, project)
    assert project.predictions.number() == -2
    project.classes.add("green", "Ann")
    settle(worker, project)
    assert project.predictions.number() == -3
    table = project.predictions.table()
    names = {each.id: each.name for each in project.classes.all()}
    for image_id, class_id in zip(table.ids.tolist(), table.classes.tolist(), strict=True):
        assert project.images.get(image_id).name.startswith(names[class_id])


def test_they_are_made_again_for_images_that_came_later(
    project: Project, worker: Trainer, tmp_path: Path
) -> None:
    settle(worker, project)
    save_colours(tmp_path / "photos", 54)
    project.images.sync()
    settle(worker, project)
    assert project.predictions.number() == -2 and project.predictions.table().ids.size == 54


def test_a_restart_keeps_them(project: Project, worker: Trainer, backbone: Backbone) -> None:
    settle(worker, project)
    worker.close()
    assert backbone.text is not None and isinstance(backbone.text.embed, ColourWords)
    before = backbone.text.embed.texts
    again = Trainer(project, OPTIONS)
    settle(again, project)
    again.close()
    assert project.predictions.number() == -1 and backbone.text.embed.texts == before


def test_a_text_tower_that_fails_does_not_stop_training(
    project: Project, worker: Trainer, answer: Answer, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[str]] = []

    def fail(texts: Sequence[str]) -> Tensor:
        calls.append(texts)
        raise BadInput("The tokenizer is gone.", "Install it.")

    monkeypatch.setattr(
        trainer, "make_backbone", lambda settings: replace(backbone, text=TextTower(fail, 1.0))
    )
    settle(worker, project)
    assert project.predictions.number() == 0
    said = project.models.training_state().message
    assert "no zero-shot suggestions: The tokenizer is gone. Install it." in said
    project.classes.rename(0, "blue", "Ann")
    settle(worker, project)
    assert len(calls) == 1, "they are tried once"
    answer(4)
    settle(worker, project)
    assert project.predictions.number() == 1


def test_without_text_there_are_none(
    project: Project, worker: Trainer, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "make_backbone", lambda settings: replace(backbone, text=None))
    settle(worker, project)
    assert project.predictions.number() == 0 and project.predictions.zero_shot() is None
    assert status(project).facts["suggestions"] is None
    assert isinstance(backbone.trunk, CountingTrunk) and backbone.trunk.images


# Search by words


def test_a_search_orders_the_images_outside_the_estimate_set(project: Project, worker: Trainer) -> None:
    settle(worker, project)
    number = project.searches.request("something red")
    settle(worker, project)
    found = project.searches.get(number)
    assert found.ids is not None and found.similarities is not None and found.unread == 0
    outside = np.setdiff1d(project.images.labelable_ids(), project.estimate.image_ids())
    assert sorted(found.ids.tolist()) == outside.tolist()
    names = [project.images.get(image_id).name for image_id in found.ids.tolist()]
    red = sum(name.startswith("red") for name in names)
    assert all(name.startswith("red") for name in names[:red]) and 0 < red < len(names)
    assert (np.diff(found.similarities) <= 0).all() and found.similarities[0] > 0.8


def test_images_that_are_not_read_yet_are_counted(
    project: Project, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(ProjectFeatures(project, backbone)) as features:  # not started: nothing is read
        project.searches.set_representation("tiny-text")
        project.models.set_training_state(TrainingState("reading"))
        number = project.searches.request("red")
        answer_searches(project, features)
    found = project.searches.get(number)
    outside = np.setdiff1d(project.images.labelable_ids(), project.estimate.image_ids())
    assert found.ids is not None and found.ids.size == 0 and found.unread == outside.size > 0


def test_a_search_is_answered_while_it_trains(
    project: Project, worker: Trainer, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(worker, project)
    answer(4)
    number = project.searches.request("green")
    before = TrainingRun.fit
    monkeypatch.setattr(trainer, "SHORT_SECONDS", 0.0)

    def fit(self: TrainingRun, stopping: Callable[[], bool]) -> None:
        again = project.searches.request("red")
        stopping()
        assert project.searches.get(again).ids is not None
        before(self, stopping)

    monkeypatch.setattr(TrainingRun, "fit", fit)
    settle(worker, project)
    assert project.models.newest_number() == 1, project.models.training_state()
    assert project.searches.get(number).ids is not None


def test_whether_images_can_be_searched_follows_the_representation(
    project: Project, worker: Trainer, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(worker, project)
    assert project.searches.representation() == "tiny-text"
    worker.close()
    monkeypatch.setattr(trainer, "make_backbone", lambda settings: replace(backbone, text=None))
    other = Trainer(project, OPTIONS)
    settle(other, project)
    other.close()
    assert project.searches.representation() == ""


def test_a_search_that_fails_is_refused_with_the_reason(
    project: Project, worker: Trainer, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(worker, project)
    assert backbone.text is not None
    monkeypatch.setattr(ColourWords, "__call__", lambda self, texts: torch.full((len(texts), 12), torch.nan))
    number = project.searches.request("red")
    settle(worker, project)
    assert "NaN or infinite" in project.searches.get(number).problem
