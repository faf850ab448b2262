"""The store of a run: one SQLite file for everything that happened, and sealed folders for checkpoints."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.store.rows import AnswerRow, CheckpointRow, EventRow, Json, MetricRow, RoundRow, Stage
    from aral.store.store import Store

__all__ = [
    "AnswerRow",
    "CheckpointRow",
    "EventRow",
    "Json",
    "MetricRow",
    "RoundRow",
    "Stage",
    "Store",
]

export_lazily(__name__)
