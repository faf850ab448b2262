"""``aral status``, ``predict``, ``doctor`` and ``move``: how a project is, what it predicts, where its database is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aral import annotation, web
from aral.annotation import Project
from aral.annotation.backups import restore_backup
from aral.annotation.moving import move_to_file, move_to_server
from aral.cli.options import (
    Address,
    AsJson,
    Download,
    EngineName,
    ImageColumn,
    Keys,
    MaxPixels,
    ShardFeaturesOption,
    SlurmOption,
    Workers,
    in_pixels,
)
from aral.cli.printing import say
from aral.data.image_file import MAX_PIXELS
from aral.errors import BadInput
from aral.plural import counted


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("status")(status_command)
    app.command("predict")(predict_command)
    app.command("doctor")(doctor_command)
    app.command("move")(move_command)


def status_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    as_json: AsJson = False,
) -> None:
    """Print the state of labelling and training, the estimated accuracy, and the address of the page."""
    with Project.open(folder) as project:
        found = annotation.status(project)
        if as_json:  # programs poll this: no login link is made for each
            page = web.url_of_running_server(project.folder)
            say(json.dumps({**found.facts, "page": page}, indent=2))
            return
        link = web.link_of_running_server(project.folder)
    for sentence in found.sentences:
        say(sentence)
    say(f"The page is open at {link}" if link else f"The page is not open: aral label {folder}")


def predict_command(
    model: Annotated[
        Path, typer.Argument(help="An export, a model folder, a run folder, or a project: its newest model.")
    ],
    photos: Annotated[
        list[str],
        typer.Argument(
            help="The folder of new images; or shards (Parquet files, WebDataset tars): addresses, patterns, folders."
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option(
            help="The CSV file to write, of shards a folder. Default: predictions.csv, of shards predictions."
        ),
    ] = None,
    max_pixels: MaxPixels = None,
    image_column: ImageColumn = None,
    keys: Keys = None,
    features: ShardFeaturesOption = None,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    slurm: SlurmOption = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Classify every image below a folder or of shards and write CSV files with all probabilities."""
    # PyTorch, which the other commands here do without.
    from aral.benchmarking.engines import EngineSettings
    from aral.benchmarking.shard_jobs import ShardResources
    from aral.cli.shards import ShardOptions, image_folder, predict_images_of_shards

    engine_settings = EngineSettings(engine, address, tuple(slurm or ()))
    given = ShardOptions(image_column, keys, ShardResources(features, workers, engine_settings))
    folder = image_folder(photos)
    if folder is not None:
        given.refuse_beside(folder)
        target = target or Path("predictions.csv")
        done = annotation.predict(
            annotation.find_classifier(model), folder, target, in_pixels(max_pixels) or MAX_PIXELS, download
        )
        images, unreadable = done.images, done.unreadable
    else:
        if max_pixels is not None:
            raise BadInput("--max-pixels is for a folder of images, not for shards.", "Leave it out.")
        target = target or Path("predictions")
        found = predict_images_of_shards(annotation.find_classifier(model), photos, target, given, download)
        images, unreadable = found.images, found.unreadable
    if as_json:
        say(json.dumps({"images": images, "unreadable": unreadable, "target": str(target)}))
        return
    classified = counted(images, "image is", "images are")
    say(f"{classified} classified, {counted(unreadable, 'file')} could not be read: {target}")


def doctor_command(
    folder: Annotated[Path | None, typer.Argument(help="A project, or its photos, to check too.")] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back the newest intact backup of the project's database.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check versions, disk, memory, permissions and, with a folder, the files of its project.

    Exit code 1 if something prevents work.
    """
    if restore:
        if folder is None:
            raise BadInput("--restore needs the folder of a project.", "aral doctor FOLDER --restore")
        done = restore_backup(folder)
        say(
            f"The backup of {done.saved_at} is back, with {counted(done.answers, 'answer')}: {done.backup.name}."
        )
        if done.kept:
            say(f"What it replaces is kept as {', '.join(each.name for each in done.kept)}.")
    checks = annotation.examine(folder)
    if as_json:
        say(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            say(f"{check.verdict:5}{check.name}: {check.found}")
            if check.hint:
                say(f"     {check.hint}")
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)


def move_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    to: Annotated[str, typer.Option(help="postgresql://USER@HOST/NAME, or: file")],
    as_json: AsJson = False,
) -> None:
    """Move a project's database from its SQLite file to a Postgres server, or back; what it replaces is kept."""
    done = move_to_file(folder) if to == "file" else move_to_server(folder, to)
    if as_json:
        say(json.dumps(asdict(done)))
        return
    say(
        f"{counted(done.rows, 'row')} moved, {counted(done.answers, 'answer')} among them. Kept: {done.kept}."
    )
