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
    write_report_page,
)
from .paper_tables import check_table_name, latex_table, markdown_table, table_file
from .project_runs import Photo, ProjectView, project_view
from .run_report import as_json
from .tables import Section, Table
from .text import condition_lines, unequal_settings_line
from .trackers import (
    TRACKERS,
    TrackedRun,
    Tracker,
    TrackerName,
    TrackingObserver,
    check_trackers,
    export_record,
    export_tensorboard,
)

__all__ = [
    "TRACKERS",
    "Photo",
    "ProjectView",
    "Section",
    "Table",
    "TrackedRun",
    "Tracker",
    "TrackerName",
    "TrackingObserver",
    "as_json",
    "check_table_name",
    "check_trackers",
    "comparison_json",
    "comparison_text",
    "condition_lines",
    "curves_csv",
    "export_record",
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
    "write_report_page",
]
