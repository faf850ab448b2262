"""Pretraining: when it happens, which acquisitions may use it, and that it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.acquisition import make_acquisition
from aral.benchmarking.runs import drive
from aral.errors import BadInput, RunFailed, Stopped
from aral.learners import Learner
from aral.learners.engine import Task
from aral.loop import GroundTruth, Pace, Session, SessionOptions, Store, Strategy, Validation
from aral.loop.training import PRETRAINING
from aral.randomness import Stream
from aral.testing import FakeLearner, RecordingObserver, planted_data, tiny_settings

DATA = planted_data()
CPU = torch.device("cpu")
STEPS_BEFORE, STEPS = 6, 4
EAGER = Pace(checkpoint_seconds=0.0, log_steps=1)
RARE = Pace(checkpoint_seconds=1e9, log_steps=1)


def built(learner: str, steps: int = 5, **settings: object) -> Learner:
    return tiny_settings(learner, steps, **settings).build(Task(DATA.pool.shape, 3, Stream.root(2), CPU))


def real() -> Learner:
    return built("graph-ssl", STEPS, pretraining={"steps": STEPS_BEFORE})


@pytest.fixture(scope="module")
def open_session(make_session) -> Callable[..., Session]:
    """Sessions whose queries need the clusters that are learned before the first label."""

    def make(
        store: Store, learner: Learner, first: str = "typical-clusters", then: str = "aral-typical", **options
    ) -> Session:
        return make_session(store, learner, then, first, **options)

    return make


def test_the_first_query_comes_after_it_and_the_rounds_follow(store: Store, open_session, answer_all) -> None:
    learner, told = FakeLearner(3, steps=2, pretraining_steps=3), RecordingObserver()
    active = open_session(store, learner, observer=told, pace=RARE)
    assert learner.calls == ["set pool of 60 images"]
    active.ask(4)
    assert learner.calls == ["set pool of 60 images", "start pretraining"] and learner.steps_taken == 3
    active.ask(4)
    assert learner.steps_taken == 3, "a query that is recorded trains nothing"
    answer_all(active)
    active.fit()
    assert learner.calls[2:] == ["start round 0"] and learner.steps_taken == 5
    assert told.stages == [
        (PRETRAINING, "pretraining"),
        (0, "querying"),
        (0, "training"),
    ]
    assert told.steps == [(-1, 1, 3), (-1, 2, 3), (-1, 3, 3), (0, 1, 2), (0, 2, 2)]
    assert active.round_number == 1 and [row.round for row in store.rounds()] == [0]


def test_what_it_cost_is_recorded_under_its_own_number(store: Store, open_session) -> None:
    active = open_session(store, FakeLearner(3, steps=2, pretraining_steps=3), pace=RARE)
    active.ask(4)
    rows = [row for row in store.metrics() if row.round == PRETRAINING]
    assert [row.step for row in rows if row.name == "loss total D"] == [1, 2, 3]
    seconds = [row.value for row in rows if row.name == "train seconds"]
    assert len(seconds) == 1 and min(seconds) >= 0


def test_a_learner_without_it_is_left_alone(store: Store, open_session, answer_all) -> None:
    learner, told = FakeLearner(3), RecordingObserver()
    active = open_session(store, learner, first="random", observer=told)
    active.ask(4)
    assert learner.calls == ["set pool of 60 images"] and learner.steps_taken == 0
    answer_all(active)
    active.fit()
    assert told.stages == [(0, "querying"), (0, "training")]
    assert min(number for number, _, _ in told.steps) == 0
    assert {row.round for row in store.metrics()} == {0}
    assert {row.round for row in store.checkpoints()} == {0}
    with pytest.raises(ValueError, match="'fake' has no pretraining"):
        learner.start_pretraining(Stream.root(0))
    plain = built("supervised")
    assert plain.pretraining_steps == 0
    with pytest.raises(ValueError, match="'supervised' has no pretraining"):
        plain.start_pretraining(Stream.root(0))


def planted_groups(ids: torch.Tensor) -> torch.Tensor:
    """Clusters of 30, 20 and 10 of the 60 images; the probability of an image's cluster grows with its id."""
    group = torch.where(ids < 30, 0, torch.where(ids < 50, 1, 2))
    sure = 0.4 + ids / 100
    groups = ((1 - sure) / 2)[:, None].repeat(1, 3)
    groups[torch.arange(len(ids)), group] = sure
    return groups


