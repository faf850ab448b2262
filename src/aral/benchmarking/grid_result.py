"""What came of a grid, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aral.benchmarking.executor import State
from aral.benchmarking.grid import GridSpec
from aral.benchmarking.parity import Parity


@dataclass(frozen=True)
class Difference:
    """Something in which an experiment differs from the one it follows.

    Attributes:
        what: the quantity.
        paper: its value there.
        here: its value here.
    """

    what: str
    paper: str
    here: str


@dataclass(frozen=True)
class UnitResult:
    """How a unit ended.

    Attributes:
        name: of the unit and of its folder.
        method: learner and acquisition.
        seed: the seed.
        state: ``done``, ``failed`` or ``stopped``.
        accuracy: of its last evaluated round, on the test set, in [0, 1]; None before any.
        deaths: how often its worker died.
        problem: why it failed; empty otherwise.
        code: the exit code that belongs to the problem.
    """

    name: str
    method: str
    seed: int
    state: State
    accuracy: float | None
    deaths: int
    problem: str
    code: int


@dataclass(frozen=True)
class GridResult:
    """What came of a grid.

    Attributes:
        grid: what was compared.
        folder: where.
        note: what to know of the data, such as "JPEG copy".
        units: the compared units.
        full: the units of full training.
        parity: of each seed.
        differences: from the experiment that is followed, if any.
    """

    grid: GridSpec
    folder: Path
    note: str
    units: tuple[UnitResult, ...]
    full: tuple[UnitResult, ...]
    parity: tuple[Parity, ...]
    differences: tuple[Difference, ...]

    @property
    def reference(self) -> float | None:
        """Mean test accuracy of full training, in [0, 1]; None unless all of its units are done."""
        found = [unit.accuracy for unit in self.full if unit.state is State.DONE]
        if not found or len(found) < len(self.full):
            return None
        return sum(value for value in found if value is not None) / len(found)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop before all was done."""
        return any(unit.state is State.STOPPED for unit in (*self.units, *self.full))

    @property
    def failures(self) -> tuple[UnitResult, ...]:
        """The units that failed with a reason."""
        return tuple(unit for unit in (*self.units, *self.full) if unit.state is State.FAILED)
