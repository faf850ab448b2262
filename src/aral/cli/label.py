"""``aral label``, ``aral serve``, ``aral sync`` and ``aral train-worker``: a project's page, photos and training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from aral.annotation import Device, Effort, Project
from aral.annotation.training_worker import train
from aral.cli.options import Download, MaxPixels, SetOption, Threads, in_pixels
from aral.cli.printing import say
from aral.cli.serving import ProjectChanges, ServeOptions, label_photos, serve_project
from aral.cli.stopping import exit_code_of_signal, stopping_on_signals
from aral.errors import BadInput
from aral.plural import counted

LONGEST_WAIT = 1e6
"""Seconds between two syncs."""

ProjectFolder = Annotated[
    Path | None, typer.Option("--project", help="Folder of the project. Default: .aral in the photos.")
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port. Default: a free one.", min=1, max=65535)]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="ARAL_DATABASE",
        help="Postgres in place of an SQLite file: postgresql://USER@HOST/NAME, without a password. The project "
        "remembers it.",
    ),
]
AllowRemote = Annotated[bool, typer.Option("--allow-remote", help="Accept requests from other machines.")]
Hosts = Annotated[
    list[str] | None, typer.Option("--host-name", help="A further host name of this server; may be repeated.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("label")(label_command)
    app.command("serve")(serve_command)
    app.command("sync")(sync_command)
    app.command("train-worker")(train_worker_command)


def label_command(
    photos: Annotated[Path, typer.Argument(help="The folder of images; they are not changed.")],
    classes: Annotated[
        str,
        typer.Option(help="Classes of a new project, separated by commas. Default: its sub-folders, if any."),
    ] = "",
    add_class: Annotated[
        list[str] | None, typer.Option("--add-class", help="A class to add to the project; may be repeated.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Number of labels in all.", min=1)] = None,
    estimate_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the budget for the estimate set: 20 to 200 labels, at most half. Default: 0.2; 0: none.",
            min=0,
            max=0.5,
        ),
    ] = None,
    estimate_size: Annotated[
        int | None,
        typer.Option(help="Number of images in the estimate set, instead of the share.", min=0),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels to import: .csv, .jsonl, .json or a folder.")
    ] = None,
    project: ProjectFolder = None,
    database: Database = None,
    annotator: Annotated[str, typer.Option(help="Your name. Default: the login name.")] = "",
    device: Annotated[
        Device | None, typer.Option(help="auto, cpu or cuda. Default: auto, a GPU where there is one.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Learner and acquisition. Default: auto.")] = None,
    representation: Annotated[
        str | None,
        typer.Option(help="What the learner reads: pixels, or a backbone by name. Default: auto."),
    ] = None,
    query_size: Annotated[int | None, typer.Option(help="Labels per round.", min=1)] = None,
    effort: Annotated[Effort | None, typer.Option(help="How long a round may train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    threads: Threads = None,
    setting: SetOption = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train while people label.")] = True,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_remote: AllowRemote = False,
    host_name: Hosts = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Import links that lead out of the folder.")
    ] = False,
    max_pixels: MaxPixels = None,
    download: Download = False,
) -> None:
    """Label a folder of images on a page in the browser, while a classifier learns from the answers.

    Run the same command to continue, on any day. Nothing leaves this machine.
    """
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    given = {
        "method": method,
        "device": device,
        "representation": representation,
        "query_size": query_size,
        "effort": effort,
        "seed": seed,
        "threads": threads,
        "settings": tuple(setting) if setting else None,
    }
    training = {name: value for name, value in given.items() if value is not None}
    options = ServeOptions(
        host,
        port,
        allow_remote,
        tuple(host_name or ()),
        annotator,
        browser,
        train,
        follow_links=follow_links,
        max_pixels=in_pixels(max_pixels),
    )
    changes = ProjectChanges(
        names, budget, labels, training, estimate_share, estimate_size, tuple(add_class or ()), download
    )
    label_photos(photos, project, changes, options, database)


def serve_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    label_studio: Annotated[
        bool, typer.Option("--label-studio", help="Print what Label Studio needs to connect.")
    ] = False,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train while people label.")] = True,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_remote: AllowRemote = False,
    host_name: Hosts = None,
) -> None:
    """Serve a project without opening a browser: for Label Studio, or for other machines."""
    options = ServeOptions(
        host,
        port,
        allow_remote,
        tuple(host_name or ()),
        browser=False,
        training=train,
        label_studio=label_studio,
    )
    with Project.open(folder) as project:
        serve_project(project, options)


def train_worker_command(
    folder: Annotated[
        Path, typer.Argument(help="The photos, or the project's folder, as this machine has it.")
    ],
    database: Annotated[
        str | None, typer.Option(help="The address of the project's database as this machine reaches it.")
    ] = None,
) -> None:
    """Train a project that is served with --no-train, as on another machine, until Ctrl+C."""
    with Project.open(folder, database) as project, stopping_on_signals() as stopping:
        where = f"its database is {project.server}" if project.server else "its database is a file"
        say(f"Training the project in {project.folder}; {where}. Ctrl+C ends it.")
        train(project, stopping)
        raise typer.Exit(exit_code_of_signal())


def sync_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    watch: Annotated[
        float | None, typer.Option(help="Repeat after so many seconds, until Ctrl+C.", min=1)
    ] = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Import images that were added to the folder, and record which are missing or changed."""
    if watch is not None and not 1 <= watch <= LONGEST_WAIT:
        raise BadInput(f"{watch} seconds are no time to wait.", "Give 1 or more, such as --watch 60.")
    with Project.open(folder) as project, stopping_on_signals() as stopping:
        while True:
            done = project.images.sync(stopping=stopping, max_pixels=in_pixels(max_pixels))
            if done.added or watch is None:
                say(
                    f"{counted(done.added, 'new image')}, {done.missing} missing, {done.changed} changed; "
                    f"{done.readable} in all, {counted(done.unreadable, 'file')} could not be read."
                )
            until = time.monotonic() + (watch or 0)
            while watch is not None and not stopping() and time.monotonic() < until:
                time.sleep(0.1)
            if watch is None or stopping():
                raise typer.Exit(exit_code_of_signal())
