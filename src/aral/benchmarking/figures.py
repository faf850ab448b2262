"""The figures of the paper as grids, at the paper's size or smaller, with all differences from the paper."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from pydantic import Field, ValidationError

from aral.benchmarking.grid import FullTraining, GridSpec, full_learner, units
from aral.benchmarking.methods import Method
from aral.benchmarking.ramps import PlacedRamp, ramps_of
from aral.benchmarking.results import Difference
from aral.benchmarking.spec import resolve
from aral.errors import BadInput, unknown_name
from aral.learners import AralSettings
from aral.settings import Settings

FOLDER = "paper"
POOL_FOR_A_LABEL = 10
"""A pool is never scaled below this many images for each label of the budget, so that queries have a choice."""


LEAST_TEST_IMAGES = 2000
"""A test set is never scaled below this: the standard error of an accuracy then stays below 1.2 points."""


class FixedDifference(Settings):
    """A difference from the paper that does not depend on the scale."""

    what: str
    paper: str
    here: str


class Panel(Settings):
    """One plot of a figure: the paper's data set, budget, rounds and methods."""

    name: str
    data: str
    methods: tuple[str, ...] = Field(min_length=1)
    method_settings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    settings: tuple[str, ...] = ()
    query_size: int = Field(ge=1)
    budget: int = Field(ge=1)
    labels_follow_pool: bool = False  # the paper's budget is a share of the pool
    pool: int = Field(ge=1)  # images
    test: int = Field(ge=1)
    steps: int = Field(ge=1)  # training steps a round
    steps_source: str  # where the number of steps comes from
    seeds: int = Field(3, ge=1)
    full: FullTraining | None = None
    differences: tuple[FixedDifference, ...] = ()


class Figure(Settings):
    """A figure of the paper."""

    name: str
    title: str
    panels: tuple[Panel, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Scaled:
    """A panel at some scale.

    Attributes:
        grid: the specification.
        differences: all differences from the paper.
    """

    grid: GridSpec
    differences: tuple[Difference, ...]

    @property
    def steps(self) -> int:
        """Training steps of all compared units together."""
        return sum(unit.spec.round_count() * unit.spec.learner.training.steps for unit in units(self.grid))


def figure_names() -> list[str]:
    """Names of the figures that are shipped."""
    files = resources.files("aral.benchmarking").joinpath(FOLDER).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def read_figure(name: str) -> Figure:
    """A figure of the paper.

    Raises:
        BadInput: there is none of this name, or its file is damaged.
    """
    if name not in figure_names():
        raise unknown_name("figure", name, figure_names())
    text = resources.files("aral.benchmarking").joinpath(FOLDER, f"{name}.toml").read_text()
    try:
        return Figure.model_validate({"name": name, **tomllib.loads(text)})
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"The specification of {name} is damaged: {error}.", "Install aral again.") from error


def scaled(
    figure: Figure, panel: Panel, scale: float, seeds: int | None = None, extra: Sequence[str] = ()
) -> Scaled:
    """A panel at a fraction of the paper's size.

    Training steps are multiplied by ``scale``. So are the images of pool and test set, with a minimum of ten
    pool images for each label and 2,000 test images. Labels are not scaled, unless the paper gives them as a share
    of the pool. A ramp keeps its relative position in a round. Networks, batches and learning rates are not scaled.

    Args:
        figure: the figure.
        panel: one of its panels.
        scale: in (0, 1].
        seeds: number of seeds; None: as in the specification.
        extra: settings that override all others, as with ``--set``; they are listed as differences.

    Raises:
        BadInput: the scale is outside (0, 1], or a setting is wrong.
    """
    if not 0 < scale <= 1:
        raise BadInput(f"The scale {scale} is not in (0, 1].", "1 is the paper's size: --scale 0.01")
    pool, test, query_size, budget = _sizes(panel, scale)
    steps = max(1, round(scale * panel.steps))
    settings = (
        *panel.settings,
        'rounds.first_query="random"',
        f"rounds.query_size={query_size}",
        f"rounds.budget={budget}",
        f"learner.training.steps={steps}",
        *([f"pool_size={pool}"] if pool < panel.pool else []),
        *([f"test_size={test}"] if test < panel.test else []),
        *extra,
    )
    grid = GridSpec(
        name=f"{figure.name}-{panel.name}",
        data=panel.data,
        methods=panel.methods,
        seeds=tuple(range(seeds or panel.seeds)),
        settings=settings,
        method_settings=panel.method_settings,
        full=panel.full,
    )
    grid = _with_ramps(panel, grid, extra)
    return Scaled(grid, _differences(panel, grid, extra))


