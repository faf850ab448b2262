"""Reports of runs: numbers first (typed rows), then drawings and one offline HTML page."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.reports.comparison import Section
    from aral.reports.record import RoundRecord, RunRecord, read_run
    from aral.reports.statistics import MINIMUM_SEEDS
    from aral.reports.summary import as_json
    from aral.reports.tables import Table, side_by_side
    from aral.reports.tensorboard import export_tensorboard
    from aral.reports.verdict_rows import Verdicts
    from aral.reports.verdict_words import target_lines, verdict_lines, verdicts_json
    from aral.reports.verdicts import judge
    from aral.reports.writing import write_comparison, write_report

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

export_lazily(__name__)
