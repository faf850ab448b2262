"""Experiments: specifications, presets, runs with known labels, and grids of them."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.experiments.executor import Job, State, Watcher
    from aral.experiments.figures import Scaled, figure_names, read_figure, scaled
    from aral.experiments.grid import (
        FullTraining,
        GridSpec,
        Unit,
        full_units,
        grid_of,
        grid_toml,
        read_grid,
        units,
    )
    from aral.experiments.grid_record import is_grid, read_result
    from aral.experiments.grid_result import Difference, GridResult, UnitResult
    from aral.experiments.grid_run import Resources, run_grid
    from aral.experiments.methods import LEARNERS, SHORT_NAMES, Method, make_learner
    from aral.experiments.pairing import check_pairings
    from aral.experiments.parity import Parity, parity_hash, parity_table, unequal
    from aral.experiments.run import drive, load_data, read_spec, run
    from aral.experiments.spec import Rounds, RunSpec, differences, preset_names, resolve, validated

__all__ = [
    "LEARNERS",
    "SHORT_NAMES",
    "Difference",
    "FullTraining",
    "GridResult",
    "GridSpec",
    "Job",
    "Method",
    "Parity",
    "Resources",
    "Rounds",
    "RunSpec",
    "Scaled",
    "State",
    "Unit",
    "UnitResult",
    "Watcher",
    "check_pairings",
    "differences",
    "drive",
    "figure_names",
    "full_units",
    "grid_of",
    "grid_toml",
    "is_grid",
    "load_data",
    "make_learner",
    "parity_hash",
    "parity_table",
    "preset_names",
    "read_figure",
    "read_grid",
    "read_result",
    "read_spec",
    "resolve",
    "run",
    "run_grid",
    "scaled",
    "unequal",
    "units",
    "validated",
]

export_lazily(__name__)