def _ramps(panel: Panel, method: str) -> tuple[PlacedRamp, ...]:
    """The ramps of a method's preset, which are meant for the preset's steps."""
    settings = (*panel.settings, *panel.method_settings.get(method, ()))
    return ramps_of(resolve(panel.data, Method.parse(method), settings))


def _with_ramps(panel: Panel, grid: GridSpec, extra: Sequence[str]) -> GridSpec:
    """The grid with every ramp at its relative position in a round; ``extra`` still overrides it."""
    steps = units(grid)[0].spec.learner.training.steps

    def placed(method: str) -> tuple[str, ...]:
        found = tuple(setting for ramp in _ramps(panel, method) for setting in ramp.settings(steps))
        return (*found, *extra) if found else ()

    own = {name: (*grid.method_settings.get(name, ()), *placed(name)) for name in grid.methods}
    full = grid.full and grid.full.model_copy(update={"settings": placed(full_learner(grid))})
    return grid.model_copy(
        update={"method_settings": {name: found for name, found in own.items() if found}, "full": full}
    )


def _sizes(panel: Panel, scale: float) -> tuple[int, int, int, int]:
    """Pool, test set, query size and budget."""
    test = max(round(scale * panel.test), min(panel.test, LEAST_TEST_IMAGES))
    if panel.labels_follow_pool:
        query_size = max(1, round(scale * panel.query_size))
        rounds = math.ceil(panel.budget / panel.query_size)
        return max(round(scale * panel.pool), query_size * rounds), test, query_size, query_size * rounds
    floor = min(panel.pool, POOL_FOR_A_LABEL * panel.budget)
    return max(round(scale * panel.pool), floor), test, panel.query_size, panel.budget


def _differences(panel: Panel, grid: GridSpec, extra: Sequence[str]) -> tuple[Difference, ...]:
    spec = units(grid)[0].spec
    rounds = spec.rounds
    precision = spec.learner.training.precision
    pairs = [
        ("labels a round", panel.query_size, rounds.query_size),
        ("labels in all", panel.budget, rounds.budget),
        ("images in the pool", panel.pool, spec.pool_size or panel.pool),
        ("images in the test set", panel.test, spec.test_size or panel.test),
    ]
    steps = f"{panel.steps:,} ({panel.steps_source})"
    return (
        *([Difference("training steps a round", steps, f"{spec.learner.training.steps:,}")]),
        *(Difference(what, f"{paper:,}", f"{here:,}") for what, paper, here in pairs if paper != here),
        *_unstated(grid),
        *_ramp_differences(panel, grid),
        Difference("seeds", "not stated", str(len(grid.seeds))),
        *([Difference("precision of products", "float32", precision)] if precision != "float32" else []),
        *(Difference(each.what, each.paper, each.here) for each in panel.differences),
        *(Difference("setting", "as specified", setting) for setting in extra),
    )


def _unstated(grid: GridSpec) -> tuple[Difference, ...]:
    """What the paper does not state, or what the released code does differently."""
    compared = units(grid)
    passes = sorted({unit.spec.learner.prediction.mc_passes for unit in compared})
    released = [
        unit.spec.learner.title
        for unit in compared
        if isinstance(unit.spec.learner, AralSettings) and unit.spec.learner.objective == "released"
    ]
    objective = Difference(
        "objective of ARAL", "eq. 7 to 10", f"the released code's ({', '.join(dict.fromkeys(released))})"
    )
    return (
        *([objective] if released else []),
        Difference("Monte-Carlo passes", "not stated", ", ".join(map(str, passes))),
    )


def _ramp_differences(panel: Panel, grid: GridSpec) -> tuple[Difference, ...]:
    """The steps of each ramp at the paper's scale, and here."""
    found = {}
    for method, unit in zip(grid.methods, units(grid), strict=False):  # the first seed's
        weights = getattr(unit.spec.learner, "weights", None)
        for ramp in _ramps(panel, method):
            there, here = ramp.at(panel.steps), getattr(weights, ramp.name.rpartition(".")[2])
            what = f"{ramp.name} of {unit.spec.learner.title}"
            paper = f"not stated; at its steps, from {there.begin:,} to {there.end:,}"
            found[what] = Difference(what, paper, f"steps {here.begin:,} to {here.end:,}")
    return tuple(found.values())
