"""What a round is trained on: recorded before it starts, together with all answers known by then."""

from __future__ import annotations

from aral.loop import Store
from aral.loop.training_set import known_answers, read_training_set, trained_classes
from aral.testing import FakeLearner, planted_data
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer

DATA = planted_data()


def test_all_answers_known_by_then_are_recorded(store: Store, make_session) -> None:
    session = make_session(store, FakeLearner(3))
    ids = session.ask(6).ids.tolist()
    reasons = (NoClass.SKIP, NoClass.UNSURE, NoClass.BAD_IMAGE, NoClass.NONE_OF_THESE)
    answers: list[Answer] = [ClassAnswer(ids[0], 2), ClassAnswer(ids[1], 0)]
    answers += [NoClassAnswer(image, reason) for image, reason in zip(ids[2:], reasons, strict=True)]
    session.tell(answers, "test")
    assert known_answers(store, 0) == [] and trained_classes(store, 0) == {}
    session.fit()
    session.tell([ClassAnswer(ids[0], 1)], "test")
    assert known_answers(store, 0) == sorted(answers, key=lambda answer: answer.image_id)
    assert trained_classes(store, 0) == {ids[0]: 2, ids[1]: 0}
    found = read_training_set(store, 0, DATA.pool, 3)
    assert found.labelled.ids.tolist() == sorted(ids[:2]) and found.ood.tolist() == [ids[5]]
    assert set(found.unlabelled.ids) == set(DATA.pool.ids) - {ids[0], ids[1], ids[4], ids[5]}


def test_a_training_set_of_an_earlier_version_is_read(store: Store) -> None:
    """Without out-of-distribution images, skips and unsure answers."""
    store.record_document(0, "training set", {"ids": [3, 7], "classes": [1, 0], "excluded": [5]})
    found = read_training_set(store, 0, DATA.pool, 3)
    assert found.labelled.classes.tolist() == [1, 0] and not found.ood.size
    assert known_answers(store, 0) == [
        ClassAnswer(3, 1),
        NoClassAnswer(5, NoClass.BAD_IMAGE),
        ClassAnswer(7, 0),
    ]
