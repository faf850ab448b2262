"""A labelling desk: the page, the import and the trainer of one project, until somebody stops them."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import typer

from aral.annotation import (
    ImportProgress,
    Project,
    TrainerProcess,
    TrainingState,
    changed_options,
    class_names_of,
    import_labels,
    read_options,
    write_options,
)
from aral.annotation.opening import FOLDER_NAME
from aral.cli.sentences import check_images, said_of_import, said_of_labels, said_of_measuring
from aral.cli.stopping import exit_code_of_signal, stopping_on_signals
from aral.errors import AralError, RunFailed
from aral.web import Served, link_of_running_server, serve
from aral.words import counted

SAID_EVERY = 2000
"""Files between two lines on how far an import is."""


@dataclass(frozen=True)
class Desk:
    """How a project is served.

    Attributes:
        host: address to listen on.
        port: None to choose a free one.
        allow_remote: other machines may come.
        hosts: more names under which the server is called.
        annotator: name of a person who gives none.
        browser: open the page.
        training: train beside labelling.
        label_studio: say how Label Studio reaches it.
        follow_links: take links that lead out of the photos.
        max_pixels: larger images are refused; None takes what the project remembers.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    allow_remote: bool = False
    hosts: tuple[str, ...] = ()
    annotator: str = ""
    browser: bool = True
    training: bool = True
    label_studio: bool = False
    follow_links: bool = False
    max_pixels: int | None = None


@dataclass(frozen=True)
class Start:
    """What a project begins with, or is changed to.

    Attributes:
        class_names: classes to add; empty to take them from folders or labels.
        budget: labels in all; None leaves it.
        labels: a file or folder of labels to take in; None for none.
        options: fields of the training options that were given.
        estimate_share: the part of the budget that measures; None leaves it.
    """

    class_names: tuple[str, ...] = ()
    budget: int | None = None
    labels: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    estimate_share: float | None = None


def label_photos(photos: Path, folder: Path | None, start: Start, desk: Desk) -> None:
    """Start or go on with a project and serve its page; a page that runs already is said instead.

    Raises:
        BadInput: something cannot be as it was given.
        RunFailed: the disk is full, or the server does not start.
    """
    place = folder or (photos if photos.name == FOLDER_NAME else photos / FOLDER_NAME)
    link = link_of_running_server(place.resolve())
    if link is not None:
        typer.echo(f"This project is open already: {link}")
        if desk.browser:
            webbrowser.open(link)
        return
    with Project.create_or_open(photos, folder, start.class_names, start.budget) as project:
        _keep_options(project, start.options)
        if start.estimate_share is not None:
            project.set_settings(replace(project.settings(), estimate_share=start.estimate_share))
        _name_classes(project, start)
        serve_project(project, desk, start.labels)


def serve_project(project: Project, desk: Desk, labels: Path | None = None) -> None:
    """Import what is new, serve the page and train, until Ctrl+C; then end all three.

    Raises:
        BadInput: the address cannot be used, or the photos or labels are gone.
        RunFailed: the disk is full, or the server does not start.
    """
    with stopping_on_signals() as asked:
        work = Work(project, desk, labels, asked)
        try:
            serve(
                project,
                desk.host,
                desk.port,
                opened=work.begin,
                stopping=lambda: (asked() or work.trouble is not None) and work.ask_to_end(),
                allow_remote=desk.allow_remote,
                hosts=desk.hosts,
                annotator=desk.annotator,
            )
        finally:
            work.end()
    if work.trouble is not None:
        raise work.trouble
    typer.echo("Everything is saved. The same command goes on.")
    raise typer.Exit(exit_code_of_signal())


