from .executor import Job, State, Watcher
from .figures import Scaled, figure_names, read_figure, scaled
from .grid import FullTraining, GridSpec, Unit, full_units, grid_of, grid_toml, read_grid, units
from .grid_record import is_grid, read_result
from .grid_result import Difference, GridResult, UnitResult
from .grid_run import Resources, run_grid
from .methods import AUTO, SHORT_NAMES, Method, learner_titles, make_learner
from .pairing import check_pairings
from .parity import Parity, parity_hash, parity_table, unequal
from .runs import drive, load_data, read_spec, run
from .spec import Rounds, RunSpec, differences, preset_names, resolve, used_settings, validated

__all__ = [
    "AUTO",
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
    "learner_titles",
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
    "used_settings",
    "validated",
]
