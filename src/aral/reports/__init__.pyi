from .files import (
    comparison_json,
    comparison_text,
    curves_csv,
    side_by_side,
    verdicts_csv,
    write_comparison,
    write_files,
    write_report,
)
from .run_report import as_json
from .tables import Section, Table
from .tensorboard import export_tensorboard
from .text import condition_lines, unequal_settings_line

__all__ = [
    "Section",
    "Table",
    "as_json",
    "comparison_json",
    "comparison_text",
    "condition_lines",
    "curves_csv",
    "export_tensorboard",
    "side_by_side",
    "unequal_settings_line",
    "verdicts_csv",
    "write_comparison",
    "write_files",
    "write_report",
]
