"""``aral export`` and ``aral import``: labels and classifiers out, labels in."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation, reports
from aral.annotation import Project
from aral.cli.options import AsJson
from aral.cli.sentences import said_of_entry, said_of_labels, said_of_undo
from aral.errors import BadInput
from aral.words import counted

REPORT = "report.html"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("export")(export_command)
    app.command("import")(import_command)


def export_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    target: Annotated[Path, typer.Argument(help="The folder to write to.")],
    form: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(annotation.FORMS)}; repeatable. Default: {', '.join(annotation.USUAL)}."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every form; ONNX needs its extra.")] = False,
    images: Annotated[annotation.Placing, typer.Option(help="How an ImageFolder gets its images.")] = "copy",
    as_json: AsJson = False,
) -> None:
    """Write labels (CSV, JSONL, Label Studio, ImageFolder), classifier, model card and report to a folder."""
    with Project.open(folder) as project:
        done = annotation.export(
            project, target, annotation.FORMS if everything else form or annotation.USUAL, images
        )
        report = export_report(project, target)
    files = [*done.files, *([REPORT] if report else [])]
    if as_json:
        typer.echo(json.dumps({**asdict(done), "target": str(target), "files": files}, indent=2))
        return
    _say(done, files)


def export_report(project: Project, target: Path) -> bool:
    """The HTML report of the newest session with a trained round; False when there is none.

    A session is made as soon as classes or options are others, long before it has trained anything.
    """
    for number, folder in reversed(annotation.session_folders(project.folder)):
        if not any(each.stage is not None for each in reports.read_run(folder).rounds):
            continue
        trained = [
            model for model in project.models() if Path(model.folder).name.startswith(f"{number:02d}-")
        ]
        shutil.copyfile(
            reports.write_report(folder, estimate=trained[-1].estimate if trained else None), target / REPORT
        )
        return True
    return False


def _say(done: annotation.Exported, files: list[str]) -> None:
    typer.echo(
        f"{counted(done.labels, 'label is', 'labels are')} exported to {done.target}: {', '.join(files)}"
    )
    for note in done.notes:
        typer.echo(note)
    if done.left_out:
        left_out = counted(len(done.left_out), "image is", "images are")
        typer.echo(f"{left_out} gone or changed and left out.")


def import_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    labels: Annotated[
        Path | None,
        typer.Argument(
            help=".csv, .jsonl, Label Studio's .json, class folders, or an export folder. "
            "With --undo: number of the import; default: the last one."
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Who gave labels of which the source does not tell.")] = "",
    classes: Annotated[
        str,
        typer.Option(
            help="Of a folder: names of its class folders, also ones that look like splits or dates."
        ),
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take an import of labels back.")] = False,
    list_imports: Annotated[bool, typer.Option("--list", help="List the imports of labels.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take labels from elsewhere into a project, list imports, or take one back; the same label counts once."""
    if undo and list_imports:
        raise BadInput("--undo and --list were given together.", "Give one of them.")
    with Project.open(folder) as project:
        if list_imports:
            _list_imports(project, as_json)
        elif undo:
            undone = project.label_imports.undo(_import_number(labels))
            typer.echo(json.dumps(asdict(undone), indent=2) if as_json else said_of_undo(undone))
        elif labels is None:
            raise BadInput("No labels were named.", f"Give a file or folder: aral import {folder} labels.csv")
        else:
            names = tuple(name.strip() for name in classes.split(",") if name.strip())
            done = annotation.import_labels(project, labels, annotator, names)
            facts = {**asdict(done), "reasons": done.reasons}
            typer.echo(json.dumps(facts, indent=2) if as_json else said_of_labels(done))


def _list_imports(project: Project, as_json: bool) -> None:
    entries = project.label_imports.entries()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        typer.echo(said_of_entry(entry))
    if not entries:
        typer.echo("No labels were imported.")


def _import_number(given: Path | None) -> int | None:
    """The number of the import to take back.

    Raises:
        BadInput: it is no number.
    """
    if given is None:
        return None
    text = str(given)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadInput(f"{text!r} is no number of an import.", "See the list: aral import PROJECT --list")
    return int(text)
