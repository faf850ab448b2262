"""The ask/tell core: what is asked, told, trained and evaluated, and what never happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aral.acquisition import make_acquisition
from aral.errors import BadInput, Stopped
from aral.learners import Learner
from aral.learners.engine import Task
from aral.loop import GroundTruth, LabelChanges, Pace, Session, Store, Strategy
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data, tiny_settings
from aral.types import ClassAnswer, NoClass, NoClassAnswer, Selection

DATA = planted_data()
CPU = torch.device("cpu")
EAGER = Pace(checkpoint_seconds=0.0, log_steps=1)


def built(learner: str, steps: int = 5) -> Learner:
    task = Task(DATA.pool.shape, 3, Stream.root(2), CPU)
    return tiny_settings(learner, steps).build(task)


def test_the_images_with_the_lowest_s_are_asked_for_in_order(store: Store, make_session, answer_all) -> None:
    planted = {17: -9.0, 4: -8.0, 33: -7.0}
    session = make_session(store, FakeLearner(3, sampler_logit=lambda i: planted.get(i, float(i))))
    first = session.ask(6)
    answer_all(session)
    session.fit()
    wanted = [i for i in (17, 4, 33) if i not in first.ids]
    asked = session.ask(5)
    assert asked.ids.tolist()[: len(wanted)] == wanted
    assert (np.diff(asked.scores) <= 0).all()
    assert asked.scores[0] == -planted[wanted[0]]


def test_asking_again_gives_the_same_images(store: Store, make_session) -> None:
    session = make_session(store)
    one, other = session.ask(5), session.ask(9)
    assert (one.ids == other.ids).all() and len(other) == 5


def test_images_are_never_asked_for_twice(store: Store, make_session, answer_all) -> None:
    session = make_session(store)
    seen: set[int] = set()
    for _ in range(6):
        asked = session.ask(10)
        assert not seen & set(asked.ids.tolist())
        seen |= set(asked.ids.tolist())
        answer_all(session)
        session.fit()
    assert len(seen) == len(DATA.pool)
    with pytest.raises(BadInput, match="only 0 are unlabelled"):
        session.ask(1)


def test_the_learner_trains_on_what_was_told_and_sees_the_rest_unlabelled(store: Store, make_session) -> None:
    learner = FakeLearner(3)
    session = make_session(store, learner)
    ids = session.ask(4).ids.tolist()
    session.tell(
        [
            ClassAnswer(ids[0], 1),
            NoClassAnswer(ids[1], NoClass.SKIP),
            NoClassAnswer(ids[2], NoClass.BAD_IMAGE),
            NoClassAnswer(ids[3], NoClass.NONE_OF_THESE),
        ],
        "test",
    )
    session.fit()
    assert learner.labelled[0].ids.tolist() == [ids[0]]
    assert learner.labelled[0].classes.tolist() == [1]
    rest = set(learner.unlabelled[0].ids.tolist())
    assert ids[1] in rest and not rest & {ids[0], ids[2], ids[3]}
    asked = session.ask(20).ids.tolist()
    assert not set(asked) & set(ids)
    assert [found.tolist() for found in learner.ood] == [[ids[3]]] * 2, "the round's, then the query's"
    session.tell([NoClassAnswer(asked[0], NoClass.NONE_OF_THESE), ClassAnswer(asked[1], 0)], "test")
    session.fit()
    assert learner.ood[-1].tolist() == sorted([ids[3], asked[0]])


def test_answers_that_arrive_during_training_wait_for_the_next_round(
    store: Store, make_session, answer_all
) -> None:
    class Late(FakeLearner):
        def step(self, index: int):
            if index == 0 and len(self.labelled) == 1:
                store.labels.record([(ClassAnswer(waiting[-1], 0), "late")], 0, "test")
            return super().step(index)

    learner = Late(3)
    session = make_session(store, learner)
    waiting = session.ask(4).ids.tolist()
    session.tell([ClassAnswer(i, 0) for i in waiting[:-1]], "test")
    session.fit()
    assert len(learner.labelled[0]) == 3
    session.ask(2)
    answer_all(session)
    session.fit()
    assert len(learner.labelled[1]) == 6


def test_hidden_labels_change_nothing_before_the_oracle_is_asked(tmp_path: Path, make_session) -> None:
    """Two pools with the same pixels and other labels: the first two queries are the same images."""
    asked = []
    for number in range(2):
        shuffled = np.random.default_rng(number).permutation(DATA.pool_classes)
        with Store.open(tmp_path / str(number), create=True) as opened:
            learner = built("aral:paper")
            session = make_session(opened, learner)
            first = session.ask(6)
            oracle = GroundTruth(DATA.pool.ids, DATA.pool_classes.copy())
            oracle.request(first)
            session.tell(oracle.collect(), "test")
            # From here on only labels that were never asked for differ.
            hidden = GroundTruth(DATA.pool.ids, shuffled)
            session.fit()
            asked.append(session.ask(6).ids.tolist())
            assert hidden.name == oracle.name
    assert asked[0] == asked[1]


@pytest.mark.parametrize("make", ["aral", "vaal"])
def test_listing_the_pool_in_another_order_selects_the_same_images(
    tmp_path: Path, make: str, make_session, answer_all
) -> None:
    """An image set is ordered by id whatever it was built from, and scores travel with ids."""
    asked = []
    for number in range(2):
        order = np.random.default_rng(number).permutation(DATA.pool.ids)
        pool = DATA.pool.subset(order)
        learner = built({"aral": "aral:released"}.get(make, make))
        with Store.open(tmp_path / str(number), create=True) as opened:
            session = make_session(opened, learner, make, pool=pool)
            session.ask(6)
            answer_all(session)
            session.fit()
            asked.append(session.ask(6).ids.tolist())
    assert asked[0] == asked[1]


def test_a_stopped_training_goes_on_and_ends_as_if_undisturbed(
    tmp_path: Path, make_session, answer_all
) -> None:
    finals = []
    for stop_after in (None, 3):
        with Store.open(tmp_path / str(stop_after), create=True) as opened:
            session = make_session(opened, built("aral:released", 8), pace=EAGER)
            session.ask(6)
            answer_all(session)
            if stop_after is not None:
                count = iter(range(100))
                with pytest.raises(Stopped, match="step 4 of 8"):
                    session.fit(lambda count=count, last=stop_after: next(count) == last)
                session = make_session(opened, built("aral:released", 8), pace=EAGER)
            session.fit()
            session.evaluate(DATA.test)
            finals.append((session.learner.state_dict(), opened.metrics("accuracy"), session.ask(5).ids))
    assert all((value == finals[1][0][name]).all() for name, value in finals[0][0].items())
    assert finals[0][1] == finals[1][1]
    assert (finals[0][2] == finals[1][2]).all()


@pytest.mark.parametrize("first", ["centroids", "maxherding"])
def test_the_first_query_may_read_the_neighbour_graph_of_an_untrained_learner(
    store: Store, make_session, first: str
) -> None:
    """Six images spread over the three classes, which are far apart in the representation."""
    session = make_session(store, built("supervised"), "margin", first)
    found = session.ask(6)
    assert found.acquisition == first
    assert set(DATA.pool_classes[found.ids]) == {0, 1, 2}
    steps = store.metrics("train seconds")
    assert not steps


def test_impossible_compositions_are_refused_before_training(store: Store, make_session) -> None:
    plain = built("supervised")
    with pytest.raises(BadInput, match="needs sampler logits, which learner 'supervised' does not supply"):
        make_session(store, plain, "vaal")
    with pytest.raises(BadInput, match="cannot make the first query"):
        Session(
            store,
            DATA.pool,
            3,
            FakeLearner(3),
            Strategy(make_acquisition("aral"), make_acquisition("bald")),
            Stream.root(0),
        )


def test_bad_requests_are_refused_and_leave_no_trace(store: Store, make_session) -> None:
    session = make_session(store)
    with pytest.raises(BadInput, match="asks for 61 images but only 60"):
        session.ask(61)
    with pytest.raises(BadInput, match="no labelled image"):
        session.ask(3)
        session.fit()
    with pytest.raises(BadInput, match="given class 3, but there are 3 classes"):
        session.tell([ClassAnswer(int(session.waiting()[0]), 3)], "test")
    with pytest.raises(BadInput, match="no image 99"):
        session.tell([ClassAnswer(99, 0)], "test")
    with pytest.raises(BadInput, match="Nothing has been trained"):
        session.evaluate(DATA.test)
    assert store.labels.answers() == []
    empty = DATA.pool.subset(np.empty(0, dtype=np.int64))
    with pytest.raises(BadInput, match="pool is empty"):
        make_session(store, pool=empty)


def test_an_image_without_an_answer_may_be_asked_for_again(store: Store, make_session, answer_all) -> None:
    session = make_session(store, FakeLearner(3, sampler_logit=float))
    asked = session.ask(4).ids
    session.tell([ClassAnswer(int(i), 0) for i in asked[1:]], "test")
    assert session.waiting().tolist() == [asked[0]]
    session.fit()
    assert asked[0] in session.candidates().ids and not set(asked[1:]) & set(session.candidates().ids)
    rest = session.ask(len(DATA.pool) - 3)
    assert asked[0] in rest.ids
    assert session.waiting().tolist() == rest.ids.tolist()
    session.tell([NoClassAnswer(int(asked[0]), NoClass.SKIP)], "test")
    assert session.waiting().tolist() == [i for i in rest.ids.tolist() if i != asked[0]]


class FromElsewhere:
    """A log of labels that is not the session's own: images 0 to 5, then image 0 again, then nothing new."""

    def __init__(self) -> None:
        self.cursors: list[int] = []

    def since(self, cursor: int) -> LabelChanges:
        self.cursors.append(cursor)
        if cursor == 0:
            return LabelChanges(6, {image: ClassAnswer(image, image % 3) for image in range(6)})
        return LabelChanges(7, {0: None} if cursor == 6 else {})


