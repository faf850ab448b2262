"""The trainer turn by turn: what it asks, when it trains, what it never trains on, what it does after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aral.annotation import Asking, Classifier, Project, Trainer, session_folders
from aral.annotation.course import Course
from aral.annotation.sessions import identity_of
from aral.annotation.training_images import read_answers
from aral.errors import RunFailed
from aral.loop import Observer, Store
from aral.loop.reading import store_reading
from aral.types import ClassAnswer, NoClass, NoClassAnswer
from tests.annotation.training.conftest import OPTIONS, MakeProject, answer_cards, class_of, given, work


def queue_ids(project: Project) -> list[int]:
    """What the newest round asks for; nothing is leased by looking."""
    (*_, (_, folder)) = session_folders(project.folder)
    with store_reading(folder) as store:
        queries = [store.query(number) for number in range(len(store.rounds()) + 1)]
    return [int(each) for each in next(each for each in reversed(queries) if each is not None).ids]


def session_store(project: Project, number: int = 1) -> Store:
    return Store.open(project.folder / f"session-{number}", create=False)


def test_it_asks_before_the_first_label_and_trains_when_they_are_in(project: Project) -> None:
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    assert project.queue_left() == 5 and not project.models()
    assert project.training_state().phase == "idle"
    answer_cards(project, 4)
    work(trainer)
    assert not project.models(), "the query is not answered yet"
    while project.queue_left():
        answer_cards(project, 2)
    work(trainer)
    (model,) = project.models()
    assert model.trained_on == 5 == sum(figure.labels for figure in model.per_class)
    assert model.estimate is not None and model.estimate.count == project.answered_count().for_estimate
    assert model.estimate.low <= model.estimate.accuracy <= model.estimate.high
    assert sum(map(sum, model.confusion)) == model.estimate.count
    assert project.queue_left() == 5, "the next query is there"
    assert project.prediction(int(project.labelable_ids()[0])) is not None
    generated = project.generated()
    assert generated is not None and generated.startswith(b"\xff\xd8")
    trainer.close()
    assert project.training_state().phase == "off"


def test_the_last_labels_of_the_budget_are_trained_on(make_project: MakeProject) -> None:
    # Twenty images measure; 23 labels are left for training in rounds of five.
    project = make_project(budget=43)
    trainer = Trainer(project, OPTIONS)
    while project.answered_count().labelled < 43:
        work(trainer)
        answer_cards(project, 1)
    assert [model.trained_on for model in project.models()][-1] == 20 and project.queue_left() > 0
    work(trainer)
    assert project.models()[-1].trained_on == 23 == project.answered_count().for_training
    answer_cards(project, 1)
    work(trainer)
    trainer.close()
    assert project.models()[-1].trained_on == 23, "beyond the budget whole rounds are waited for again"


def test_the_estimate_slice_is_never_trained_on(project: Project) -> None:
    trainer = Trainer(project, OPTIONS)
    for _ in range(6):
        work(trainer)
        answer_cards(project, 6)
    work(trainer)
    trainer.close()
    measured = set(project.estimate_slice().tolist())
    with session_store(project) as store:
        trained = [store.document(row.round, "training set") for row in store.rounds()]
        asked = {int(each) for row in store.rounds() for each in store.query(row.round).ids}  # type: ignore[union-attr]
    assert len(trained) >= 3
    for body in trained:
        assert isinstance(body, dict) and not measured & set(body["ids"])
        names = [project.image(image_id).name for image_id in body["ids"]]
        assert body["classes"] == [class_of(name) for name in names]
    assert not measured & asked
    assert project.answered_count().for_estimate > 0


def test_one_class_alone_is_not_trained_on(project: Project) -> None:
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    for image_id in queue_ids(project):
        project.answer(given(image_id, 0))
    work(trainer)
    assert not project.models()
    rest = [int(each) for each in project.labelable_ids() if each not in project.estimate_slice()]
    labelled = {label.image_id for label in project.labels()}
    project.answer(given(next(each for each in rest if each not in labelled), 1))
    work(trainer)
    trainer.close()
    assert project.models()[0].trained_on == 6


def test_skips_bad_images_and_changed_minds(project: Project) -> None:
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    skipped, bad, none, *rest = queue_ids(project)
    project.answers([given(skipped, "skip"), given(bad, "bad image"), given(none, "none of these")])
    project.answers([given(each, place % 2) for place, each in enumerate(rest)])
    work(trainer)
    (model,) = project.models()
    assert model.trained_on == len(rest)
    with session_store_of(trainer, project) as course:
        store = course.store
        body = store.document(0, "training set")
        assert isinstance(body, dict)
        assert sorted(body["excluded"]) == sorted([bad, none])
        said = {answer.image_id: answer for answer in store.answers()}
        assert said[skipped] == NoClassAnswer(skipped, NoClass.SKIP)
        assert {skipped, bad, none} & {int(each) for each in store.query(1).ids} == set()  # type: ignore[union-attr]
        # A class after the skip counts, and what is taken back is gone.
        project.answer(given(skipped, 2))
        project.answer(given(rest[0], "undo"))
        course.take_in(read_answers(project))
        said = {answer.image_id: answer for answer in store.answers()}
        assert said[skipped] == ClassAnswer(skipped, 2)
        assert said[rest[0]] == NoClassAnswer(rest[0], NoClass.SKIP), "asked in an earlier round: closed"
        assert course.news() == 2
        free = int(course.images.pool.without(np.array(list(said))).ids[0])
        project.answer(given(free, 1))
        course.take_in(read_answers(project))
        assert course.news() == 3
        project.answer(given(free, "undo"))
        course.take_in(read_answers(project))
        assert course.news() == 2 and free not in course.labels()


def session_store_of(trainer: Trainer, project: Project) -> Course:
    trainer.close()
    return Course(project, identity_of(project, OPTIONS), Observer())


def test_a_new_query_takes_over_from_the_old_one(project: Project) -> None:
    """Ann has one image of the first query on her page, nobody has another: that one alone goes back."""
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    shown, left, *answered = queue_ids(project)
    assert shown in [card.image_id for card in project.next_cards("Ann", 2)]
    pool = [int(each) for each in project.labelable_ids() if each not in project.estimate_slice()]
    free = [each for each in pool if each not in (shown, left, *answered)][:2]
    # As many answers as the round wants, two of them to images that nobody asked for.
    project.answers([given(each, place % 2, "Bob") for place, each in enumerate((*answered, *free))])
    work(trainer)
    trainer.close()
    assert project.models()[0].trained_on == 5
    cards = [card for card in project.next_cards("Bob", 60) if card.purpose != "estimate"]
    query = [each for each in queue_ids(project) if each != shown]
    assert [card.image_id for card in cards[: len(query)]] == query, "nothing comes before the new query"
    assert shown not in {card.image_id for card in cards} and {card.round for card in cards} <= {1, None}
    # What Ann sees is still hers to answer, and her answer is one to the first query.
    project.answer(given(shown, 1, "Ann"))
    project.answers([given(card.image_id, 0, "Bob") for card in cards])
    with session_store(project) as store:
        first, second = store.query(0), store.query(1)
    assert first is not None and second is not None
    said = project.askings()
    assert said[shown] == Asking(
        0, "typical-clusters", dict(zip(first.ids, first.scores, strict=True))[shown]
    )
    scores = dict(zip(second.ids, second.scores, strict=True))
    assert said[query[0]] == Asking(1, "aral-graph", scores[query[0]])
    reserve = [said[card.image_id] for card in cards if card.purpose == "reserve"]
    assert {(each.round, each.strategy) for each in reserve} == {(1, "aral-graph")}
    assert all(each.score is not None for each in reserve), "each was ranked by the new model"
    assert {label.image_id: label.class_id for label in project.labels()}[shown] == 1


def test_what_was_left_over_can_be_asked_for_again(project: Project) -> None:
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    left, skipped, *answered = queue_ids(project)
    pool = [int(each) for each in project.labelable_ids() if each not in project.estimate_slice()]
    spare = [each for each in pool if each not in (left, skipped, *answered)][:3]
    rest = [each for each in pool if each not in (left, skipped, *spare)]
    project.answer(given(skipped, "skip"))
    project.answers([given(each, class_of(project.image(each).name)) for each in rest])
    work(trainer)
    trainer.close()
    assert sorted(queue_ids(project)) == sorted([left, *spare]), "all that nobody has looked at"
    cards = {card.image_id: card for card in project.next_cards("Bob", 60) if card.purpose == "query"}
    assert cards.keys() == {left, *spare} and {card.round for card in cards.values()} == {1}


def test_another_class_begins_a_new_course_on_the_same_labels(trained: Project) -> None:
    first = trained.models()[0]
    added = trained.add_class("three", "Ann")
    trainer = Trainer(trained, OPTIONS)
    work(trainer)
    models = trained.models()
    assert [model.round for model in models] == [0, 1]
    assert models[1].class_ids == (*first.class_ids, added.id)
    assert models[1].trained_on == first.trained_on
    assert [path.name for path in sorted(trained.folder.glob("session-*"))] == ["session-1", "session-2"]
    assert not (trained.folder / "session-1" / "checkpoints").exists()
    trained.rename_class(added.id, "drei", "Ann")
    work(trainer)
    assert len(trained.models()) == 2, "another name is the same class"
    trained.merge_classes(added.id, 0, "Ann")
    work(trainer)
    trainer.close()
    assert trained.models()[-1].class_ids == first.class_ids


def test_what_was_done_is_not_done_again(trained: Project) -> None:
    before = trained.models(), queue_ids(trained)
    trainer = Trainer(trained, OPTIONS)
    assert not trainer.turn()
    trainer.close()
    assert (trained.models(), queue_ids(trained)) == before


class Killed(BaseException):
    """Stands in for SIGKILL: nothing in the trainer may take it for an error of its own."""


@pytest.mark.parametrize("place", ["record_model", "set_predictions", "set_generated", "set_queue"])
def test_killed_at_any_write_it_ends_at_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    trainer = Trainer(project, OPTIONS)
    work(trainer)
    project.answers(
        [
            given(each, class_of(project.image(each).name) if turn else 1)
            for turn, each in enumerate(queue_ids(project))
        ]
    )
    if len({label.class_id for label in project.labels()}) < 2:
        project.answer(given(queue_answered(project)[0], 2))

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(project, place, killed)
        with pytest.raises(Killed):
            work(trainer)
    trainer.close()
    again = Trainer(project, OPTIONS)
    work(again)
    again.close()
    (model,) = project.models()
    classifier = Classifier.load(project.folder / model.folder)
    course = Course(project, identity_of(project, OPTIONS), Observer())
    with course:
        probabilities = classifier.probabilities(course.images.everything)
    said = [project.prediction(int(each)) for each in course.images.everything.ids]
    assert [each.class_id for each in said if each] == [
        model.class_ids[place] for place in probabilities.argmax(axis=1)
    ]
    assert project.queue_left() == 5


def queue_answered(project: Project) -> list[int]:
    return [label.image_id for label in project.labels()]


def test_trouble_is_said_and_waits_for_other_answers(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(trained, OPTIONS)

    def fail(*arguments: object) -> None:
        raise RunFailed("The disk is full.", "Free some space.")

    with monkeypatch.context() as patched:
        patched.setattr("aral.loop.Session.fit", fail)
        while trained.queue_left():
            answer_cards(trained, 3)
        work(trainer)
        state = trained.training_state()
        assert (state.phase, state.message) == ("failed", "The disk is full. Free some space.")
        assert not trainer.turn()
    answer_cards(trained, 3)
    work(trainer)
    trainer.close()
    assert len(trained.models()) == 2


def test_new_labels_of_the_slice_sharpen_the_newest_estimate(trained: Project) -> None:
    before = trained.models()[0]
    assert before.estimate is not None
    done = {label.image_id for label in trained.labels()}
    open_ids = [int(each) for each in trained.estimate_slice() if int(each) not in done]
    trained.answers([given(each, class_of(trained.image(each).name)) for each in open_ids])
    trainer = Trainer(trained, OPTIONS)
    work(trainer)
    trainer.close()
    (after,) = trained.models()
    assert after.estimate is not None
    assert after.estimate.count == before.estimate.count + len(open_ids)
    assert (after.number, after.trained_on, after.seconds) == (
        before.number,
        before.trained_on,
        before.seconds,
    )


def test_waiting_for_classes_and_images(photos: Path) -> None:
    photos.mkdir()
    with Project.create_or_open(photos, class_names=("only",)) as project:
        trainer = Trainer(project, OPTIONS)
        assert not trainer.turn() and "images" in project.training_state().message
        trainer.close()
