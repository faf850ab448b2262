"""The ask/tell core: what is asked, told, trained and measured, and what never happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aral.acquisition import make_acquisition
from aral.benchmarking import make_learner
from aral.errors import BadInput, RunFailed, Stopped
from aral.loop import GroundTruth, Observer, Pace, Session, Store, Strategy
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data, tiny_settings
from aral.types import ClassAnswer, ImageSet, NoClass, NoClassAnswer

DATA = planted_data()
EAGER = Pace(checkpoint_seconds=0.0, log_steps=1)


def session(
    store: Store, learner=None, name: str = "aral", pool: ImageSet = DATA.pool, **arguments
) -> Session:
    return Session(
        store,
        pool,
        3,
        learner or FakeLearner(3),
        Strategy(make_acquisition(name), make_acquisition("random")),
        Stream.root(3),
        **arguments,
    )


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "run", create=True) as opened:
        yield opened


def answer_all(active: Session) -> None:
    active.tell([ClassAnswer(int(i), int(DATA.pool_classes[i])) for i in active.waiting()], "test")


def test_the_images_with_the_lowest_s_are_asked_for_in_order(store: Store) -> None:
    planted = {17: -9.0, 4: -8.0, 33: -7.0}
    active = session(store, FakeLearner(3, sampler_logit=lambda i: planted.get(i, float(i))))
    first = active.ask(6)
    answer_all(active)
    active.fit()
    wanted = [i for i in (17, 4, 33) if i not in first.ids]
    asked = active.ask(5)
    assert asked.ids.tolist()[: len(wanted)] == wanted
    assert (np.diff(asked.scores) <= 0).all()
    assert asked.scores[0] == -planted[wanted[0]]


def test_asking_again_gives_the_same_images(store: Store) -> None:
    active = session(store)
    one, other = active.ask(5), active.ask(9)
    assert (one.ids == other.ids).all() and len(other) == 5


def test_images_are_never_asked_for_twice(store: Store) -> None:
    active = session(store)
    seen: set[int] = set()
    for _ in range(6):
        asked = active.ask(10)
        assert not seen & set(asked.ids.tolist())
        seen |= set(asked.ids.tolist())
        answer_all(active)
        active.fit()
    assert len(seen) == len(DATA.pool)
    with pytest.raises(BadInput, match="only 0 are unlabelled"):
        active.ask(1)


def test_the_learner_trains_on_what_was_told_and_sees_the_rest_unlabelled(store: Store) -> None:
    learner = FakeLearner(3)
    active = session(store, learner)
    ids = active.ask(4).ids.tolist()
    active.tell(
        [
            ClassAnswer(ids[0], 1),
            NoClassAnswer(ids[1], NoClass.SKIP),
            NoClassAnswer(ids[2], NoClass.BAD_IMAGE),
            NoClassAnswer(ids[3], NoClass.NONE_OF_THESE),
        ],
        "test",
    )
    active.fit()
    assert learner.labelled[0].ids.tolist() == [ids[0]]
    assert learner.labelled[0].classes.tolist() == [1]
    rest = set(learner.unlabelled[0].ids.tolist())
    assert ids[1] in rest and not rest & {ids[0], ids[2], ids[3]}
    asked = active.ask(20).ids.tolist()
    assert not set(asked) & set(ids)
    assert [found.tolist() for found in learner.ood] == [[ids[3]]] * 2, "the round's, then the query's"
    active.tell([NoClassAnswer(asked[0], NoClass.NONE_OF_THESE), ClassAnswer(asked[1], 0)], "test")
    active.fit()
    assert learner.ood[-1].tolist() == sorted([ids[3], asked[0]])


def test_answers_that_arrive_during_training_wait_for_the_next_round(store: Store) -> None:
    class Late(FakeLearner):
        def step(self, index: int):
            if index == 0 and len(self.labelled) == 1:
                active.store.record_answers([(ClassAnswer(waiting[-1], 0), "late")], 0, "test")
            return super().step(index)

    learner = Late(3)
    active = session(store, learner)
    waiting = active.ask(4).ids.tolist()
    active.tell([ClassAnswer(i, 0) for i in waiting[:-1]], "test")
    active.fit()
    assert len(learner.labelled[0]) == 3
    active.ask(2)
    answer_all(active)
    active.fit()
    assert len(learner.labelled[1]) == 6


def test_hidden_labels_change_nothing_before_the_oracle_is_asked(tmp_path: Path) -> None:
    """Two pools with the same pixels and other labels: the first two queries are the same images."""
    asked = []
    for number in range(2):
        shuffled = np.random.default_rng(number).permutation(DATA.pool_classes)
        with Store.open(tmp_path / str(number), create=True) as opened:
            learner = make_learner(tiny_settings("aral"), DATA.pool, 3, Stream.root(2))
            active = session(opened, learner)
            first = active.ask(6)
            oracle = GroundTruth(DATA.pool.ids, DATA.pool_classes.copy())
            oracle.request(first)
            active.tell(oracle.collect(), "test")
            # From here on only labels that were never asked for differ.
            hidden = GroundTruth(DATA.pool.ids, shuffled)
            active.fit()
            asked.append(active.ask(6).ids.tolist())
            assert hidden.name == oracle.name
    assert asked[0] == asked[1]


@pytest.mark.parametrize("make", ["aral", "vaal"])
def test_listing_the_pool_in_another_order_selects_the_same_images(tmp_path: Path, make: str) -> None:
    """An image set is ordered by id whatever it was built from, and scores travel with ids."""
    asked = []
    for number in range(2):
        order = np.random.default_rng(number).permutation(DATA.pool.ids)
        pool = DATA.pool.subset(order)
        title = "aral:released" if make == "aral" else make
        learner = make_learner(tiny_settings(title), pool, 3, Stream.root(2))
        with Store.open(tmp_path / str(number), create=True) as opened:
            active = session(opened, learner, make, pool)
            active.ask(6)
            answer_all(active)
            active.fit()
            asked.append(active.ask(6).ids.tolist())
    assert asked[0] == asked[1]


def test_a_stopped_training_goes_on_and_ends_as_if_undisturbed(tmp_path: Path) -> None:
    finals = []
    for stop_after in (None, 3):
        with Store.open(tmp_path / str(stop_after), create=True) as opened:
            active = session(opened, _learner(8), pace=EAGER)
            active.ask(6)
            answer_all(active)
            if stop_after is not None:
                count = iter(range(100))
                with pytest.raises(Stopped, match="step 4 of 8"):
                    active.fit(lambda count=count, last=stop_after: next(count) == last)
                active = session(opened, _learner(8), pace=EAGER)
            active.fit()
            active.evaluate(DATA.test)
            finals.append((active.learner.state_dict(), opened.metrics("accuracy"), active.ask(5).ids))
    assert all((value == finals[1][0][name]).all() for name, value in finals[0][0].items())
    assert finals[0][1] == finals[1][1]
    assert (finals[0][2] == finals[1][2]).all()


def test_lost_checkpoints_are_trained_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Store.open(folder, create=True) as opened:
        active = session(opened, _learner(4))
        for _ in range(2):
            active.ask(6)
            answer_all(active)
            active.fit()
        expected = active.learner.state_dict()
        asked = active.ask(5).ids
    for path in (folder / "checkpoints").rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    heard = Hearing()
    with Store.open(folder, create=False) as opened:
        active = session(opened, _learner(4), observer=heard)
        active.repair()
        state = active.learner.state_dict()
        assert all((value == state[name]).all() for name, value in expected.items())
        assert (active.ask(5).ids == asked).all()
    assert "damaged checkpoints" in heard.kinds


class Hearing(Observer):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def event(self, kind: str, message: str) -> None:
        self.kinds.append(kind)


def test_three_bad_steps_are_skipped_and_a_fourth_goes_back_at_half_the_rate(store: Store) -> None:
    heard = Hearing()
    learner = Recovering(3, steps=10, troubled_steps=frozenset({3, 4, 5, 6}))
    active = session(store, learner, observer=heard)
    active.ask(4)
    answer_all(active)
    active.fit()
    assert learner.rate == 0.5
    assert heard.kinds.count("not finite") == 4 and heard.kinds.count("learning rates halved") == 1


class Recovering(FakeLearner):
    """Counts on after it was put back, so that the trouble is over."""

    def load_state_dict(self, state) -> None:
        steps = self.steps_taken
        super().load_state_dict(state)
        self.steps_taken = steps


def test_endless_trouble_stops_with_the_cause(store: Store) -> None:
    class Hopeless(FakeLearner):
        def load_state_dict(self, state) -> None:
            super().load_state_dict(state)
            self.steps_taken = 0

    learner = Hopeless(3, steps=10, troubled_steps=frozenset({1, 2, 3, 4}))
    active = session(store, learner)
    active.ask(4)
    answer_all(active)
    with pytest.raises(RunFailed, match="not finite in round 0"):
        active.fit()


def test_impossible_compositions_are_refused_before_training(store: Store) -> None:
    plain = make_learner(tiny_settings(), DATA.pool, 3, Stream.root(0))
    with pytest.raises(BadInput, match=r"needs sampler.logits, which learner 'supervised' does not supply"):
        session(store, plain, "vaal")
    with pytest.raises(BadInput, match="cannot make the first query"):
        Session(
            store,
            DATA.pool,
            3,
            FakeLearner(3),
            Strategy(make_acquisition("aral"), make_acquisition("bald")),
            Stream.root(0),
        )


def test_bad_requests_are_refused_and_leave_no_trace(store: Store) -> None:
    active = session(store)
    with pytest.raises(BadInput, match="asks for 61 images but only 60"):
        active.ask(61)
    with pytest.raises(BadInput, match="no labelled image"):
        active.ask(3)
        active.fit()
    with pytest.raises(BadInput, match="given class 3, but there are 3 classes"):
        active.tell([ClassAnswer(int(active.waiting()[0]), 3)], "test")
    with pytest.raises(BadInput, match="no image 99"):
        active.tell([ClassAnswer(99, 0)], "test")
    with pytest.raises(BadInput, match="Nothing has been trained"):
        active.evaluate(DATA.test)
    assert store.answers() == []
    empty = DATA.pool.subset(np.empty(0, dtype=np.int64))
    with pytest.raises(BadInput, match="pool is empty"):
        session(store, pool=empty)


def _learner(steps: int):
    return make_learner(tiny_settings("aral:released", steps), DATA.pool, 3, Stream.root(2))
