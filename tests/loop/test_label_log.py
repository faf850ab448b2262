"""The log of labels: events sent twice count once, undo walks back, nothing is changed; only news is read."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aral.errors import BadInput
from aral.loop import AnswerRow, CurrentLabels, LabelChanges, Store
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer

IMAGES = 4


def test_undo_walks_back_one_answer_at_a_time(store: Store) -> None:
    answers: list[tuple[Answer, str]] = [
        (ClassAnswer(7, 1), "a"),
        (ClassAnswer(3, 0), "b"),
        (NoClassAnswer(7, NoClass.BAD_IMAGE), "c"),
        (ClassAnswer(7, 2), "d"),
    ]
    store.labels.record(answers, 0, "ann")
    assert store.labels.answers() == [ClassAnswer(3, 0), ClassAnswer(7, 2)]
    store.labels.undo(7, "e")
    assert store.labels.answers() == [ClassAnswer(3, 0), NoClassAnswer(7, NoClass.BAD_IMAGE)]
    store.labels.undo(7, "f")
    assert store.labels.answers() == [ClassAnswer(3, 0), ClassAnswer(7, 1)]
    store.labels.record([(ClassAnswer(7, 5), "g")], 1, "bob")
    store.labels.undo(7, "h")
    store.labels.undo(7, "i")
    assert store.labels.answers() == [ClassAnswer(3, 0)]
    with pytest.raises(BadInput, match="Image 7 has no answer to undo"):
        store.labels.undo(7, "j")
    events = [(row.seq, row.kind, row.cancels, row.annotator, row.round) for row in store.labels.history()]
    assert events == [
        (1, "class", None, "ann", 0),
        (2, "class", None, "ann", 0),
        (3, "bad image", None, "ann", 0),
        (4, "class", None, "ann", 0),
        (5, "undo", 4, "ann", 0),
        (6, "undo", 3, "ann", 0),
        (7, "class", None, "bob", 1),
        (8, "undo", 7, "bob", 1),
        (9, "undo", 1, "ann", 0),
    ]


def test_labels_of_nothing_are_empty_arrays_of_integers(store: Store) -> None:
    current = CurrentLabels(store.labels)
    current.refresh()
    ids, classes = current.labels()
    assert ids.shape == classes.shape == (0,)
    assert ids.dtype == classes.dtype == np.int64
    assert store.labels.answers() == []


def test_a_repeated_uuid_adds_nothing_and_a_reused_one_is_refused(store: Store) -> None:
    store.labels.record([(ClassAnswer(1, 0), "a")], 0, "ann")
    store.labels.undo(1, "b")
    store.labels.record([(ClassAnswer(1, 0), "a")], 0, "ann")
    assert store.labels.answers() == [], "an answer that was undone does not return with its repetition"
    with pytest.raises(BadInput, match="Event a was recorded already"):
        store.labels.record([(ClassAnswer(2, 0), "new"), (ClassAnswer(1, 1), "a")], 0, "ann")
    assert len(store.labels.history()) == 2, "a refused batch leaves nothing"
    store.labels.record([(ClassAnswer(1, 0), "c"), (ClassAnswer(1, 2), "d")], 0, "ann")
    store.labels.undo(1, "e")
    store.labels.undo(1, "e")
    assert store.labels.answers() == [ClassAnswer(1, 0)], "a repeated undo takes back one answer only"
    with pytest.raises(BadInput, match="Event e was recorded already"):
        store.labels.undo(2, "e")


@pytest.mark.parametrize(
    "answer, round", [(ClassAnswer(-1, 0), 0), (ClassAnswer(0, -1), 0), (ClassAnswer(0, 0), -1)]
)
def test_negative_numbers_are_refused(store: Store, answer: Answer, round: int) -> None:
    with pytest.raises(BadInput, match="CHECK"):
        store.labels.record([(ClassAnswer(5, 0), "a"), (answer, "b")], round, "ann")
    assert store.labels.history() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers SET class_index = 9",
        "UPDATE answers SET annotator = annotator WHERE seq = 1",
        "DELETE FROM answers",
        "DELETE FROM answers WHERE seq = 1",
        "INSERT OR REPLACE INTO answers VALUES (1, 'z', 1, 0, 'class', 9, NULL, 'x', '')",
        "INSERT OR REPLACE INTO answers VALUES (9, 'a', 1, 0, 'class', 9, NULL, 'x', '')",
        "INSERT OR REPLACE INTO answers VALUES (9, 'z', 1, 0, 'undo', NULL, 1, 'x', '')",
        "INSERT INTO answers VALUES (9, 'a', 1, 0, 'class', 9, NULL, 'x', '') "
        "ON CONFLICT (uuid) DO UPDATE SET class_index = 9",
    ],
)
def test_answers_are_append_only_for_every_program(tmp_path: Path, statement: str) -> None:
    with Store.open(tmp_path / "run", create=True) as store:
        store.labels.record([(ClassAnswer(1, 0), "a"), (ClassAnswer(1, 1), "b")], 0, "ann")
        store.labels.undo(1, "c")
        store.labels.undo(1, "d")
        before = store.labels.history()
    with closing(sqlite3.connect(tmp_path / "run" / "store.sqlite")) as other:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
        other.commit()
    with Store.open(tmp_path / "run", create=False) as store:
        assert store.labels.history() == before


def test_only_what_is_new_is_read(store: Store) -> None:
    store.labels.record([(ClassAnswer(1, 0), "a"), (ClassAnswer(2, 1), "b")], 0, "ann")
    first = store.labels.since(0)
    assert first.answers == {1: ClassAnswer(1, 0), 2: ClassAnswer(2, 1)}
    store.labels.undo(2, "c")
    store.labels.record([(NoClassAnswer(3, NoClass.NONE_OF_THESE), "d")], 0, "ann")
    second = store.labels.since(first.cursor)
    assert second.answers == {2: None, 3: NoClassAnswer(3, NoClass.NONE_OF_THESE)}
    assert store.labels.since(second.cursor) == LabelChanges(second.cursor, {})


def test_answers_by_what_training_makes_of_them(store: Store) -> None:
    reasons = [NoClass.NONE_OF_THESE, NoClass.BAD_IMAGE, NoClass.SKIP, NoClass.UNSURE]
    answers = [NoClassAnswer(9 - place, reason) for place, reason in enumerate(reasons)]
    store.labels.record([(answer, str(answer)) for answer in (*answers, ClassAnswer(2, 1))], 0, "ann")
    current = CurrentLabels(store.labels)
    assert not current.answered().size, "nothing was read yet"
    current.refresh()
    assert current.answered().tolist() == [2, 6, 7, 8, 9]
    assert (current.ood().tolist(), current.excluded().tolist()) == ([9], [8, 9])
    assert current.without_class(NoClass.SKIP, NoClass.UNSURE).tolist() == [6, 7]
    assert current.classes() == {2: 1}


class Labelling(RuleBasedStateMachine):
    """The store against plain lists: for every image a list of the answers that were not undone."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.open(self.folder, create=True)
        self.current = CurrentLabels(self.store.labels)
        self.valid: dict[int, list[Answer]] = {image: [] for image in range(IMAGES)}
        self.sent: list[tuple[Answer | None, int]] = []
        self.history: list[AnswerRow] = []

    @rule(image=st.integers(0, IMAGES - 1), content=st.one_of(st.integers(0, 2), st.sampled_from(NoClass)))
    def answer(self, image: int, content: int | NoClass) -> None:
        answer = ClassAnswer(image, content) if isinstance(content, int) else NoClassAnswer(image, content)
        self.store.labels.record([(answer, f"event {len(self.sent)}")], 0, "ann")
        self.valid[image].append(answer)
        self.sent.append((answer, image))

    @rule(image=st.integers(0, IMAGES - 1))
    def undo(self, image: int) -> None:
        if self.valid[image]:
            self.store.labels.undo(image, f"event {len(self.sent)}")
            self.valid[image].pop()
            self.sent.append((None, image))
        else:
            with pytest.raises(BadInput, match="no answer to undo"):
                self.store.labels.undo(image, "never")

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.sent) - 1))
        answer, image = self.sent[number]
        if answer is None:
            self.store.labels.undo(image, f"event {number}")
        else:
            self.store.labels.record([(answer, f"event {number}")], 0, "ann")

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.folder, create=False)
        self.current = CurrentLabels(self.store.labels)

    @invariant()
    def agrees_with_the_lists(self) -> None:
        newest = [answers[-1] for _, answers in sorted(self.valid.items()) if answers]
        assert self.store.labels.answers() == newest
        classes = {
            answer.image_id: answer.class_index for answer in newest if isinstance(answer, ClassAnswer)
        }
        whole = CurrentLabels(self.store.labels)
        whole.refresh()
        assert whole.answers() == newest and whole.classes() == classes
        assert whole.cursor == len(self.sent)

    @rule()
    def read_what_is_new(self) -> None:
        """After any number of events since the last reading."""
        self.current.refresh()
        assert self.current.answers() == self.store.labels.answers()
        assert self.store.labels.since(self.current.cursor).answers == {}

    @invariant()
    def only_appends(self) -> None:
        history = self.store.labels.history()
        assert len(history) == len(self.sent)
        assert history[: len(self.history)] == self.history
        self.history = history

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestLabelling = Labelling.TestCase
TestLabelling.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
