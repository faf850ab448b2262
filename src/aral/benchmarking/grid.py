"""Specification of a grid: independent units, one for each method and seed, on one data set."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from aral.benchmarking.hardware import AUTO, Hardware
from aral.benchmarking.methods import Method
from aral.benchmarking.spec import RunSpec, UnusedSetting, resolve, usable
from aral.benchmarking.variations import Refused, combinations
from aral.data import FeatureArrays
from aral.errors import BadInput
from aral.settings import Settings


class FullTraining(Settings):
    """Training on all labels of the pool in one round: the upper line of a comparison."""

    learner: str | None = None  # None: that of the first method, as the paper's line is of its own model
    steps: int | None = Field(None, ge=1)  # None: as many as a compared run takes in all rounds
    seeds: int = Field(1, ge=1)  # number of the grid's seeds, from the first; the line is their mean
    settings: tuple[str, ...] = ()  # override the grid's


class GridSpec(Settings):
    """What is compared. Together with the data it determines every result."""

    name: str = Field(min_length=1)
    data: str  # name of a data set, a folder of class folders, or the file name of the arrays
    arrays: FeatureArrays | None = None  # features that were computed elsewhere, and their labels
    methods: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    settings: tuple[str, ...] = ()  # as with --set, for all methods that have them
    method_settings: dict[str, tuple[str, ...]] = Field(
        default_factory=dict
    )  # by method; override ``settings``
    vary: tuple[str, ...] = ()  # settings with several values each: every combination is a method of its own
    representation_chosen: str = ""  # why the representation of ``settings``, where it was 'auto'
    threads: int = Field(1, ge=1)  # of each unit; one gives the highest throughput with many units
    precision: Literal["auto", "float32", "bfloat16"] = (
        AUTO  # where settings have auto; a started grid has the choice
    )
    full: FullTraining | None = None
    allow_unequal: bool = False  # compare under settings that should be equal but are not

    @property
    def hardware(self) -> Hardware | None:
        """What ``auto`` stands for in the units; ``None`` where it is to be measured."""
        return None if self.precision == AUTO else Hardware(self.precision, self.threads, self.threads)


FULL_PREFIX = "full-"
"""Of the names of units of full training."""


@dataclass(frozen=True)
class Unit:
    """One independent run of a grid.

    Attributes:
        name: of its folder inside the grid's folder; unique in the grid.
        spec: its whole specification.
    """

    name: str
    spec: RunSpec


def units(grid: GridSpec) -> tuple[Unit, ...]:
    """The compared units: all methods of the first seed, then of the next.

    With settings that are varied, a method is a unit for each combination of their values that fits it.

    Raises:
        BadInput: a method, a setting or the data set does not exist, a unit occurs twice, or no combination of values
            fits any method.
    """
    return expanded(grid)[0]


def expanded(grid: GridSpec) -> tuple[tuple[Unit, ...], tuple[Refused, ...]]:
    """The compared units as for :func:`units`, and the combinations of varied values that are left out.

    A setting that a method does not have is not varied for it: the method is compared once for all its values.
    """
    unknown = set(grid.method_settings) - set(grid.methods)
    if unknown:
        raise BadInput(
            f"Settings are given for {', '.join(sorted(unknown))}, which the grid does not compare.",
            f"Name one of its methods: {', '.join(grid.methods)}.",
        )
    methods = {name: Method.parse(name) for name in grid.methods}
    common = {name: usable(grid.data, method, grid.settings, grid.arrays) for name, method in methods.items()}
    for setting in grid.settings:
        if not any(setting in found for found in common.values()):
            first = grid.methods[0]
            # Raises the reason.
            resolve(grid.data, methods[first], [*common[first], setting], arrays=grid.arrays)
    refused: list[Refused] = []
    fitting: dict[str, list[tuple[str, ...]]] = {}
    for name, method in methods.items():
        settings = (*common[name], *grid.method_settings.get(name, ()))
        fitting[name], left_out = _fitting(grid, method, settings)
        refused += left_out
    made = []
    for seed in grid.seeds:
        for name in grid.methods:
            for varied in fitting[name]:
                method, settings = methods[name], (*common[name], *grid.method_settings.get(name, ()))
                spec = _resolved(grid, method, (*settings, *varied), seed, varied)
                made.append(Unit(f"{spec.method}-seed{seed}", spec))
    if not made:
        raise BadInput(
            f"No value of {', '.join(grid.vary)} fits a method: {refused[0]}",
            "Give others: --vary NAME=VALUE,VALUE",
        )
    names = [unit.name for unit in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"The grid contains {', '.join(twice)} twice.", "Name each method and each seed once.")
    return tuple(made), tuple(refused)


def _fitting(
    grid: GridSpec, method: Method, settings: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[Refused]]:
    """The combinations of varied values that fit a method, without those settings that it does not have."""
    if not grid.vary:
        return [()], []
    plain = _resolved(grid, method, settings, grid.seeds[0])  # raises what has nothing to do with the values
    fitting: dict[tuple[str, ...], None] = {}
    refused: dict[tuple[str, tuple[str, ...]], Refused] = {}
    for combination in combinations(grid.vary):
        kept: list[str] = []
        for setting in combination:
            try:
                _resolved(grid, method, (*settings, setting), grid.seeds[0])
            except UnusedSetting as error:
                name = setting.partition("=")[0].strip()
                reason = f"{error.problem} It is compared once for all values."
                refused.setdefault((name, ()), Refused(str(plain.method), (name,), reason))
                continue
            except BadInput:  # alone; with the others it may be right
                pass
            kept.append(setting)
        try:
            _resolved(grid, method, (*settings, *kept), grid.seeds[0], tuple(kept))
        except BadInput as error:
            refused[("", tuple(kept))] = Refused(str(plain.method), tuple(kept), error.problem)
            continue
        fitting[tuple(kept)] = None
    return list(fitting), list(refused.values())


def full_learner(grid: GridSpec) -> str:
    """The learner of full training, with its variants.

    Raises:
        ValueError: the grid has no full training.
    """
    if grid.full is None:
        raise ValueError("this grid has no full training")
    return grid.full.learner or units(grid)[0].spec.method.learner


def full_units(grid: GridSpec, pool_size: int) -> tuple[Unit, ...]:
    """The units of full training: all labels of the pool in one round, by an exact oracle.

    Args:
        grid: the specification.
        pool_size: number of images in the pool.

    Raises:
        BadInput: the learner does not exist.
    """
    if grid.full is None:
        return ()
    made = []
    learner = full_learner(grid)
    method = Method.parse(f"{learner}+random")
    shared = [setting for setting in grid.settings if not setting.strip().startswith("oracle.")]
    settings = (
        *usable(grid.data, method, shared, grid.arrays),
        f"rounds.query_size={pool_size}",
        f"rounds.budget={pool_size}",
        'rounds.first_query="random"',
        *_full_steps(grid, method),
        *grid.full.settings,
    )
    for seed in grid.seeds[: grid.full.seeds]:
        spec = _resolved(grid, method, settings, seed)
        made.append(Unit(f"{FULL_PREFIX}{learner}-seed{seed}", spec))
    return tuple(made)


def _full_steps(grid: GridSpec, method: Method) -> tuple[str, ...]:
    """The training steps of full training as a setting; none for a learner that does not train in steps.

    As many as the first of the compared runs that trains in steps takes in all its rounds.
    """
    assert grid.full is not None
    in_steps = [unit.spec for unit in units(grid) if "training" not in unit.spec.learner.unused]
    steps = grid.full.steps
    if steps is None and in_steps:
        steps = in_steps[0].learner.training.steps * in_steps[0].round_count()
    if steps is None:
        return ()
    return usable(grid.data, method, [f"learner.training.steps={steps}"], grid.arrays)


def _resolved(
    grid: GridSpec, method: Method, settings: Iterable[str], seed: int, varied: tuple[str, ...] = ()
) -> RunSpec:
    return resolve(
        grid.data,
        method,
        settings,
        grid.hardware,
        seed=seed,
        threads=grid.threads,
        arrays=grid.arrays,
        representation_chosen=grid.representation_chosen,
        varied=varied or None,
    )


def grid_of(table: Mapping[str, Any], where: str = "The grid") -> GridSpec:
    """A grid from a table.

    Args:
        table: as read from TOML or JSON.
        where: the origin of the table, for error messages.

    Raises:
        BadInput: names the field that is wrong.
    """
    try:
        return GridSpec.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{where}: {place}: {first['msg']} (got {first.get('input')!r}).",
            f"Fields: {', '.join(GridSpec.model_fields)}.",
        ) from error


def read_grid(path: Path) -> GridSpec:
    """A grid from a TOML file.

    Raises:
        BadInput: the file is missing, is not TOML, or is not a grid.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not valid TOML: {error}.", "Correct it.") from error
    return grid_of(table, str(path))


def grid_toml(grid: GridSpec) -> str:
    """A grid as TOML, which :func:`read_grid` reads back."""
    table = grid.model_dump(mode="json", exclude_none=True)
    inner = {key: table.pop(key) for key in ("arrays", "method_settings", "full") if table.get(key)}
    table.pop("method_settings", None)
    lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
    for key, values in inner.items():
        lines += ["", f"[{key}]", *(f"{_toml(name)} = {_toml(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: str | int | float | bool | list[Any]) -> str:
    """JSON writes text, numbers and lists as TOML does, except for U+007F, which TOML does not allow."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
