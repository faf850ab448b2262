"""The trainer turn by turn: what it asks, when it trains, what it never trains on, what it does after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aral.annotation import (
    Classifier,
    Project,
    Provenance,
    Trainer,
    TrainingOptions,
    changed_options,
    session_folders,
    trained_models,
    training_run,
)
from aral.annotation.training_run import TrainingRun, identity_of
from aral.benchmarking import Hardware, read_run
from aral.errors import BadInput, RunFailed
from aral.learners.engine import Engine
from aral.loop import Observer, Store
from aral.loop.reading import store_reading
from aral.testing import TINY_TRAINING, answer_cards, answer_event, digit_class, run_trainer
from aral.types import ClassAnswer, NoClass, NoClassAnswer
from tests.annotation.training.conftest import MakeProject


def queue_ids(project: Project) -> list[int]:
    """What the newest round asks for; nothing is leased by looking."""
    (*_, (_, folder)) = session_folders(project.folder)
    with store_reading(folder) as store:
        queries = [store.query(number) for number in range(len(store.rounds()) + 1)]
    return [int(each) for each in next(each for each in reversed(queries) if each is not None).ids]


def session_store(project: Project, number: int = 1) -> Store:
    return Store.open(project.folder / f"session-{number}", create=False)


def test_it_asks_before_the_first_label_and_trains_when_they_are_in(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    assert project.queue.remaining() == 5 and not project.models.all()
    assert project.models.training_state().phase == "idle"
    answer_cards(project, 4)
    run_trainer(trainer)
    assert not project.models.all(), "the query is not answered yet"
    while project.queue.remaining():
        answer_cards(project, 2)
    run_trainer(trainer)
    (model,) = project.models.all()
    assert model.trained_on == 5 == sum(figure.labels for figure in model.per_class)
    assert model.estimate is not None and model.estimate.count == project.labels.counts().for_estimate
    assert model.estimate.low <= model.estimate.accuracy <= model.estimate.high
    assert sum(map(sum, model.confusion)) == model.estimate.count
    assert project.queue.remaining() == 5, "the next query is there"
    assert project.predictions.get(int(project.images.labelable_ids()[0])) is not None
    assert project.models.generated_images() is None, "after four steps they are noise"
    assert "not shown" in project.models.hidden_generated_images(model.number)
    trainer.close()
    assert project.models.training_state().phase == "off"


def test_a_generator_that_makes_one_image_of_each_class_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_models, "why_hidden", lambda *_: "")
    monkeypatch.setattr(Engine, "check_generated", lambda *_: {"generated spread": 0.01})
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    while project.queue.remaining():
        answer_cards(project, 2)
    run_trainer(trainer)
    trainer.close()
    (model,) = project.models.all()
    assert "nearly all the same" in project.models.hidden_generated_images(model.number)
    assert project.models.generated_images() is None


def test_the_last_labels_of_the_budget_are_trained_on(make_project: MakeProject) -> None:
    # Twenty images measure; 23 labels are left for training in rounds of five.
    project = make_project(budget=43)
    trainer = Trainer(project, TINY_TRAINING)
    while project.labels.counts().labelled < 43:
        run_trainer(trainer)
        answer_cards(project, 1)
    assert [model.trained_on for model in project.models.all()][-1] == 20 and project.queue.remaining() > 0
    run_trainer(trainer)
    assert project.models.all()[-1].trained_on == 23 == project.labels.counts().for_training
    answer_cards(project, 1)
    run_trainer(trainer)
    trainer.close()
    assert project.models.all()[-1].trained_on == 23, "beyond the budget whole rounds are waited for again"


def test_the_estimate_set_is_never_trained_on(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    for _ in range(6):
        run_trainer(trainer)
        answer_cards(project, 6)
    run_trainer(trainer)
    trainer.close()
    measured = set(project.estimate.image_ids().tolist())
    with session_store(project) as store:
        trained = [store.document(row.round, "training set") for row in store.rounds()]
        asked = {int(each) for row in store.rounds() for each in store.query(row.round).ids}  # type: ignore[union-attr]
    assert len(trained) >= 3
    for body in trained:
        assert isinstance(body, dict) and not measured & set(body["ids"])
        names = [project.images.get(image_id).name for image_id in body["ids"]]
        assert body["classes"] == [digit_class(name) for name in names]
    assert not measured & asked
    assert project.labels.counts().for_estimate > 0


def test_one_class_alone_is_not_trained_on(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    for image_id in queue_ids(project):
        project.annotations.append(answer_event(image_id, 0))
    run_trainer(trainer)
    assert not project.models.all()
    rest = [int(each) for each in project.images.labelable_ids() if each not in project.estimate.image_ids()]
    labelled = {label.image_id for label in project.labels.all()}
    project.annotations.append(answer_event(next(each for each in rest if each not in labelled), 1))
    run_trainer(trainer)
    trainer.close()
    assert project.models.all()[0].trained_on == 6


def test_skips_bad_images_and_changed_minds(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    skipped, bad, none, *rest = queue_ids(project)
    project.annotations.append_many(
        [answer_event(skipped, "skip"), answer_event(bad, "bad image"), answer_event(none, "none of these")]
    )
    project.annotations.append_many([answer_event(each, place % 2) for place, each in enumerate(rest)])
    run_trainer(trainer)
    (model,) = project.models.all()
    assert model.trained_on == len(rest)
    with run_of(trainer, project) as run:
        store, labels = run.store, run.session.labels
        body = store.document(0, "training set")
        assert isinstance(body, dict)
        assert sorted(body["excluded"]) == sorted([bad, none])
        assert (body["ood"], body["skip"]) == ([none], [skipped])
        run.read_labels()
        assert NoClassAnswer(skipped, NoClass.SKIP) in labels.answers()
        assert {skipped, bad, none} & {int(each) for each in store.query(1).ids} == set()  # type: ignore[union-attr]
        # A class after the skip counts, and what is undone is gone.
        project.annotations.append(answer_event(skipped, 2))
        project.annotations.append(answer_event(rest[0], "undo"))
        run.read_labels()
        answers = {answer.image_id: answer for answer in labels.answers()}
        assert answers[skipped] == ClassAnswer(skipped, 2) and rest[0] not in answers
        assert rest[0] in run.session.candidates().ids, "it may be asked for again"
        assert run.changed_labels() == 2
        free = int(run.session.candidates().without(np.array([rest[0]])).ids[0])
        project.annotations.append(answer_event(free, 1))
        run.read_labels()
        assert run.changed_labels() == 3
        project.annotations.append(answer_event(free, "undo"))
        run.read_labels()
        assert run.changed_labels() == 2 and free not in run.labels()


def test_without_any_label_left_it_waits(trained: Project) -> None:
    """As after the undo of an import that gave all labels."""
    trained.annotations.append_many(
        [answer_event(each.image_id, "undo", each.annotator) for each in list(trained.annotations.current())]
    )
    assert trained.labels.counts().labelled == 0
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    assert trained.models.training_state().phase == "idle"
    trainer.close()


def run_of(trainer: Trainer, project: Project) -> TrainingRun:
    trainer.close()
    return TrainingRun(project, identity_of(project, TINY_TRAINING), Observer())


def test_a_turn_reads_only_what_is_new_in_the_annotation_log(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, list[int]]] = []
    whole = trained.labels.changed_since

    def noted(seq: int) -> object:
        newest, changed = whole(seq)
        read.append((seq, [each.image_id for each in changed]))
        return newest, changed

    monkeypatch.setattr(trained.labels, "changed_since", noted)
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    assert {seq for seq, _ in read[:2]} == {0}, "a new process reads the whole log once"
    image_id = queue_ids(trained)[0]
    trained.annotations.append(answer_event(image_id, 1))
    read.clear()
    trainer.turn()
    assert [images for _, images in read if images] == [[image_id]] * 2, "for training and for the estimate"
    read.clear()
    trainer.turn()
    assert read and not any(images for _, images in read)
    trainer.close()


def test_the_run_of_a_project_holds_no_second_log_of_labels(trained: Project) -> None:
    with session_store(trained) as store:
        assert store.labels.history() == []
        body = store.document(0, "training set")
    labels = {label.image_id: label.class_id for label in trained.labels.all() if label.use == "training"}
    assert isinstance(body, dict) and dict(zip(body["ids"], body["classes"], strict=True)) == labels
    reported = read_run(trained.folder / "session-1").rounds[0].answers
    assert {image_id: answer.class_index for image_id, answer in reported.items()} == labels  # type: ignore[union-attr]


def test_a_new_query_takes_over_from_the_old_one(project: Project) -> None:
    """Ann has one image of the first query on her page, another is not leased: only that one can be queried again."""
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    shown, left, *answered = queue_ids(project)
    assert shown in [card.image_id for card in project.queue.next_cards("Ann", 2)]
    pool = [int(each) for each in project.images.labelable_ids() if each not in project.estimate.image_ids()]
    free = [each for each in pool if each not in (shown, left, *answered)][:2]
    # As many answers as the round wants, two of them to images that were not queried.
    project.annotations.append_many(
        [answer_event(each, place % 2, "Bob") for place, each in enumerate((*answered, *free))]
    )
    run_trainer(trainer)
    trainer.close()
    assert project.models.all()[0].trained_on == 5
    cards = [card for card in project.queue.next_cards("Bob", 60) if card.purpose != "estimate"]
    query = [each for each in queue_ids(project) if each != shown]
    assert [card.image_id for card in cards[: len(query)]] == query, "nothing comes before the new query"
    assert shown not in {card.image_id for card in cards} and {card.round for card in cards} <= {1, None}
    # What Ann sees is still hers to answer, and her answer is one to the first query.
    project.annotations.append(answer_event(shown, 1, "Ann"))
    project.annotations.append_many([answer_event(card.image_id, 0, "Bob") for card in cards])
    with session_store(project) as store:
        first, second = store.query(0), store.query(1)
    assert first is not None and second is not None
    said = project.labels.provenance()
    assert said[shown] == Provenance(
        0, "typical-clusters", dict(zip(first.ids, first.scores, strict=True))[shown]
    )
    scores = dict(zip(second.ids, second.scores, strict=True))
    assert said[query[0]] == Provenance(1, "aral-graph", scores[query[0]])
    reserve = [said[card.image_id] for card in cards if card.purpose == "reserve"]
    assert {(each.round, each.strategy) for each in reserve} == {(1, "aral-graph")}
    assert all(each.score is not None for each in reserve), "each was ranked by the new model"
    assert {label.image_id: label.class_id for label in project.labels.all()}[shown] == 1


def test_images_of_an_old_query_can_be_queried_again(project: Project) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    left, skipped, *answered = queue_ids(project)
    pool = [int(each) for each in project.images.labelable_ids() if each not in project.estimate.image_ids()]
    spare = [each for each in pool if each not in (left, skipped, *answered)][:3]
    rest = [each for each in pool if each not in (left, skipped, *spare)]
    project.annotations.append(answer_event(skipped, "skip"))
    project.annotations.append_many(
        [answer_event(each, digit_class(project.images.get(each).name)) for each in rest]
    )
    run_trainer(trainer)
    trainer.close()
    assert sorted(queue_ids(project)) == sorted([left, *spare]), "all images that were not leased"
    cards = {card.image_id: card for card in project.queue.next_cards("Bob", 60) if card.purpose == "query"}
    assert cards.keys() == {left, *spare} and {card.round for card in cards.values()} == {1}


def test_another_class_begins_a_new_run_on_the_same_labels(trained: Project) -> None:
    first = trained.models.all()[0]
    added = trained.classes.add("three", "Ann")
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    models = trained.models.all()
    assert [model.round for model in models] == [0, 1]
    assert models[1].class_ids == (*first.class_ids, added.id)
    assert models[1].trained_on == first.trained_on
    assert [path.name for path in sorted(trained.folder.glob("session-*"))] == ["session-1", "session-2"]
    assert not (trained.folder / "session-1" / "checkpoints").exists()
    trained.classes.rename(added.id, "drei", "Ann")
    run_trainer(trainer)
    assert len(trained.models.all()) == 2, "another name is the same class"
    trained.classes.merge(added.id, 0, "Ann")
    run_trainer(trainer)
    trainer.close()
    assert trained.models.all()[-1].class_ids == first.class_ids


def test_what_was_done_is_not_done_again(trained: Project) -> None:
    before = trained.models.all(), queue_ids(trained)
    trainer = Trainer(trained, TINY_TRAINING)
    assert not trainer.turn()
    trainer.close()
    assert (trained.models.all(), queue_ids(trained)) == before


class Killed(BaseException):
    """Stands in for SIGKILL: nothing in the trainer may take it for an error of its own."""


@pytest.mark.parametrize(
    "place", ["models.record", "predictions.replace", "models.hide_generated_images", "queue.replace"]
)
def test_killed_at_any_write_it_ends_at_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    trainer = Trainer(project, TINY_TRAINING)
    run_trainer(trainer)
    project.annotations.append_many(
        [
            answer_event(each, digit_class(project.images.get(each).name) if turn else 1)
            for turn, each in enumerate(queue_ids(project))
        ]
    )
    if len({label.class_id for label in project.labels.all()}) < 2:
        project.annotations.append(answer_event(queue_answered(project)[0], 2))

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        part, method = place.split(".")
        patched.setattr(getattr(project, part), method, killed)
        with pytest.raises(Killed):
            run_trainer(trainer)
    trainer.close()
    again = Trainer(project, TINY_TRAINING)
    run_trainer(again)
    again.close()
    (model,) = project.models.all()
    classifier = Classifier.load(project.folder / model.folder)
    with TrainingRun(project, identity_of(project, TINY_TRAINING), Observer()) as run:
        everything = run.images.everything
        probabilities = classifier.probabilities(everything)
    said = [project.predictions.get(int(each)) for each in everything.ids]
    assert [each.class_id for each in said if each] == [
        model.class_ids[place] for place in probabilities.argmax(axis=1)
    ]
    assert project.queue.remaining() == 5


def queue_answered(project: Project) -> list[int]:
    return [label.image_id for label in project.labels.all()]


def test_a_failure_is_reported_and_not_repeated_before_new_answers(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(trained, TINY_TRAINING)

    def fail(*arguments: object) -> None:
        raise RunFailed("The disk is full.", "Free some space.")

    with monkeypatch.context() as patched:
        patched.setattr("aral.loop.Session.fit", fail)
        while trained.queue.remaining():
            answer_cards(trained, 3)
        run_trainer(trainer)
        state = trained.models.training_state()
        assert (state.phase, state.message) == ("failed", "The disk is full. Free some space.")
        assert not trainer.turn()
    answer_cards(trained, 3)
    run_trainer(trainer)
    trainer.close()
    assert len(trained.models.all()) == 2


def test_new_labels_of_the_estimate_set_update_the_newest_estimate(trained: Project) -> None:
    before = trained.models.all()[0]
    assert before.estimate is not None
    done = {label.image_id for label in trained.labels.all()}
    open_ids = [int(each) for each in trained.estimate.image_ids() if int(each) not in done]
    trained.annotations.append_many(
        [answer_event(each, digit_class(trained.images.get(each).name)) for each in open_ids]
    )
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    trainer.close()
    (after,) = trained.models.all()
    assert after.estimate is not None
    assert after.estimate.count == before.estimate.count + len(open_ids)
    assert (after.number, after.trained_on, after.seconds) == (
        before.number,
        before.trained_on,
        before.seconds,
    )


def test_the_device_is_chosen_once_recorded_and_given_to_the_learner(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    make = training_run.make_learner

    def noted(*arguments: object) -> object:
        devices.append(str(arguments[-1]))
        return make(*arguments[:-1], "cpu")  # type: ignore[arg-type]

    monkeypatch.setattr(training_run, "make_learner", noted)

    def opened(options: TrainingOptions = TINY_TRAINING) -> tuple[int, object]:
        with TrainingRun(trained, identity_of(trained, options), Observer()) as run:
            return run.number, run.spec.device

    assert opened() == (1, "cpu")
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr("aral.benchmarking.spec.measured", lambda device: Hardware("float32", 1, 1))
        assert opened() == (1, "cpu"), "a run keeps its device"
        on_gpu = changed_options(TINY_TRAINING, {"device": "cuda"})
        assert opened(on_gpu) == (2, "cuda")
        assert opened(changed_options(TINY_TRAINING, {"device": "auto", "seed": 1})) == (3, "cuda")
        assert devices == ["cpu", "cpu", "cuda", "cuda"]
    assert opened(changed_options(TINY_TRAINING, {"seed": 1})) == (4, "cpu"), (
        "the GPU is gone: another run begins"
    )
    with pytest.raises(BadInput, match="no GPU that PyTorch can use"):
        opened(on_gpu)


def test_a_run_from_before_an_option_existed_is_continued(trained: Project) -> None:
    with session_store(trained) as store:
        identity = store.setting("identity")
        assert isinstance(identity, dict)
        del identity["options"]["device"]
        store.record_setting("identity", identity)
    trainer = Trainer(trained, TINY_TRAINING)
    run_trainer(trainer)
    trainer.close()
    assert [path.name for path in trained.folder.glob("session-*")] == ["session-1"]


def test_a_run_with_settings_of_an_earlier_version_is_followed_by_a_new_one(trained: Project) -> None:
    with session_store(trained) as store:
        spec = store.setting("spec")
        assert isinstance(spec, dict)
        store.record_setting("spec", {**spec, "model": {}})
    with TrainingRun(trained, identity_of(trained, TINY_TRAINING), Observer()) as run:
        assert run.number == 2


def test_waiting_for_classes_and_images(photos: Path) -> None:
    photos.mkdir()
    with Project.create_or_open(photos, class_names=("only",)) as project:
        trainer = Trainer(project, TINY_TRAINING)
        assert not trainer.turn() and "images" in project.models.training_state().message
        trainer.close()
