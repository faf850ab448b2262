"""Projects on features: a quick classifier after a few answers, a slower one behind it, a pool that grows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aral.annotation import (
    Project,
    Trainer,
    TrainingOptions,
    project_features,
    session_folders,
    trained_models,
    trainer,
    training_presets,
    training_run,
)
from aral.annotation.refinement import Comparison, Refinement
from aral.annotation.training_run import POOL
from aral.errors import RunFailed
from aral.learners.linear import Linear
from aral.testing import answer_event, digit_class, save_digits
from tests.annotation.training.conftest import PATIENCE_SECONDS, MakeProject, settle

OPTIONS = TrainingOptions(representation="gradients", threads=1)
Decide = Callable[[bool], None]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for further answers, and a slower learner of a few steps."""
    monkeypatch.setattr(training_run, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(trainer, "SHORT_SECONDS", 0.01)
    monkeypatch.setitem(training_presets.FACTORS, "normal", 0.005)


@pytest.fixture
def decide(monkeypatch: pytest.MonkeyPatch) -> Decide:
    """Whether cross-validation finds the slower learner better."""

    def set_to(better: bool) -> None:
        monkeypatch.setattr(Comparison, "slow_is_better", property(lambda self: better))

    return set_to


def answer(project: Project, count: int) -> list[int]:
    """Answer the next images outside the estimate set with their true classes."""
    cards = [card for card in project.queue.next_cards("Ann", 60, fresh=True) if card.purpose != "estimate"][
        :count
    ]
    project.annotations.append_many(
        [answer_event(card.image_id, digit_class(card.name), "Ann") for card in cards]
    )
    return [card.image_id for card in cards]


def test_the_first_query_covers_the_folder_and_a_few_answers_give_a_model(make_project: MakeProject) -> None:
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    assert project.queue.remaining() == 10 and not project.models.all()
    answered = answer(project, 4)
    provenance = project.labels.provenance()
    assert {provenance[image].strategy for image in answered} == {"centroids"}
    settle(worker, project)
    newest = project.models.newest()
    assert newest is not None and newest.method == "linear" and newest.trained_on == 4
    assert project.queue.remaining() == 6, "the first query is answered to its end"
    answer(project, 6)
    settle(worker, project)
    assert project.queue.remaining() == 10
    chosen = answer(project, 3)
    provenance = project.labels.provenance()
    assert {provenance[image].strategy for image in chosen} == {"uncertainty-herding"}
    settle(worker, project)
    worker.close()
    newest = project.models.newest()
    assert newest is not None and newest.trained_on == 13, "three answers are enough for a new model"
    cards = project.queue.next_cards("Ann", 60, fresh=True)
    reserve = [card for card in cards if card.purpose == "reserve"]
    assert len(reserve) >= 15 and all(card.round is not None for card in reserve)
    suggested = project.predictions.get(int(project.images.labelable_ids()[0]))
    assert suggested is not None and suggested.class_id in {each.id for each in project.classes.all()}


@pytest.mark.parametrize(
    ("checked", "sign"),
    [
        ({}, ""),
        ({"generated recognised": 0.9, "generated spread": 0.8}, ""),
        ({"generated recognised": 0.9, "generated spread": 0.01}, "nearly all the same"),
        ({"generated recognised": 0.3, "generated spread": 0.8}, "33 % is chance"),
    ],
)
def test_a_generator_of_no_use_is_named_in_the_progress_view(
    checked: dict[str, float], sign: str, make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Linear, "check_generated", lambda *_: dict(checked), raising=False)
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 8)
    settle(worker, project)
    worker.close()
    newest = project.models.newest()
    assert newest is not None
    said = project.models.hidden_generated_images(newest.number)
    assert sign in said and bool(said) == bool(sign)


def test_the_slower_learner_replaces_the_quick_one_and_stands_while_labels_are_few(
    make_project: MakeProject, decide: Decide
) -> None:
    decide(True)
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 20)
    settle(worker, project)
    newest = project.models.newest()
    assert newest is not None and newest.method != "linear" and newest.trained_on == 20
    assert "by cross-validation on the training labels" in newest.reason.lower()
    assert newest.per_class and sum(each.labels for each in newest.per_class) == 20
    before = newest.number
    decide(False)
    answer(project, 1)
    settle(worker, project)
    worker.close()
    newest = project.models.newest()
    assert newest is not None and newest.method == "linear" and newest.number > before
    assert "linear" in newest.reason and newest.trained_on == 21, "it gives way when it is no longer better"


def test_a_quick_model_replaces_a_slower_one_of_much_fewer_labels(
    make_project: MakeProject, decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(True)
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 10)
    settle(worker, project)
    assert [each.method for each in project.models.all()] == ["linear", "pseudo-label"]
    monkeypatch.setattr(Refinement, "can_compare", lambda self, classes: False)
    answer(project, 2)
    settle(worker, project)
    assert [each.trained_on for each in project.models.all()] == [10, 10], "the slower one stands"
    answer(project, 4)
    settle(worker, project)
    worker.close()
    newest = project.models.newest()
    assert newest is not None and (newest.method, newest.trained_on) == ("linear", 16)
    assert 16 > trained_models.OUTDATED * 10


