"""Export of a run of a benchmark: its classifier in the formats of a project, with metadata and a model card.

What only projects have is left out and named: labels of annotators, unreadable files, the images themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from aral.annotation.accuracy_estimate import class_figures, exact_interval
from aral.annotation.advice import interval_in_percent, percent
from aral.annotation.exporting import CARD, Exported, check_formats, write_model, write_whole
from aral.annotation.formats import MODEL_FORMATS, RUN_FORMATS, write_exported
from aral.annotation.loaded_run import LoadedRun
from aral.annotation.model_cards import (
    ALWAYS_A_CLASS,
    ExportedModel,
    card_header,
    class_figures_table,
    default_licence,
    plain,
    use_of,
)
from aral.annotation.models import ModelRecord
from aral.errors import BadInput
from aral.learners.evaluation import metrics_of
from aral.loop.reading import store_reading
from aral.loop.training_set import trained_classes
from aral.plural import counted

LEFT_OUT = (
    "A run has no annotators and no estimate set: label files, unreadable.csv and their figures are left out."
)


def export_run(
    run: LoadedRun,
    target: Path,
    formats: Collection[str] = RUN_FORMATS,
    *,
    licence: str = "",
    download: bool = False,
    further: Callable[[Path], Sequence[str]] | None = None,
) -> Exported:
    """Write the classifier of the last round of a run into a folder; files of an earlier export are replaced.

    Everything is written beside the earlier files and replaces them at the end: an export that fails changes nothing.

    Args:
        run: what is exported.
        target: the folder, made if missing; not that of the run.
        formats: some of :data:`aral.annotation.FORMATS`; those of labels are left out, and the notes name them.
        licence: of the classifier, for its metadata; empty if none is stated.
        download: whether weights of the classifier's backbone that are not on this machine may be fetched.
        further: writes more files into the folder it is given, and returns their names.

    Raises:
        BadInput: a format is unknown or needs packages that are missing, none of them is of a classifier, the target
            cannot be used, the run has no classifier that can be exported, or a graph is to be written and its backbone
            is missing or another one.
        RunFailed: the disk is full, a file cannot be written, or a download failed.
    """
    check_formats(formats)
    left_out = [format for format in formats if format not in MODEL_FORMATS]
    if not set(formats) - set(left_out):
        raise BadInput(
            f"A run has no labels of annotators: {', '.join(left_out)} cannot be exported.",
            f"Formats of its classifier: {', '.join(MODEL_FORMATS)}.",
        )
    if target.resolve().is_relative_to(run.folder.resolve()):
        raise BadInput(f"{target} is in the folder of the run.", "Give another folder.")
    run.check_reads_images()
    classifier = run.classifier()
    model = ExportedModel(
        _figures(run),
        classifier,
        licence=licence or default_licence(classifier.description),
        measured_on="test set",
    )

    def write(folder: Path) -> Exported:
        written = write_model(model, folder, formats, download)
        write_exported(folder / CARD, run_card(run, written).encode("utf-8", "replace"))
        named = [f"Not written, as a run has none of it: {', '.join(left_out)}."] if left_out else []
        return Exported(folder, (CARD, *written.files), 0, (), (*written.notes, LEFT_OUT, *named))

    return write_whole(target, write, further)


def _figures(run: LoadedRun) -> ModelRecord:
    """The figures of the last trained round, with exact intervals on the test set."""
    last = [each for each in run.rounds if each.stage is not None][-1]
    count = len(run.class_names)
    with store_reading(run.folder) as store:
        trained = np.array(list(trained_classes(store, last.round).values()), dtype=np.int64)
    confusion = np.zeros((count, count), np.int64) if last.confusion is None else last.confusion
    total = int(confusion.sum())
    return ModelRecord(
        round=last.round,
        folder="",
        trained_on=int(trained.size),
        seconds=last.seconds,
        class_ids=tuple(range(count)),
        estimate=exact_interval(int(confusion.trace()), total) if total else None,
        per_class=class_figures(tuple(range(count)), confusion, trained),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        method=run.record.method,
    )


def run_card(run: LoadedRun, exported: ExportedModel) -> str:
    """``README.md`` of an export of a run.

    Args:
        run: what was exported.
        exported: its classifier.
    """
    model, record, rounds = exported.record, run.record, run.settings.rounds
    shown = [plain(name) for name in run.class_names]
    accuracy = "The accuracy is unknown: the round has not been evaluated."
    if model.estimate is not None:
        accuracy = (
            f"Accuracy {percent(model.estimate)}, 95 % confidence interval {interval_in_percent(model.estimate)}, on "
            f"{counted(model.estimate.count, 'test image')}."
        )
        others = metrics_of(np.array(model.confusion))
        accuracy += "".join(
            f" {name[0].upper()}{name[1:]} {100 * value:.1f} %." for name, value in others.items()
        )
    lines = [
        *card_header(run.class_names, with_model=True),
        f"# Image classifier of the run {plain(record.name)}",
        "",
        f"{plain(record.method)} on {plain(record.data.title)}, seed {record.seed}. Round {model.round}, trained on "
        f"{counted(model.trained_on, 'label')}.",
        "",
        "## Accuracy",
        "",
        accuracy,
        *class_figures_table(shown, model),
        "",
        "## Labels",
        "",
        f"- Queried by the acquisition function {plain(run.settings.acquisition)}, {rounds.query_size} a round; the "
        f"first query by {plain(rounds.first_query)}.",
        f"- {LEFT_OUT}",
        "",
        "## Limits",
        "",
        "- Training images were queried by an acquisition function: class frequencies may differ from the pool's.",
        "- The accuracy holds for images like those of the test set.",
        f"- {ALWAYS_A_CLASS}",
        "",
        *use_of(exported),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
