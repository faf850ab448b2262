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
from aral.cli.sentences import said_of_labels
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
            model for model in project.models.all() if Path(model.folder).name.startswith(f"{number:02d}-")
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
    labels: Annotated[Path, typer.Argument(help=".csv, .jsonl, Label Studio's .json, or class folders.")],
    annotator: Annotated[
        str, typer.Option(help="Who gave labels of which the file does not tell.")
    ] = "import",
) -> None:
    """Take labels from elsewhere into a project; the same file counts once."""
    with Project.open(folder) as project:
        typer.echo(said_of_labels(project, labels, annotator))
