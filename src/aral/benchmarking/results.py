"""Results of a grid, and ``grid.json``, the file that keeps them in the grid's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aral.benchmarking.grid import FULL_PREFIX, GridSpec, Unit, grid_of, units
from aral.benchmarking.jobs import State
from aral.benchmarking.parity import Parity, verify
from aral.durable import Json, write_file
from aral.errors import AralError, BadInput, RunFailed
from aral.loop.reading import store_reading
from aral.loop.run_store import FILE_NAME

GRID_FILE = "grid.json"


@dataclass(frozen=True)
class Difference:
    """One quantity in which an experiment differs from the paper's.

    Attributes:
        what: the quantity.
        paper: its value in the paper.
        here: its value in this experiment.
    """

    what: str
    paper: str
    here: str


@dataclass(frozen=True)
class UnitResult:
    """Result of one unit.

    Attributes:
        name: of the unit and of its folder.
        method: learner and acquisition.
        seed: the seed.
        state: ``done``, ``failed`` or ``stopped``; ``waiting`` or ``running`` while the grid is running.
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
    """Results of all units of a grid.

    Attributes:
        grid: the specification.
        folder: the grid's folder.
        note: a remark on the data, such as "JPEG copy".
        units: the compared units.
        full: the units of full training.
        parity: of each seed.
        differences: from the paper's experiment; empty for a grid that follows none.
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
        """Whether it was stopped before all units were done."""
        return any(unit.state is State.STOPPED for unit in (*self.units, *self.full))

    @property
    def failures(self) -> tuple[UnitResult, ...]:
        """The units that failed."""
        return tuple(unit for unit in (*self.units, *self.full) if unit.state is State.FAILED)


def is_grid(folder: Path) -> bool:
    """Whether a folder is a grid's."""
    return (folder / GRID_FILE).is_file()


def run_folders(folder: Path) -> tuple[Path, ...]:
    """The folders of the runs that a folder stands for: its own, or those of the runs that lie in it.

    Of a grid these are the compared units that have begun, in the order of the grid. Full training is no compared run.

    Raises:
        BadInput: the folder is not there, holds no run, or its grid.json is damaged.
    """
    if (folder / FILE_NAME).is_file():
        return (folder,)
    if is_grid(folder):
        begun = (State.DONE, State.RUNNING)
        found = [folder / unit.name for unit in read_result(folder).units if unit.state in begun]
    else:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        found = [
            each for each in inside if (each / FILE_NAME).is_file() and not each.name.startswith(FULL_PREFIX)
        ]
    if not found:
        raise BadInput(
            f"There is no run in {folder}: {FILE_NAME} is missing.",
            "Give the folder of a run, of a grid, or one that holds runs.",
        )
    return tuple(found)


def write_result(
    grid: GridSpec, folder: Path, differences: Sequence[Difference], result: GridResult | None
) -> None:
    """Write grid.json atomically: the specification, and the results once there are any.

    Raises:
        RunFailed: it cannot be written.
    """
    table: dict[str, Json] = {
        "grid": json.loads(grid.model_dump_json()),
        "differences": [asdict(difference) for difference in differences],
    }
    if result is not None:
        table |= {
            "note": result.note,
            "units": [asdict(unit) for unit in result.units],
            "full": [asdict(unit) for unit in result.full],
            "reference": result.reference,
            "parity": [asdict(parity) for parity in result.parity],
        }
    try:
        write_file(folder / GRID_FILE, (json.dumps(table, indent=2) + "\n").encode())
    except OSError as error:
        raise RunFailed(f"{folder / GRID_FILE} cannot be written: {error}.", "Free some space.") from error


def read_result(folder: Path) -> GridResult:
    """The results of a grid as recorded; while it is running, what its units have recorded so far.

    Raises:
        BadInput: grid.json is missing or damaged.
    """
    path = folder / GRID_FILE
    try:
        table = json.loads(path.read_text())
        differences = tuple(Difference(**row) for row in table["differences"])
        grid = grid_of(table["grid"], str(path))
        if "units" not in table:
            return _intermediate_result(grid, folder, differences)
        parity = tuple(Parity(**row | {"differences": tuple(row["differences"])}) for row in table["parity"])
        compared, full = (tuple(map(_unit_result, table[part])) for part in ("units", "full"))
        return GridResult(grid, folder, table.get("note", ""), compared, full, parity, differences)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{path} is not the record of a grid: {error!r:.200}.",
            "Run the grid again: finished units are kept.",
        ) from error


def _unit_result(row: Mapping[str, Any]) -> UnitResult:
    return UnitResult(**{**row, "state": State(row["state"])})


def _intermediate_result(grid: GridSpec, folder: Path, differences: tuple[Difference, ...]) -> GridResult:
    compared = units(grid)
    parity = verify(compared, folder)
    results = tuple(_running(unit, folder) for unit in compared)
    return GridResult(grid, folder, "", results, (), tuple(parity[seed] for seed in grid.seeds), differences)


def _running(unit: Unit, folder: Path) -> UnitResult:
    """A unit that has begun, with its newest accuracy, or one that is still waiting."""
    state, accuracy = State.WAITING, None
    try:
        with store_reading(folder / unit.name) as store:
            accuracies = store.metrics("accuracy")
        state, accuracy = State.RUNNING, accuracies[-1].value if accuracies else None
    except AralError:  # not begun, or damaged: then the unit itself fails with the reason
        pass
    return UnitResult(unit.name, str(unit.spec.method), unit.spec.seed, state, accuracy, 0, "", 0)