def test_labels_may_come_from_another_log(store: Store, make_session) -> None:
    source, learner = FromElsewhere(), FakeLearner(3)
    session = make_session(store, learner, labels=source)
    assert not set(range(6)) & set(session.ask(4).ids)
    session.fit()
    assert learner.labelled[0].ids.tolist() == [1, 2, 3, 4, 5], "image 0 was taken back"
    assert source.cursors[0] == 0 and source.cursors.count(0) == 1, "only what is new is read"
    assert store.labels.history() == []
    with pytest.raises(BadInput, match="come from a project"):
        session.tell([ClassAnswer(7, 0)], "test")


def test_an_acquisition_that_chooses_a_labelled_image_is_refused(store: Store, answer_all) -> None:
    class Stubborn:
        name, needs = "stubborn", frozenset()  # type: ignore[var-annotated]

        def __call__(self, view: object, n: int, stream: Stream) -> Selection:
            return Selection(np.arange(n), np.zeros(n), self.name, ("",) * n)

    strategy = Strategy(Stubborn(), make_acquisition("random"))  # type: ignore[arg-type]
    session = Session(store, DATA.pool, 3, FakeLearner(3), strategy, Stream.root(3))
    session.ask(50)
    answer_all(session)
    session.fit()
    with pytest.raises(BadInput, match="'stubborn' chose image"):
        session.ask(5)
    assert store.query(1) is None


def test_what_the_learner_remarks_on_its_settings_is_recorded_once(store: Store, make_session) -> None:
    def learner(accumulate: int) -> Learner:
        settings = tiny_settings("aral", training={"accumulate": accumulate})
        return settings.build(Task(DATA.pool.shape, 3, Stream.root(2), CPU))

    make_session(store, learner(1))
    assert store.events() == []
    for _ in range(2):  # a run that is continued
        make_session(store, learner(2))
    (event,) = store.events()
    assert event.kind == "settings" and "learner.training.accumulate" in event.message
