"""``aral export`` and ``aral import``: labels and classifiers out, labels in."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation, benchmarking, reports
from aral.annotation import LabelImport, LabelImportResult, Project, ReadOptions, UndoneImport
from aral.annotation.rejected import rejection_lines
from aral.cli.options import AsJson, Download
from aral.cli.printing import say
from aral.errors import BadInput
from aral.plural import counted

IN_PART = 3
"""Exit code of an import that left out rows which hold labels."""

MAX_NAMED = 5
"""Images that are printed of those on which annotators disagree."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("export")(export_command)
    app.command("import")(import_command)


def export_command(
    folder: Annotated[Path, typer.Argument(help="The photos, the project's folder, or a run folder.")],
    target: Annotated[Path, typer.Argument(help="The folder to write to.")],
    format: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(annotation.FORMATS)}; may be repeated. "
            f"Default: {', '.join(annotation.DEFAULT_FORMATS)}; of these, a run has those of its classifier."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All formats; onnx and trunk need the extra aral[onnx].")
    ] = False,
    images: Annotated[annotation.Placing, typer.Option(help="How images get into an ImageFolder.")] = "copy",
    licence: Annotated[str, typer.Option(help="Licence of the classifier, for its metadata.")] = "",
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Write labels (CSV, JSONL, Label Studio, ImageFolder), classifier, model card and report to a folder.

    Of a run folder, the classifier of its last round is written, with model card and report.
    """
    if annotation.is_run_folder(folder):
        run = annotation.load_run(folder)
        done = annotation.export_run(
            run,
            target,
            annotation.MODEL_FORMATS if everything else format or annotation.RUN_FORMATS,
            licence=licence,
            download=download,
            further=lambda into: reports.write_report_page(run.record, into),
        )
        exported = "The classifier is"
    else:
        done = _export_project(folder, target, everything, format, images, licence, download)
        exported = counted(done.labels, "label is", "labels are")
    if as_json:
        say(json.dumps({**asdict(done), "target": str(target)}, indent=2))
        return
    _print_export(done, exported)


def _export_project(
    folder: Path,
    target: Path,
    everything: bool,
    format: list[str] | None,
    images: annotation.Placing,
    licence: str,
    download: bool,
) -> annotation.Exported:
    with Project.open(folder) as project:
        return annotation.export(
            project,
            target,
            annotation.FORMATS if everything else format or annotation.DEFAULT_FORMATS,
            images,
            licence=licence,
            download=download,
            further=lambda into: export_report(project, into),
        )


def export_report(project: Project, target: Path) -> list[str]:
    """Write the HTML report of the newest session with a trained round; its name, or nothing when there is none.

    A new session is created when classes or options change, long before it has trained anything.
    """
    for number, folder in reversed(annotation.session_folders(project.folder)):
        record = benchmarking.read_run(folder)
        if not any(each.stage is not None for each in record.rounds):
            continue
        trained = [
            model for model in project.models.all() if Path(model.folder).name.startswith(f"{number:02d}-")
        ]
        return [
            reports.write_project_report(record, reports.project_view(project, record, trained), target).name
        ]
    return []


def _print_export(done: annotation.Exported, exported: str) -> None:
    say(f"{exported} exported to {done.target}: {', '.join(done.files)}")
    for note in done.notes:
        say(note)
    if done.left_out:
        left_out = counted(len(done.left_out), "image is", "images are")
        say(f"{left_out} missing or changed, and not exported.")


def import_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    labels: Annotated[
        Path | None,
        typer.Argument(
            help="A table (.csv, .tsv, .txt), .jsonl, .json or .xml, class folders, or an export folder. "
            "With --undo: number of the import; default: the last one."
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Annotator of labels for which the source names none.")] = "",
    classes: Annotated[
        str,
        typer.Option(
            help="For a folder: which sub-folders are classes, even if they look like splits or dates."
        ),
    ] = "",
    image_column: Annotated[
        str, typer.Option(help="Column or field that names the image. Default: the only one that can be it.")
    ] = "",
    label_column: Annotated[
        str,
        typer.Option(
            help="Column, field or control with the label. Several columns of 0 and 1, one for each class, are "
            "separated by commas. Default: the only one that can be it."
        ),
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Undo an import of labels.")] = False,
    list_imports: Annotated[bool, typer.Option("--list", help="List the imports of labels.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import labels into a project, list the imports, or undo one. A label that is imported twice counts once.

    The exit code is 2 if nothing could be imported, and 3 if rows with labels were left out; these are listed.
    """
    if undo and list_imports:
        raise BadInput("--undo and --list were given together.", "Give one of them.")
    with Project.open(folder) as project:
        if list_imports:
            _list_imports(project, as_json)
        elif undo:
            undone = project.label_imports.undo(_import_number(labels))
            say(json.dumps(asdict(undone), indent=2) if as_json else undo_text(undone))
        elif labels is None:
            raise BadInput("No labels were named.", f"Give a file or folder: aral import {folder} labels.csv")
        else:
            names = tuple(name.strip() for name in classes.split(",") if name.strip())
            options = ReadOptions(names, image_column, label_column)
            done = annotation.import_labels(project, labels, annotator, options)
            facts = {**asdict(done), "reasons": done.reasons}
            say(json.dumps(facts, indent=2) if as_json else label_import_text(done))
            if done.rejected:
                raise typer.Exit(IN_PART)


