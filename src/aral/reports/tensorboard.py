"""Export of a run's metrics to TensorBoard, which is optional and imported only for an export."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from aral.benchmarking import RunRecord, read_run
from aral.errors import BadInput
from aral.reports.curves import round_starts

EVENT_FILES = "events.out.tfevents.*"


@runtime_checkable
class ScalarWriter(Protocol):
    """The part of ``torch.utils.tensorboard.SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Record one number."""

    def add_text(self, tag: str, text_string: str, global_step: int) -> None:
        """Record a text, read as Markdown."""

    def close(self) -> None:
        """Flush and close the file."""


def export_tensorboard(folder: Path, target: Path) -> Path:
    """Write the metrics of a run, finished or running, as one TensorBoard run.

    Args:
        folder: the run folder.
        target: TensorBoard's log folder; the run gets a subfolder of its own name.

    Returns:
        The folder of the TensorBoard run.

    Raises:
        BadInput: TensorBoard is not installed, the folder holds no run, or the run was exported to this place
            before (TensorBoard would draw both copies as one zigzag line).
    """
    record = read_run(folder)
    place = target / record.name
    if any(place.glob(EVENT_FILES)):
        raise BadInput(
            f"{place} already holds an export.", "Remove that folder, or give another one to export to."
        )
    writer = _summary_writer(place)
    try:
        write_scalars(record, writer)
    finally:
        writer.close()
    return place


def write_scalars(record: RunRecord, writer: ScalarWriter) -> None:
    """Pass every metric of a run to a writer.

    Metrics of a round become ``round/NAME`` with the number of labels as step, losses become ``loss/NAME`` with
    the training step, counted over the whole run; values that are not finite are included.
    """
    about = f"{record.method} on {record.data.title}, seed {record.seed}"
    writer.add_text("run", f"    {about}", 0)  # indented, so that Markdown shows it verbatim
    for start, each in zip(round_starts(record), record.rounds, strict=True):
        for name, trace in sorted(each.losses.items()):
            for step, value in zip(trace.steps, trace.values, strict=True):
                writer.add_scalar(f"loss/{name}", value, start + step)
        for name, value in sorted(each.numbers.items()):
            writer.add_scalar(f"round/{name}", value, each.labelled)


def _summary_writer(place: Path) -> ScalarWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BadInput(
            "TensorBoard is not installed.", "Install it first: pip install 'aral[track]'"
        ) from error
    writer: ScalarWriter = SummaryWriter(str(place))
    return writer
