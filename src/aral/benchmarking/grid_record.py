"""``grid.json``: a grid and what came of it, as its folder keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aral.benchmarking.executor import State
from aral.benchmarking.grid import GridSpec, Unit, grid_of, units
from aral.benchmarking.grid_result import Difference, GridResult, UnitResult
from aral.benchmarking.parity import Parity, verify
from aral.durable import Json, write_file
from aral.errors import AralError, BadInput, RunFailed
from aral.loop.reading import store_reading

GRID_FILE = "grid.json"


def is_grid(folder: Path) -> bool:
    """Whether a folder is a grid's."""
    return (folder / GRID_FILE).is_file()


def record_result(
    grid: GridSpec, folder: Path, differences: Sequence[Difference], result: GridResult | None
) -> None:
    """Write grid.json in one step: the grid, and its results once there are any.

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
    """What came of a grid by its own record; of one that is running, what its units have recorded so far.

    Raises:
        BadInput: the record is missing or damaged.
    """
    path = folder / GRID_FILE
    try:
        table = json.loads(path.read_text())
        differences = tuple(Difference(**row) for row in table["differences"])
        grid = grid_of(table["grid"], str(path))
        if "units" not in table:
            return _so_far(grid, folder, differences)
        parity = tuple(Parity(**row | {"differences": tuple(row["differences"])}) for row in table["parity"])
        compared, full = (tuple(map(_unit_result, table[part])) for part in ("units", "full"))
        return GridResult(grid, folder, table.get("note", ""), compared, full, parity, differences)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{path} is no record of a grid: {error!r:.200}.", "Run the grid again: finished units are kept."
        ) from error


def _unit_result(row: Mapping[str, Any]) -> UnitResult:
    return UnitResult(**{**row, "state": State(row["state"])})


def _so_far(grid: GridSpec, folder: Path, differences: tuple[Difference, ...]) -> GridResult:
    compared = units(grid)
    parity = verify(compared, folder)
    results = tuple(_running(unit, folder) for unit in compared)
    return GridResult(grid, folder, "", results, (), tuple(parity[seed] for seed in grid.seeds), differences)


def _running(unit: Unit, folder: Path) -> UnitResult:
    """A unit that has begun, with its newest accuracy, or one that still waits."""
    state, accuracy = State.WAITING, None
    try:
        with store_reading(folder / unit.name) as store:
            accuracies = store.metrics("accuracy")
        state, accuracy = State.RUNNING, accuracies[-1].value if accuracies else None
    except AralError:  # not begun, or damaged: then the run itself says so
        pass
    return UnitResult(unit.name, str(unit.spec.method), unit.spec.seed, state, accuracy, 0, "", 0)