@pytest.mark.parametrize(("more", "newest_of"), [(2, ("pseudo-label", 10)), (6, ("linear", 16))])
def test_a_slower_model_that_is_late_does_not_replace_a_quick_one_of_much_more_labels(
    make_project: MakeProject,
    decide: Decide,
    monkeypatch: pytest.MonkeyPatch,
    more: int,
    newest_of: tuple[str, int],
) -> None:
    decide(True)
    work, begun = Refinement.work, []
    project = make_project()

    def answered_meanwhile(self: Refinement, *given: object) -> Iterator[float]:
        begun.append(project.labels.counts().for_training)
        answer(project, more)
        yield 0.0
        time.sleep(0.02)  # until the trainer looks for answers again
        yield 0.0
        monkeypatch.setattr(Refinement, "can_compare", lambda self, classes: False)
        return (yield from work(self, *given))  # type: ignore[arg-type]

    monkeypatch.setattr(Refinement, "work", answered_meanwhile)
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 10)
    settle(worker, project)
    worker.close()
    assert begun == [10] and project.labels.counts().for_training == 10 + more
    newest = project.models.newest()
    assert newest is not None and (newest.method, newest.trained_on) == newest_of


def test_answers_that_come_while_it_compares_are_learned_from_first(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(training_presets.FACTORS, "normal", 0.1)
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 12)
    while "Comparing" not in project.models.training_state().message:
        assert worker.turn()
        if project.models.newest() is not None:
            answer(project, 1)
    newest = project.models.newest()
    assert newest is not None and newest.method == "linear"
    settle(worker, project)
    worker.close()
    counts = [each.trained_on for each in project.models.all() if each.method == "linear"]
    assert counts == sorted(counts) and counts[-1] == project.labels.counts().for_training


def test_the_estimate_set_is_not_looked_at_by_the_comparison(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    work = Refinement.work

    def noted(self: Refinement, labelled: object, stream: object) -> object:
        seen.extend([labelled.images.ids, self.pool.ids])  # type: ignore[attr-defined]
        return work(self, labelled, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Refinement, "work", noted)
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    cards = project.queue.next_cards("Ann", 30)
    project.annotations.append_many(
        [answer_event(card.image_id, digit_class(card.name), "Ann") for card in cards]
    )
    settle(worker, project)
    worker.close()
    assert project.labels.counts().for_estimate > 0 and seen
    in_set = project.estimate.image_ids()
    assert not any(np.isin(ids, in_set).any() for ids in seen)


def test_new_images_begin_a_new_run_on_the_same_labels(make_project: MakeProject, photos: Path) -> None:
    project = make_project(40)
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 6)
    settle(worker, project)
    before = project.models.newest()
    save_digits(photos, 20, first=40)
    project.images.sync()
    settle(worker, project)
    worker.close()
    after = project.models.newest()
    assert before is not None and after is not None and after.trained_on == before.trained_on
    assert [number for number, _ in session_folders(project.folder)] == [1, 2]
    new = [each.id for each in project.images.all()][40:]
    assert all(project.predictions.get(image) is not None for image in new)


def test_another_process_goes_on_with_the_run_and_a_damaged_pool_begins_a_new_one(
    make_project: MakeProject,
) -> None:
    project = make_project()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    answer(project, 6)
    settle(worker, project)
    worker.close()
    before = project.models.all(), session_folders(project.folder)
    again = Trainer(project, OPTIONS)
    settle(again, project)
    again.close()
    assert (project.models.all(), session_folders(project.folder)) == before
    (pool,) = project.folder.glob(f"session-*/{POOL}/*.safetensors")
    pool.write_bytes(pool.read_bytes()[:50])
    third = Trainer(project, OPTIONS)
    settle(third, project)
    third.close()
    assert len(session_folders(project.folder)) == 2
    newest = project.models.newest()
    assert newest is not None and newest.trained_on == 6


def test_a_removed_cache_is_made_again(make_project: MakeProject) -> None:
    project = make_project(30)
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    worker.close()
    shutil.rmtree(project.folder / "features")
    again = Trainer(project, OPTIONS)
    settle(again, project)
    assert project.queue.remaining() == 10
    again.close()


def test_a_cache_cut_short_is_named_and_nothing_is_lost(make_project: MakeProject) -> None:
    project = make_project(30)
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    worker.close()
    (rows,) = (project.folder / "features").glob("*/features.bin")
    rows.write_bytes(rows.read_bytes()[:100])
    again = Trainer(project, OPTIONS)
    again.turn()
    state = project.models.training_state()
    assert state.phase == "failed" and "cut short" in state.message and "rm -r" in state.message
    assert answer(project, 2)
    again.close()


def test_a_file_that_has_gone_is_counted_in_what_the_trainer_says(
    make_project: MakeProject, photos: Path
) -> None:
    project = make_project(30)
    next(iter(sorted(photos.glob("*.png")))).unlink()
    worker = Trainer(project, OPTIONS)
    settle(worker, project)
    assert "1 image is left out" in project.models.training_state().message
    worker.close()


def test_a_failure_while_images_are_read_is_reported_at_once(
    make_project: MakeProject, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the trainer waits for answers: no change of the project wakes it."""
    project = make_project(40)
    deadline = time.monotonic() + PATIENCE_SECONDS
    messages: list[str] = []

    def stopping() -> bool:
        """Breaks the reading of images as soon as the trainer waits; ends once it has reported that."""
        assert time.monotonic() < deadline, messages
        state = project.models.training_state()
        messages.append(state.message)
        if state.phase == "idle" and len(project.images.all()) == 40:
            monkeypatch.setattr(project_features, "extract_features", fail)
            save_digits(photos, 20, first=40)
            project.images.sync()
        return state.phase == "failed"

    def fail(*_: object, **__: object) -> None:
        time.sleep(0.5)  # the trainer waits again meanwhile
        raise RunFailed("The cache of features was not written: no space left.")

    Trainer(project, OPTIONS, stopping).run()
    assert "no space left" in messages[-1]