def _list_imports(project: Project, as_json: bool) -> None:
    entries = project.label_imports.entries()
    if as_json:
        say(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        say(entry_text(entry))
    if not entries:
        say("No labels were imported.")


def _import_number(given: Path | None) -> int | None:
    """The number of the import to undo.

    Raises:
        BadInput: it is not a number.
    """
    if given is None:
        return None
    text = str(given)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadInput(
            f"{text!r} is not the number of an import.", "See the list: aral import PROJECT --list"
        )
    return int(text)


def label_import_text(done: LabelImportResult) -> str:
    """The result of an import of labels in words, with counts and reasons."""
    parts = [
        *done.notes,
        f"{counted(done.recorded, 'label')} imported; "
        f"{counted(done.repeated, 'was', 'were')} in the project already.",
    ]
    if done.changed_since:
        changed = counted(done.changed_since, "of them was", "of them were")
        parts.append(f"{changed} changed since; the newer label is kept.")
    if done.replaced:
        replaced = counted(done.replaced, "label replaces an earlier one", "labels replace earlier ones")
        parts.append(f"{replaced} by the same annotator.")
    if done.new_classes:
        parts.append(f"New classes: {', '.join(done.new_classes)}.")
    if done.disagreements:
        images = counted(len(done.disagreements), "image")
        named = ", ".join(map(repr, done.disagreements[:MAX_NAMED]))
        more = (
            f" and {len(done.disagreements) - MAX_NAMED} more" if len(done.disagreements) > MAX_NAMED else ""
        )
        parts.append(
            f"On {images} the annotators disagree; the progress view of the page lists them: {named}{more}"
        )
    parts += rejection_lines(done.rejected)
    if done.number is not None:
        parts.append(f"This is import {done.number}; aral import PROJECT --undo {done.number} undoes it.")
    return "\n".join(parts)


def undo_text(done: UndoneImport) -> str:
    """The result of undoing an import in words."""
    parts = [
        f"Import {done.undoes} ({_printable(done.source)}) is undone: "
        f"{counted(done.undone, 'label')} removed; {counted(done.changed_since, 'image keeps', 'images keep')} "
        "a label that was given since."
    ]
    if done.undone_before:
        parts.append(f"{counted(done.undone_before, 'label was', 'labels were')} removed before.")
    if done.removed_classes:
        parts.append(f"Removed classes: {', '.join(done.removed_classes)}.")
    if done.kept_classes:
        parts.append(f"Classes that are kept, because they are used: {', '.join(done.kept_classes)}.")
    return " ".join(parts)


def entry_text(entry: LabelImport) -> str:
    """One import as a line of the list."""
    counts = ", ".join(f"{name} {count}" for name, count in entry.counts.items() if count)
    what = f"undo of {entry.undoes}" if entry.undoes is not None else _printable(entry.source)
    undone = f"; undone by {entry.undone_by}" if entry.undone_by is not None else ""
    classes = f"; new classes: {', '.join(entry.new_classes)}" if entry.new_classes else ""
    time = entry.imported_at[:16].replace("T", " ")
    return f"{entry.number}  {time} UTC  {what}: {counts or 'nothing'}{classes}{undone}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