def test_the_first_query_sees_what_was_learned(store: Store, open_session) -> None:
    """One image of each cluster, from the half with the higher probabilities; features are ids."""
    learner = FakeLearner(3, pretraining_steps=1, clusters=planted_groups)
    asked = open_session(store, learner).ask(3).ids.tolist()
    assert [15 <= asked[0] < 30, 40 <= asked[1] < 50, 55 <= asked[2] < 60] == [True] * 3


def test_only_a_learner_that_begins_without_labels_may_show_more_than_pixels(
    store: Store, open_session
) -> None:
    with pytest.raises(BadInput, match="'typical-clusters' cannot make the first query: it needs clusters"):
        open_session(store, FakeLearner(3))
    open_session(store, FakeLearner(3, pretraining_steps=1), first="bald")
    plain = built("supervised")
    with pytest.raises(BadInput, match="needs clusters, and 'supervised' has not trained yet"):
        open_session(store, plain, then="random")
    with pytest.raises(BadInput, match="needs clusters, which learner 'supervised' does not supply"):
        open_session(store, plain, first="random", then="typical-clusters")


def finished(active: Session, answer_all: Callable[[Session], None]) -> dict[str, object]:
    """First query, training, evaluation and second query: all that an interruption might change."""
    first = active.ask(6)
    answer_all(active)
    active.fit()
    active.evaluate(DATA.test)
    second = active.ask(5)
    return {
        "first": (first.ids.tolist(), first.scores.tolist()),
        "second": (second.ids.tolist(), second.scores.tolist()),
        "weights": {name: value.numpy().tobytes() for name, value in active.learner.state_dict().items()},
        "metrics": [row for row in active.store.metrics() if not row.name.endswith("seconds")],
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, open_session, answer_all) -> dict[str, object]:
    with Store.open(tmp_path_factory.mktemp("undisturbed") / "run", create=True) as opened:
        return finished(open_session(opened, real(), pace=EAGER), answer_all)


def stopping_after(count: int) -> Callable[[], bool]:
    calls = iter(range(1000))
    return lambda: next(calls) + 1 == count


@pytest.mark.parametrize("after", [1, 4, STEPS_BEFORE - 1])
def test_stopped_and_resumed_it_ends_as_if_undisturbed(
    store: Store, undisturbed, after: int, open_session, answer_all
) -> None:
    with pytest.raises(Stopped, match=f"pretraining at step {after} of {STEPS_BEFORE}"):
        open_session(store, real(), pace=RARE).ask(6, stopping_after(after))
    assert store.query(0) is None
    assert finished(open_session(store, real(), pace=RARE), answer_all) == undisturbed


class Killed(BaseException):
    """Nothing after it is done: no saving, no recording."""


@pytest.mark.parametrize("pace", [EAGER, RARE])
@pytest.mark.parametrize("after", [0, 3, STEPS_BEFORE])
def test_killed_and_resumed_it_ends_as_if_undisturbed(
    store: Store,
    undisturbed,
    after: int,
    pace: Pace,
    monkeypatch: pytest.MonkeyPatch,
    open_session,
    answer_all,
) -> None:
    """Before any step, in the middle, and after the last step but before the query."""
    learner = real()
    whole = learner.step

    def dying(index: int):
        if index == after:
            raise Killed
        return whole(index)

    def dying_query(*arguments: object):
        raise Killed

    monkeypatch.setattr(learner, "step", dying)
    if after == STEPS_BEFORE:
        monkeypatch.setattr(learner, "predict", dying_query)
    with pytest.raises(Killed):
        open_session(store, learner, pace=pace).ask(6)
    torch.rand(5)  # a disturbed global generator changes nothing
    told = RecordingObserver()
    resumed = open_session(store, real(), pace=pace, observer=told)
    assert finished(resumed, answer_all) == undisturbed
    begun = [step for number, step, _ in told.steps if number == PRETRAINING]
    saved = 0 if pace is RARE and after < STEPS_BEFORE else after
    assert begun == list(range(saved + 1, STEPS_BEFORE + 1)), "no step is repeated that was saved"


