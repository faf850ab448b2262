"""``aral predict``: classify new photos."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation
from aral.cli.options import AsJson, MaxPixels, in_pixels
from aral.data.image_file import MAX_PIXELS
from aral.words import counted


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("predict")(predict_command)


def predict_command(
    model: Annotated[Path, typer.Argument(help="An export, a model folder, or a project: its newest model.")],
    photos: Annotated[Path, typer.Argument(help="The folder of new images.")],
    target: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("predictions.csv"),
    max_pixels: MaxPixels = None,
    as_json: AsJson = False,
) -> None:
    """Classify every image below a folder and write a CSV file with all probabilities."""
    done = annotation.predict(
        annotation.find_classifier(model), photos, target, in_pixels(max_pixels) or MAX_PIXELS
    )
    if as_json:
        typer.echo(json.dumps({**asdict(done), "target": str(target)}))
        return
    classified = counted(done.images, "image is", "images are")
    typer.echo(f"{classified} classified, {counted(done.unreadable, 'file')} could not be read: {target}")
