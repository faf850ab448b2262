"""Serving a project: its page, the import of its photos and the training worker, until Ctrl+C."""

from __future__ import annotations

import os
import threading
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import typer

from aral.annotation import (
    Project,
    SyncProgress,
    SyncResult,
    TrainerProcess,
    TrainingState,
    changed_options,
    class_names_of,
    import_labels,
    read_options,
    write_options,
)
from aral.annotation.backups import back_up
from aral.annotation.project import FOLDER_NAME
from aral.benchmarking.auto import AUTO
from aral.cli.exchange import label_import_text
from aral.cli.printing import say
from aral.cli.stopping import exit_code_of_signal, stopping_on_signals
from aral.data.file_kinds import SAVE_AS
from aral.errors import AralError, BadInput, RunFailed
from aral.plural import counted
from aral.web import Served, link_of_running_server, serve

BACKUP_SECONDS = 600.0
WATCH_SECONDS = 5.0

AUTO_TEXT = (
    "Method: auto. Images are read by a pretrained network and classified within seconds; grey ones of 64 pixels "
    "or fewer are trained on as pixels (--method and --representation change it)."
)

FILES_PER_LINE = 2000
"""Files between two lines on the progress of an import."""


@dataclass(frozen=True)
class ServeOptions:
    """How a project is served.

    Attributes:
        host: address to listen on.
        port: None to choose a free one.
        allow_remote: accept requests from other machines.
        hosts: further host names of this server.
        annotator: name of an annotator who gives none.
        browser: open the page in a browser.
        training: train while people label.
        label_studio: print what Label Studio needs to connect.
        follow_links: import links that lead out of the folder of photos.
        max_pixels: images with more pixels are not imported; None uses the project's setting.
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
class ProjectChanges:
    """What a project is created with, or changed to.

    Attributes:
        class_names: classes of a new project; if empty, it has those of the folders or of the imported labels. An
            existing project must have them already.
        budget: number of labels in all; None leaves it as it is.
        labels: a file or folder of labels to import; None for none.
        options: fields of the training options that were given.
        estimate_share: share of the budget in the estimate set; None leaves it as it is.
        estimate_size: number of images in the estimate set, instead of the share; None leaves it as it is.
        new_classes: classes to add to an existing project.
        download: whether weights of a backbone that are not on this machine may be fetched.
    """

    class_names: tuple[str, ...] = ()
    budget: int | None = None
    labels: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    estimate_share: float | None = None
    estimate_size: int | None = None
    new_classes: tuple[str, ...] = ()
    download: bool = False


def label_photos(
    photos: Path,
    folder: Path | None,
    changes: ProjectChanges,
    options: ServeOptions,
    database: str | None = None,
) -> None:
    """Create or open a project and serve its page. If its page is served already, print the address instead.

    Args:
        photos: the images.
        folder: of the project; None for the one in the photos.
        changes: what the project is created with, or changed to.
        options: how it is served.
        database: address of the database on a server that has it; None for the one that the folder remembers.

    Raises:
        BadInput: an argument is not possible.
        RunFailed: the disk is full, the server does not start, or that of the database cannot be reached.
    """
    place = folder or (photos if photos.name == FOLDER_NAME else photos / FOLDER_NAME)
    link = link_of_running_server(place.resolve())
    if link is not None:
        say(f"The page of this project is open already: {link}")
        if changes != ProjectChanges():
            say("The options were not applied: stop that page first, or change the project on the page.")
        if options.browser:
            webbrowser.open(link)
        return
    if changes.labels is not None and not changes.labels.exists():
        raise BadInput(
            f"There are no labels in {changes.labels}: it is missing.", "Check the path of --labels."
        )
    if photos.is_dir() and not place.exists():
        _check_files(photos)
    seed = changes.options.get("seed")
    with Project.create_or_open(
        photos,
        folder,
        changes.class_names,
        changes.budget,
        seed if isinstance(seed, int) else None,
        changes.new_classes,
        database,
    ) as project:
        _set_options(project, changes.options, changes.download)
        _set_estimate(project, changes)
        _add_classes(project, changes)
        serve_project(project, options, changes.labels)


def serve_project(project: Project, options: ServeOptions, labels: Path | None = None) -> None:
    """Import new photos, serve the page and train, until Ctrl+C.

    Raises:
        BadInput: the address cannot be used, or the photos or labels do not exist.
        RunFailed: the disk is full, or the server does not start.
    """
    with stopping_on_signals() as stop_requested:
        work = BackgroundWork(project, options, labels, stop_requested)
        try:
            serve(
                project,
                options.host,
                options.port,
                opened=work.begin,
                stopping=lambda: (stop_requested() or work.error is not None) and work.request_stop(),
                allow_remote=options.allow_remote,
                hosts=options.hosts,
                annotator=options.annotator,
            )
        finally:
            work.end()
    if work.error is not None:
        raise work.error
    say("Everything is saved. Run the same command to continue.")
    raise typer.Exit(exit_code_of_signal())


class BackgroundWork:
    """What runs while the page is served: first the import, in a thread, then the training worker.

    Args:
        project: the project.
        options: how it is served.
        labels: labels to import after the photos.
        stop_requested: true once the command is to end.
    """

    def __init__(
        self, project: Project, options: ServeOptions, labels: Path | None, stop_requested: Callable[[], bool]
    ) -> None:
        self._project = project
        self._options = options
        self._labels = labels
        self._stop_requested = stop_requested
        self._ending = threading.Event()
        self._trainer: TrainerProcess | None = None
        self._thread = threading.Thread(target=self.run, name="aral-import")
        self._backups = threading.Thread(target=self._back_up, name="aral-backup")
        self._watch = threading.Thread(target=self._watch_worker, name="aral-watch")
        self._reported = 0
        self.error: AralError | None = None

    def begin(self, running: Served) -> None:
        """Print the address of the page and changes."""
        say(f"The page is open at {running.link()}")
        if self._options.label_studio:
            say(
                f"Label Studio: add {running.url} as model, with the user 'aral' and the password "
                f"{running.security.secret}; set its webhook to {running.url}webhook, with the header "
                f"Authorization: Bearer {running.security.secret}"
            )
        if self._options.training and read_options(self._project.folder).method == AUTO:
            say(AUTO_TEXT)
        say("Ctrl+C ends it. Every answer is saved when it is given.")
        if self._options.browser:
            webbrowser.open(running.link())
        self._thread.start()
        if not self._project.server:
            self._backups.start()
        elif not self._options.training:
            self._watch.start()

    def _back_up(self) -> None:
        """Back up the database now and every ten minutes; the state before this session stays the older backup."""
        keep_older, said = False, ""
        while True:
            try:
                made = back_up(self._project.folder, keep_older)
                keep_older = keep_older or made
            except AralError as error:
                if error.problem != said:
                    say(f"{error.problem} {error.hint}", err=True)
                said = error.problem
            if self._ending.is_set():
                return
            self._ending.wait(BACKUP_SECONDS)

    def _watch_worker(self) -> None:
        """Say when the training worker on another machine is gone, which can no longer say so itself."""
        while not self._ending.wait(WATCH_SECONDS):
            with suppress(RunFailed):  # a lost server comes back
                if self._thread.is_alive() or self._project.worker.current() is not None:
                    continue
                if self._project.models.training_state().phase != "off":
                    self._set_state(TrainingState("off", message="The training worker has ended."))

    def _set_state(self, state: TrainingState) -> None:
        """Set what the training worker does, unless one on another machine says so itself."""
        if self._project.worker.current() is None:
            self._project.models.set_training_state(state)

    def request_stop(self) -> Literal[True]:
        """Ask the import and the training worker to stop, while the server is still ending."""
        self._ending.set()
        if self._trainer is not None:
            self._trainer.ask_to_stop()
        return True

    def end(self) -> None:
        """Wait for the import to stop, and stop the training worker."""
        self._ending.set()
        for thread in (self._thread, self._backups, self._watch):
            if thread.is_alive():
                thread.join()
        if self._trainer is not None:
            self._trainer.stop()
        if self.error is not None:  # the worker has reported that it is off
            self._fail(self.error)

    def _stopping(self) -> bool:
        return self._ending.is_set() or self._stop_requested()

    def run(self) -> None:
        """Start the training worker, which reads images as they come, and import photos and labels.

        An error is kept in ``error``.
        """
        try:
            self._set_state(TrainingState("reading", message="Waiting for the import."))
            if self._options.training and not self._stopping():
                self._trainer = TrainerProcess(self._project).__enter__()
            result = self._project.images.sync(
                self._progress,
                self._stopping,
                follow_links=self._options.follow_links,
                max_pixels=self._options.max_pixels,
            )
            say(import_text(result))
            if result.complete:
                check_images(self._project)
                say(estimate_set_text(self._project))
            if self._labels is not None and result.complete:
                say(label_import_text(import_labels(self._project, self._labels)))
        except AralError as error:
            self._fail(error)
            return
        except Exception as error:  # otherwise the thread ends unseen and the page waits for ever
            failure = RunFailed(
                f"The import failed: {type(error).__name__}: {error}.", "Run the same command again."
            )
            failure.__cause__ = error
            self._fail(failure)
            return
        if not self._options.training:
            self._set_state(TrainingState("off", message="Training is off."))

    def _fail(self, error: AralError) -> None:
        """End the command with this error; the page shows it too while it is served."""
        self.error = error
        with suppress(Exception):  # the cause of the failure may prevent this write too
            self._project.models.set_training_state(TrainingState("failed", message=error.problem))

    def _progress(self, progress: SyncProgress) -> None:
        if progress.done - self._reported >= FILES_PER_LINE:
            self._reported = progress.done
            say(f"{progress.done} of {counted(progress.total, 'file')} read.")


def _set_options(project: Project, given: Mapping[str, object], download: bool) -> None:
    options = read_options(project.folder)
    changed = changed_options(options, given)
    if changed != options or download:
        write_options(project.folder, changed, download)


def _set_estimate(project: Project, changes: ProjectChanges) -> None:
    """Set the size of the estimate set, by its share or by its number of images."""
    if changes.estimate_size is not None and changes.estimate_share is not None:
        raise BadInput("--estimate-size and --estimate-share contradict each other.", "Give one of them.")
    settings = project.settings.get()
    if changes.estimate_share is not None:
        project.settings.set(replace(settings, estimate_share=changes.estimate_share, estimate_size=None))
    elif changes.estimate_size is not None:
        project.settings.set(replace(settings, estimate_size=changes.estimate_size))


def _add_classes(project: Project, changes: ProjectChanges) -> None:
    """Add the classes of the folders to a project that has none; an import of labels adds its own."""
    if project.classes.all():
        return
    if changes.labels is not None:
        found = class_names_of(changes.labels)
        if found.names:
            say(f"Classes of the labels, which are added by the import: {', '.join(found.names)}.")
        return
    found = class_names_of(project.photos)
    for note in found.notes:
        say(note)
    for name in found.names:
        project.classes.add(name, "aral label")
    if found.names:
        say(f"Classes from the folders: {', '.join(found.names)}. The folders are not imported as labels;")
        say(f"to do so: aral import {project.photos} {project.photos}")
    else:
        say(f"There are no classes yet, because {found.reason}.")
        say("Add them on the page, or with --classes NAME,NAME.")


def import_text(result: SyncResult) -> str:
    """The result of an import of photos in words."""
    copies = counted(result.duplicates, "of them a copy", "of them copies")
    unreadable = f"{counted(result.unreadable, 'file')} could not be read."
    animated = counted(len(result.first_frames), "animation")
    frames = f" Of {animated} only the first frame is used." if result.first_frames else ""
    scaled = counted(result.scaled, "image of more than 8 bits was", "images of more than 8 bits were")
    bits = f" {scaled} scaled to 8 by the range of the values." if result.scaled else ""
    profile = counted(result.profiles_ignored, "unusable colour profile was", "unusable colour profiles were")
    profiles = f" {profile} ignored." if result.profiles_ignored else ""
    return f"{counted(result.readable, 'image')}, {copies}; {unreadable}{frames}{bits}{profiles}"


def estimate_set_text(project: Project) -> str:
    """The size of the estimate set, and how to change it."""
    size, budget = project.estimate.image_ids().size, project.settings.get().budget
    if not size:
        return "There is no estimate set, so the accuracy stays unknown (--estimate-share 0.2 makes one)."
    spent = min(budget or project.images.count(), project.images.count())
    return (
        f"{size} of {counted(spent, 'label')} are for the estimate set: random images that measure the accuracy "
        "and are never trained on (--estimate-share changes the number)."
    )


def _check_files(photos: Path) -> None:
    """Refuse to start a project in a folder without files; links and folders that cannot be read may hold some.

    Raises:
        BadInput: there is no file in it.
    """
    seen = (each for _, _, files in os.walk(photos) for each in files if not each.startswith("."))
    links = (each for each in photos.rglob("*") if each.is_symlink())
    if next(seen, None) is None and next(links, None) is None:
        raise BadInput(
            f"{photos} contains no readable image: it has no files.", "Give the folder that holds the images."
        )


def check_images(project: Project) -> None:
    """Refuse to serve a project without images.

    Raises:
        BadInput: no image could be read; the message names the first files and the reasons.
    """
    if project.images.count():
        return
    shown = "; ".join(f"{bad.path!r}: {bad.reason}" for bad in project.images.unreadable()[:3])
    raise BadInput(
        f"{project.photos} contains no readable image{f'; not imported: {shown}' if shown else ''}.",
        f"Give a folder with {SAVE_AS} files.",
    )