def test_lost_checkpoints_of_a_later_round_repeat_it_too(
    tmp_path: Path, undisturbed, open_session, answer_all
) -> None:
    folder = tmp_path / "run"
    with Store.open(folder, create=True) as opened:
        assert finished(open_session(opened, real(), pace=EAGER), answer_all) == undisturbed
    for path in (folder / "checkpoints").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    told = RecordingObserver()
    with Store.open(folder, create=False) as opened:
        active = open_session(opened, real(), pace=EAGER, observer=told)
        active.repair()
        found = active.learner.state_dict()
    assert {name: value.numpy().tobytes() for name, value in found.items()} == undisturbed["weights"]
    assert told.steps[0] == (PRETRAINING, 1, STEPS_BEFORE)


def test_trouble_goes_back_and_is_said_in_words(store: Store, open_session) -> None:
    class Recovering(FakeLearner):
        def load_state_dict(self, state) -> None:
            steps = self.steps_taken
            super().load_state_dict(state)
            self.steps_taken = steps

    told = RecordingObserver()
    learner = Recovering(3, pretraining_steps=10, troubled_steps=frozenset({3, 4, 5, 6}))
    active = open_session(store, learner, observer=told, pace=RARE)
    active.ask(4)
    assert learner.rate == 0.5
    assert told.messages[0] == "Phases D were skipped in pretraining, step 3."
    assert told.messages[-1].startswith("Back to pretraining, step 0,")
    hopeless = FakeLearner(3, pretraining_steps=10, troubled_steps=frozenset(range(1, 99)))
    with Store.open(store.folder.parent / "other", create=True) as other, pytest.raises(RunFailed) as failed:
        open_session(other, hopeless, pace=RARE).ask(4)
    assert "not finite in pretraining" in failed.value.problem


def test_the_halved_rate_holds_for_the_rounds_that_follow(store: Store, open_session, answer_all) -> None:
    learner = real()
    active = open_session(store, learner, pace=RARE)
    active.ask(6)
    learner.halve_learning_rates()
    answer_all(active)
    active.fit()
    assert float(learner.state_dict()["optimiser.scale"]) == 0.5


def test_validation_images_are_looked_at_in_rounds_only(store: Store, open_session) -> None:
    learner = FakeLearner(3, pretraining_steps=3)
    active = open_session(store, learner, validation=Validation(0.4, 1))
    drive(active, GroundTruth(DATA.pool.ids, DATA.pool_classes), DATA.test, 10, 20)
    looked = [row.round for row in store.metrics("validation accuracy")]
    assert set(looked) == {0, 1}
    assert learner.calls.count("start pretraining") == 1


def test_a_run_asks_to_stop_before_labels_too(store: Store, open_session) -> None:
    active = open_session(store, FakeLearner(3, pretraining_steps=9), pace=RARE)
    oracle = GroundTruth(DATA.pool.ids, DATA.pool_classes)
    with pytest.raises(Stopped, match="at step 2 of 9"):
        drive(active, oracle, DATA.test, 10, 20, stopping_after(2))


def test_listing_the_pool_in_another_order_selects_the_same_images(
    tmp_path: Path, undisturbed, answer_all
) -> None:
    order = np.random.default_rng(5).permutation(DATA.pool.ids)
    strategy = Strategy(make_acquisition("aral-typical"), make_acquisition("typical-clusters"))
    with Store.open(tmp_path / "run", create=True) as opened:
        pool = DATA.pool.subset(order)
        active = Session(opened, pool, 3, real(), strategy, Stream.root(3), SessionOptions(EAGER))
        assert finished(active, answer_all) == undisturbed


def test_a_query_that_is_too_large_is_refused_before_training_for_it(store: Store, open_session) -> None:
    learner = FakeLearner(3, steps=2, pretraining_steps=3)
    active = open_session(store, learner)
    with pytest.raises(BadInput, match="only 60 are unlabelled"):
        active.ask(61)
    assert learner.steps_taken == 0
    active.ask(4)
    assert learner.steps_taken == 3
