"""A store, and sessions on sixty images of three classes that are told apart by their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from aral.acquisition import make_acquisition
from aral.learners import Learner
from aral.loop import Session, SessionOptions, Store, Strategy
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data
from aral.types import ClassAnswer, ImageSet

DATA = planted_data()

MakeSession: TypeAlias = Callable[..., Session]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run", create=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_session() -> MakeSession:
    """Makes a session on a store; keywords beyond these are its options."""

    def make(
        store: Store,
        learner: Learner | None = None,
        acquisition: str = "aral",
        first: str = "random",
        pool: ImageSet = DATA.pool,
        **options: object,
    ) -> Session:
        strategy = Strategy(make_acquisition(acquisition), make_acquisition(first))
        chosen = SessionOptions(**options)  # type: ignore[arg-type]
        return Session(store, pool, 3, learner or FakeLearner(3), strategy, Stream.root(3), chosen)

    return make


@pytest.fixture(scope="session")
def answer_all() -> Callable[[Session], None]:
    """Answers the images of the query that wait, truthfully."""

    def answer(session: Session) -> None:
        session.tell([ClassAnswer(int(i), int(DATA.pool_classes[i])) for i in session.waiting()], "test")

    return answer
