"""``aral label``, ``aral serve`` and ``aral sync``: a project's page, and its photos."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from aral.annotation import Effort, Project
from aral.cli.desk import Desk, Start, label_photos, serve_project
from aral.cli.options import MaxPixels, SetOption, Threads, in_pixels
from aral.cli.stopping import exit_code_of_signal, stopping_on_signals
from aral.words import counted

ProjectFolder = Annotated[
    Path | None, typer.Option("--project", help="Where the project is kept. Default: .aral in the photos.")
]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port. Default: a free one.", min=1, max=65535)]
AllowRemote = Annotated[bool, typer.Option("--allow-remote", help="Let other machines in.")]
Hosts = Annotated[list[str] | None, typer.Option("--host-name", help="Another name of this server.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("label")(label_command)
    app.command("serve")(serve_command)
    app.command("sync")(sync_command)


def label_command(
    photos: Annotated[Path, typer.Argument(help="The folder of images; nothing in it is changed.")],
    classes: Annotated[
        str, typer.Option(help="Names separated by commas. Default: the sub-folders, if there are any.")
    ] = "",
    budget: Annotated[int | None, typer.Option(help="Labels in all.", min=1)] = None,
    estimate_share: Annotated[
        float | None,
        typer.Option(
            help="Part of the budget that only measures: 20 to 200 labels, at most half. Default: 0.2; 0: none.",
            min=0,
            max=0.5,
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels to begin with: .csv, .jsonl, .json.")] = None,
    project: ProjectFolder = None,
    annotator: Annotated[str, typer.Option(help="Your name. Default: that of the login.")] = "",
    method: Annotated[str | None, typer.Option(help="Learner and acquisition. Default: aral.")] = None,
    query_size: Annotated[int | None, typer.Option(help="Labels a round.", min=1)] = None,
    effort: Annotated[Effort | None, typer.Option(help="How long a round may train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes everything random.")] = None,
    threads: Threads = None,
    setting: SetOption = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train beside labelling.")] = True,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_remote: AllowRemote = False,
    host_name: Hosts = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Take links out of the folder.")
    ] = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Label a folder of images on a page in the browser, while a classifier learns from the answers.

    The same command goes on where it was, on any day. Nothing leaves this machine.
    """
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    given = {
        "method": method,
        "query_size": query_size,
        "effort": effort,
        "seed": seed,
        "threads": threads,
        "settings": tuple(setting) if setting else None,
    }
    options = {name: value for name, value in given.items() if value is not None}
    desk = Desk(
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
    label_photos(photos, project, Start(names, budget, labels, options, estimate_share), desk)


def serve_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    label_studio: Annotated[
        bool, typer.Option("--label-studio", help="Say how a Label Studio reaches it.")
    ] = False,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train beside labelling.")] = True,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_remote: AllowRemote = False,
    host_name: Hosts = None,
) -> None:
    """Serve a project without opening a browser: to a Label Studio, or to other machines."""
    desk = Desk(
        host,
        port,
        allow_remote,
        tuple(host_name or ()),
        browser=False,
        training=train,
        label_studio=label_studio,
    )
    with Project.open(folder) as project:
        serve_project(project, desk)


def sync_command(
    folder: Annotated[Path, typer.Argument(help="The photos, or the project's folder.")],
    watch: Annotated[
        float | None, typer.Option(help="Look again every so many seconds, until Ctrl+C.", min=1)
    ] = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Take in images that were added to the folder since, and note those that are gone."""
    with Project.open(folder) as project, stopping_on_signals() as stopping:
        while True:
            done = project.images.sync(stopping=stopping, max_pixels=in_pixels(max_pixels))
            if done.added or watch is None:
                typer.echo(
                    f"{counted(done.added, 'new image')}, {done.missing} gone, {done.changed} changed; "
                    f"{done.readable} in all, {counted(done.unreadable, 'file')} could not be read."
                )
            until = time.monotonic() + (watch or 0)
            while watch is not None and not stopping() and time.monotonic() < until:
                time.sleep(0.1)
            if watch is None or stopping():
                raise typer.Exit(exit_code_of_signal())