class Work:
    """What goes on behind the page: first the import, then the trainer.

    Args:
        project: whose.
        desk: how it is served.
        labels: to take in after the import.
        asked: true when all is to end.
    """

    def __init__(self, project: Project, desk: Desk, labels: Path | None, asked: Callable[[], bool]) -> None:
        self._project = project
        self._desk = desk
        self._labels = labels
        self._asked = asked
        self._ending = threading.Event()
        self._trainer: TrainerProcess | None = None
        self._thread = threading.Thread(target=self._run, name="aral-import")
        self._said = 0
        self.trouble: AralError | None = None

    def begin(self, running: Served) -> None:
        """Say where the page is and start."""
        typer.echo(f"The page is open at {running.link()}")
        if self._desk.label_studio:
            typer.echo(
                f"Label Studio: add {running.url} as model, with the user 'aral' and the password "
                f"{running.security.secret}; set its webhook to {running.url}webhook, with the header "
                f"Authorization: Bearer {running.security.secret}"
            )
        typer.echo("Ctrl+C ends it; everything is saved at once.")
        if self._desk.browser:
            webbrowser.open(running.link())
        self._thread.start()

    def ask_to_end(self) -> Literal[True]:
        """Let import and trainer begin to end, while the page still does."""
        self._ending.set()
        if self._trainer is not None:
            self._trainer.ask_to_stop()
        return True

    def end(self) -> None:
        """Wait for the import to stop, and end the trainer."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._trainer is not None:
            self._trainer.stop()

    def _stopping(self) -> bool:
        return self._ending.is_set() or self._asked()

    def _run(self) -> None:
        try:
            self._project.set_training_state(TrainingState("idle", message="Waiting for the import."))
            result = self._project.import_images(
                self._progress,
                self._stopping,
                follow_links=self._desk.follow_links,
                max_pixels=self._desk.max_pixels,
            )
            typer.echo(said_of_import(result))
            if result.complete:
                check_images(self._project)
                typer.echo(said_of_measuring(self._project))
            if self._labels is not None and result.complete:
                typer.echo(said_of_labels(import_labels(self._project, self._labels)))
        except AralError as error:
            self._fail(error)
            return
        except Exception as error:  # nobody else looks at this thread: the page would wait for ever
            failure = RunFailed(
                f"The import failed: {type(error).__name__}: {error}.", "Give the same command again."
            )
            failure.__cause__ = error
            self._fail(failure)
            return
        if self._desk.training and not self._stopping():
            self._trainer = TrainerProcess(self._project).__enter__()
        else:
            self._project.set_training_state(TrainingState("off", message="Training is off."))

    def _fail(self, error: AralError) -> None:
        """End the command with this; the page says it as well, as long as it is there."""
        self.trouble = error
        with suppress(Exception):  # what broke the import may keep this from being written
            self._project.set_training_state(TrainingState("failed", message=error.problem))

    def _progress(self, progress: ImportProgress) -> None:
        if progress.done - self._said >= SAID_EVERY:
            self._said = progress.done
            typer.echo(f"{progress.done} of {counted(progress.total, 'file')} are read.")


def _keep_options(project: Project, given: Mapping[str, object]) -> None:
    options = read_options(project.folder)
    changed = changed_options(options, given)
    if changed != options:
        write_options(project.folder, changed)


def _name_classes(project: Project, start: Start) -> None:
    """Classes from folders, for a project that has none; those of labels come with their import."""
    if project.classes():
        return
    if start.labels is not None:
        found = class_names_of(start.labels)
        if found.names:
            typer.echo(f"Classes of the labels, added when they are imported: {', '.join(found.names)}.")
        return
    found = class_names_of(project.photos)
    for note in found.notes:
        typer.echo(note)
    for name in found.names:
        project.add_class(name, "aral label")
    if found.names:
        typer.echo(
            f"Classes from the folders: {', '.join(found.names)}. Their files are not taken as labels;"
        )
        typer.echo(f"that is done by: aral import {project.photos} {project.photos}")
    else:
        typer.echo(f"There are no classes yet, because {found.reason}.")
        typer.echo("Add them on the page, or with --classes NAME,NAME.")
