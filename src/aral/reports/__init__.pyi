from .comparison import Section
from .record import RoundRecord, RunRecord, read_run
from .statistics import MINIMUM_SEEDS
from .summary import as_json
from .tables import Table, side_by_side
from .tensorboard import export_tensorboard
from .verdict_rows import Verdicts
from .verdict_words import target_lines, verdict_lines, verdicts_json
from .verdicts import judge
from .writing import write_comparison, write_report

__all__ = [
    "MINIMUM_SEEDS",
    "RoundRecord",
    "RunRecord",
    "Section",
    "Table",
    "Verdicts",
    "as_json",
    "export_tensorboard",
    "judge",
    "read_run",
    "side_by_side",
    "target_lines",
    "verdict_lines",
    "verdicts_json",
    "write_comparison",
    "write_report",
]
