"""Killed between scoring, selection and the queue: nothing is asked twice, and never more than the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from aral.acquisition import make_acquisition
from aral.errors import RunFailed
from aral.learners import StepLosses
from aral.loop import Pace, Session, Store, Strategy
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data
from aral.types import ClassAnswer, Selection

DATA = planted_data()
QUERY_SIZE, ROUNDS = 5, 3


class Killed(BaseException):
    """Stands in for SIGKILL: nothing may take it for an error of its own."""


def killed(*arguments: Any, **options: Any) -> None:
    raise Killed


def opened(store: Store, learner: FakeLearner | None = None) -> Session:
    strategy = Strategy(make_acquisition("entropy"), make_acquisition("random"))
    learner = learner or FakeLearner(3, probabilities=unlike_each_other)
    return Session(store, DATA.pool, 3, learner, strategy, Stream.root(3), Pace(0.0, 1))


def unlike_each_other(ids: torch.Tensor) -> torch.Tensor:
    """Probabilities that differ from image to image."""
    return torch.stack([ids / 20, 0 * ids, ids.float().sin()], dim=1).softmax(dim=1)


def rounds_of(active: Session, count: int = ROUNDS) -> list[list[int]]:
    """Ask, answer and train until so many rounds are done; goes on from wherever the store is."""
    asked = []
    while active.round_number < count:
        asked.append(active.ask(QUERY_SIZE).ids.tolist())
        active.tell([ClassAnswer(int(i), int(DATA.pool_classes[i])) for i in active.waiting()], "test")
        active.fit()
    return asked


def after_the_write(store: Store, write: Any) -> Any:
    def record(number: int, selection: Selection) -> None:
        write(number, selection)
        raise Killed

    return record


@pytest.mark.parametrize(
    "place", ["while scoring", "before the write", "after the write", "before the figures"]
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_query_is_the_same_one_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int
) -> None:
    with Store.open(tmp_path / "undisturbed", create=True) as store:
        expected = rounds_of(opened(store))
    folder = tmp_path / "killed"
    for _ in range(3):
        with Store.open(folder, create=True) as store, monkeypatch.context() as patched:
            active = opened(store)
            rounds_of(active, number)
            if place == "while scoring":
                patched.setattr("aral.loop.session.PoolView", killed)
            elif place == "before the write":
                patched.setattr(store, "record_query", killed)
            elif place == "after the write":
                patched.setattr(store, "record_query", after_the_write(store, store.record_query))
            else:
                patched.setattr(store, "record_metrics", killed)
            try:
                active.ask(QUERY_SIZE)
            except Killed:
                pass
            else:
                assert place in ("after the write", "before the figures"), "asked for before it was killed"
    with Store.open(folder, create=False) as store:
        active = opened(store)
        assert rounds_of(active) == expected[number:]
        asked = [store.query(row.round) for row in store.rounds()]
        assert [each.ids.tolist() for each in asked if each is not None] == expected
        assert (
            len(store.answers())
            == QUERY_SIZE * ROUNDS
            == len({answer.image_id for answer in store.answers()})
        )


class Hungry(FakeLearner):
    """Asks for more memory than any machine has."""

    def step(self, index: int) -> StepLosses:
        torch.empty(2**50)
        return super().step(index)


class Starved(FakeLearner):
    """As a graphics card puts it, or Python itself."""

    trouble: Exception

    def step(self, index: int) -> StepLosses:
        raise self.trouble


@pytest.mark.parametrize(
    "trouble", [None, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")]
)
def test_too_little_memory_is_named_with_what_to_lower(tmp_path: Path, trouble: Exception | None) -> None:
    learner = Hungry(3) if trouble is None else Starved(3)
    if trouble is not None:
        learner.trouble = trouble  # type: ignore[attr-defined]
    with Store.open(tmp_path, create=True) as store:
        active = opened(store, learner)
        active.ask(QUERY_SIZE)
        active.tell([ClassAnswer(int(i), 0) for i in active.waiting()], "test")
        with pytest.raises(RunFailed, match="not enough memory for a training step in round 0") as failed:
            active.fit()
        assert "learner.training.unlabelled_batch" in failed.value.hint
        # The same run goes on with a learner that needs less.
        again = opened(store)
        again.fit()
        assert again.round_number == 1


def test_other_trouble_of_the_networks_keeps_its_own_name(tmp_path: Path) -> None:
    learner = Starved(3)
    learner.trouble = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with Store.open(tmp_path, create=True) as store:
        active = opened(store, learner)
        active.ask(QUERY_SIZE)
        active.tell([ClassAnswer(int(i), 0) for i in active.waiting()], "test")
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            active.fit()
