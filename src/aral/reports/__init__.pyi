from .files import (
    comparison_json,
    comparison_text,
    curves_csv,
    side_by_side,
    verdicts_csv,
    write_comparison,
    write_files,
    write_project_report,
    write_report,
)
from .paper_tables import check_table_name, latex_table, markdown_table, table_file
from .project_runs import Photo, ProjectView, project_view
from .run_report import as_json
from .tables import Section, Table
from .tensorboard import export_tensorboard
from .text import condition_lines, unequal_settings_line

__all__ = [
    "Photo",
    "ProjectView",
    "Section",
    "Table",
    "as_json",
    "check_table_name",
    "comparison_json",
    "comparison_text",
    "condition_lines",
    "curves_csv",
    "export_tensorboard",
    "latex_table",
    "markdown_table",
    "project_view",
    "side_by_side",
    "table_file",
    "unequal_settings_line",
    "verdicts_csv",
    "write_comparison",
    "write_files",
    "write_project_report",
    "write_report",
]
