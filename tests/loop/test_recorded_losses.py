"""Losses that are recorded, of phases that run in every step and of those that run in some."""

from __future__ import annotations

from pathlib import Path

from aral.acquisition import make_acquisition
from aral.learners import StepLosses
from aral.loop import Pace, Session, SessionOptions, Store, Strategy
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data
from aral.types import ClassAnswer

DATA = planted_data()


class EveryFourth(FakeLearner):
    """D in every step, E and G in steps 0, 4, 8 …; each loss is the number of its step."""

    def step(self, index: int) -> StepLosses:
        values = {"total D": float(index)}
        if index % 4 == 0:
            values["total E+G"] = float(index)
        return StepLosses(values)


def test_a_phase_that_is_rarely_run_is_recorded_with_its_newest_loss(tmp_path: Path) -> None:
    """Six steps, records after steps 2, 4 and 6: E and G ran in step 0, not in 2 and 3, and in step 4."""
    with Store.open(tmp_path / "run", create=True) as store:
        strategy = Strategy(make_acquisition("random"), make_acquisition("random"))
        learner = EveryFourth(3, steps=6)
        options = SessionOptions(Pace(log_steps=2))
        active = Session(store, DATA.pool, 3, learner, strategy, Stream.root(3), options)
        asked = active.ask(5).ids
        active.tell([ClassAnswer(int(i), int(DATA.pool_classes[i])) for i in asked], "test")
        active.fit()
        found = {
            name: [(row.step, row.value) for row in store.metrics(f"loss {name}")]
            for name in ("total D", "total E+G")
        }
    assert found == {"total D": [(2, 1.0), (4, 3.0), (6, 5.0)], "total E+G": [(2, 0.0), (6, 4.0)]}
