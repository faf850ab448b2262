"""Training of a round: what is recorded, what happens when it goes wrong, and how much time it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aral.errors import RunFailed, Stopped
from aral.learners import Learner, Objective, StepLosses
from aral.learners.aral import aral
from aral.loop import Pace, Session, Store
from aral.randomness import Stream
from aral.testing import FakeLearner, RecordingObserver, planted_data, tiny_model

DATA = planted_data()
EAGER = Pace(checkpoint_seconds=0.0, log_steps=1)
RARE = Pace(checkpoint_seconds=1e9, log_steps=1)


class EveryFourth(FakeLearner):
    """D in every step, E and G in steps 0, 4, 8 …; each loss is the number of its step."""

    def step(self, index: int) -> StepLosses:
        values = {"total D": float(index)}
        if index % 4 == 0:
            values["total E+G"] = float(index)
        return StepLosses(values)


def test_a_phase_that_rarely_runs_is_recorded_with_its_newest_loss(
    store: Store, make_session, answer_all
) -> None:
    """Six steps, records after steps 2, 4 and 6: E and G ran in step 0, not in 2 and 3, and in step 4."""
    session = make_session(store, EveryFourth(3, steps=6), pace=Pace(log_steps=2))
    session.ask(5)
    answer_all(session)
    session.fit()
    found = {
        name: [(row.step, row.value) for row in store.metrics(f"loss {name}")]
        for name in ("total D", "total E+G")
    }
    assert found == {"total D": [(2, 1.0), (4, 3.0), (6, 5.0)], "total E+G": [(2, 0.0), (6, 4.0)]}


class Slow(FakeLearner):
    """Every step takes a hundredth of a second."""

    def step(self, index: int) -> StepLosses:
        time.sleep(0.01)
        return super().step(index)


def stopping_after(count: int) -> Callable[[], bool]:
    calls = iter(range(1000))
    return lambda: next(calls) + 1 == count


@pytest.mark.parametrize("pretraining", [0, 20])
def test_training_time_is_that_of_all_processes_that_worked_on_the_round(
    store: Store, make_session, answer_all, pretraining: int
) -> None:
    """Twenty steps, stopped after 8 and after 8 more: each process alone needs less than half of the time."""
    steps = 5 if pretraining else 20
    rounds = [-1, 0] if pretraining else [0]
    stops = iter([8, 8, 0])

    def new_session() -> Session:
        return make_session(store, Slow(3, steps=steps, pretraining_steps=pretraining), pace=RARE)

    def work() -> None:
        session = new_session()
        stopping = stopping_after(next(stops))
        session.ask(4, stopping)
        answer_all(session)
        session.fit(stopping)

    for _ in range(2):
        with pytest.raises(Stopped):
            work()
    work()
    seconds = {row.round: row.value for row in store.metrics("train seconds")}
    assert list(seconds) == rounds
    assert 0.01 * 20 < seconds[rounds[0]] < 2
    if pretraining:
        assert seconds[0] < seconds[-1], "every round has its own"


def test_three_bad_steps_are_skipped_and_a_fourth_goes_back_at_half_the_rate(
    store: Store, make_session, answer_all
) -> None:
    told = RecordingObserver()
    learner = Recovering(3, steps=10, troubled_steps=frozenset({3, 4, 5, 6}))
    session = make_session(store, learner, observer=told)
    session.ask(4)
    answer_all(session)
    session.fit()
    assert learner.rate == 0.5
    assert told.kinds.count("not finite") == 4 and told.kinds.count("learning rates halved") == 1


class Recovering(FakeLearner):
    """Counts on after it was restored, so that the trouble is over."""

    def load_state_dict(self, state) -> None:
        steps = self.steps_taken
        super().load_state_dict(state)
        self.steps_taken = steps


class Hopeless(FakeLearner):
    """Has the same trouble again whenever it is restored."""

    def load_state_dict(self, state) -> None:
        super().load_state_dict(state)
        self.steps_taken = 0


def test_endless_trouble_stops_with_the_cause(store: Store, make_session, answer_all) -> None:
    session = make_session(store, Hopeless(3, steps=10, troubled_steps=frozenset({1, 2, 3, 4})))
    session.ask(4)
    answer_all(session)
    with pytest.raises(RunFailed, match="not finite in round 0"):
        session.fit()


def damage(folder: Path) -> None:
    """Cut the last byte off the weights of every checkpoint."""
    for path in (folder / "checkpoints").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])


class LosingCheckpoints(FakeLearner):
    """In the troubled steps of round 1 all checkpoints are damaged too."""

    folder: Path

    def step(self, index: int) -> StepLosses:
        losses = super().step(index)
        if losses.skipped:
            damage(self.folder)
        return losses

    def load_state_dict(self, state) -> None:
        self._troubled = frozenset()
        super().load_state_dict(state)


@pytest.mark.parametrize("pretraining", [0, 2])
def test_without_an_intact_checkpoint_a_back_off_repeats_the_run_from_its_start(
    store: Store, make_session, answer_all, pretraining: int
) -> None:
    """Rounds of 6 steps. In round 1 the steps 2 to 5 fail; what was said is what is done."""
    told = RecordingObserver()
    first = pretraining + 6
    learner = LosingCheckpoints(
        3,
        steps=6,
        pretraining_steps=pretraining,
        troubled_steps=frozenset(range(first + 2, first + 6)),
    )
    learner.folder = store.folder
    session = make_session(store, learner, observer=told, pace=RARE)
    for _ in range(2):
        session.ask(4)
        answer_all(session)
        session.fit()
    assert learner.steps_taken == pretraining + 12, "the count of a learner that was made anew"
    assert learner.rate == 0.5
    (message,) = [text for kind, text in zip(told.kinds, told.messages, strict=True) if "damaged" in kind]
    assert "repeated from the start of the run" in message
    begun = [number for number, step, _ in told.steps if step == 1]
    whole = [-1, 0, 1] if pretraining else [0, 1]
    assert begun == whole * 2
    assert [len(labelled) for labelled in learner.labelled] == [4, 8, 4, 8], "with the labels of each round"


def real(steps: int) -> Learner:
    cpu = torch.device("cpu")
    return aral(tiny_model(steps=steps), Objective.RELEASED, DATA.pool.shape, 3, Stream.root(2), cpu)


def test_a_learner_restored_to_the_start_trains_as_a_new_one(
    tmp_path: Path, make_session, answer_all, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are bit-identical, but for the halved rate."""

    def finished(name: str, learner: Learner) -> dict[str, torch.Tensor]:
        with Store.open(tmp_path / name, create=True) as store:
            session = make_session(store, learner, "aral", pace=EAGER)
            session.ask(6)
            answer_all(session)
            session.fit()
            return session.learner.state_dict()

    new = real(8)
    new.halve_learning_rates()
    expected = finished("new", new)
    failing = real(8)
    whole, calls = failing.step, iter(range(100))

    def step(index: int) -> StepLosses:
        losses, call = whole(index), next(calls)
        if 3 <= call < 7:
            damage(tmp_path / "failing")
            return StepLosses(losses.values, ("D",))
        return losses

    monkeypatch.setattr(failing, "step", step)
    found = finished("failing", failing)
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_lost_checkpoints_are_trained_again(tmp_path: Path, make_session, answer_all) -> None:
    folder = tmp_path / "run"
    with Store.open(folder, create=True) as opened:
        session = make_session(opened, real(4), "aral")
        for _ in range(2):
            session.ask(6)
            answer_all(session)
            session.fit()
        expected = session.learner.state_dict()
        query = session.ask(5).ids
    damage(folder)
    told = RecordingObserver()
    with Store.open(folder, create=False) as opened:
        session = make_session(opened, real(4), "aral", observer=told)
        session.repair()
        state = session.learner.state_dict()
        assert all((value == state[name]).all() for name, value in expected.items())
        assert (session.ask(5).ids == query).all()
    assert "damaged checkpoints" in told.kinds


class Hungry(FakeLearner):
    """Asks for more memory than any machine has."""

    def step(self, index: int) -> StepLosses:
        torch.empty(2**50)
        return super().step(index)


class Failing(FakeLearner):
    """Every step raises an error."""

    error: Exception

    def step(self, index: int) -> StepLosses:
        raise self.error


@pytest.mark.parametrize(
    "error", [None, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")]
)
def test_too_little_memory_is_named_with_what_to_lower(
    store: Store, make_session, answer_all, error: Exception | None
) -> None:
    learner = Hungry(3) if error is None else Failing(3)
    if error is not None:
        learner.error = error  # type: ignore[attr-defined]
    session = make_session(store, learner)
    session.ask(5)
    answer_all(session)
    with pytest.raises(RunFailed, match="not enough memory for a training step in round 0") as failed:
        session.fit()
    assert "model.training.unlabelled_batch" in failed.value.hint
    # The same run continues with a learner that needs less.
    again = make_session(store)
    again.fit()
    assert again.round_number == 1


def test_other_errors_of_the_networks_are_not_renamed(store: Store, make_session, answer_all) -> None:
    learner = Failing(3)
    learner.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    session = make_session(store, learner)
    session.ask(5)
    answer_all(session)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        session.fit()
