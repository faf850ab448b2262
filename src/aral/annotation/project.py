"""A project: one folder with everything known about a folder of photos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from aral.annotation.annotations import Annotations
from aral.annotation.annotators import Annotators
from aral.annotation.classes import Classes, add_new_classes, start_classes
from aral.annotation.database import (
    FILE_NAME,
    Connection,
    ProjectDatabase,
    open_file,
    read_setting,
    write_setting,
)
from aral.annotation.database_address import ADDRESS_NAME, Address, parse_address, remembered_address
from aral.annotation.estimate import EstimateSet, set_seed
from aral.annotation.grid import Grid
from aral.annotation.images import Images
from aral.annotation.import_units import LabelImports
from aral.annotation.labels import LabelCounts, Labels
from aral.annotation.models import ModelRecord, Models
from aral.annotation.postgres import open_schema
from aral.annotation.predictions import Predictions
from aral.annotation.queue import Queue
from aral.annotation.searches import Searches
from aral.annotation.settings import (
    ProjectSettings,
    Settings,
    adapt_estimate_set,
    check_budget,
    read_settings,
    write_settings,
)
from aral.annotation.worker_lock import WorkerLock
from aral.errors import BadInput

FOLDER_NAME = ".aral"

FOLDER_SETTING = "folder"
"""Name of a setting: the project's folder, where the database is on a server."""


@dataclass(frozen=True)
class Finish:
    """The budget is spent, and this annotator has no second opinions left to give.

    Attributes:
        labels: how many images have a label.
        budget: how many labels were to be given.
        minutes_left: until there is a model that has learned from all labels; 0 when there is one, None when
            that is unknown: no training so far, or it is off or has failed.
        model_round: the round of the newest model; None without one.
    """

    labels: int
    budget: int
    minutes_left: float | None
    model_round: int | None


@dataclass(frozen=True)
class Pace:
    """How fast an annotator labels.

    Attributes:
        labels_per_minute: over the last five minutes, from the first label in them; 0 after a longer pause.
        left: labels that are still to be given: of the budget, but no more than there are images for.
        seconds_left: how long these take at that pace; None when it is unknown.
        round_seconds_left: how long the rest of the newest query takes, with the images of the estimate set
            mixed into it; None when it is unknown.
    """

    labels_per_minute: float
    left: int
    seconds_left: float | None
    round_seconds_left: float | None


class Project:
    """A folder of images with its classes, answers, queue, models and figures.

    One object serves all threads of a process; each process opens its own. Every method that changes something
    has committed all of it when it returns, or nothing.

    Attributes:
        folder: of the project.
        photos: the user's images; never written to.
        images: the images, their pixels and thumbnails.
        classes: the classes and their history.
        settings: page, budget, overlap and share of the estimate set.
        annotators: who labels.
        estimate: the estimate set.
        predictions: the newest model's predictions.
        queue: what is to be labelled next, cards and leases.
        grid: pages of many images.
        annotations: the event log of answers.
        labels: consensus, disagreements and suspect labels.
        label_imports: the imports of labels, and their undo.
        models: the trained models and the state of the training worker.
        searches: searches of images by words.
        worker: which process is the training worker.
    """

    def __init__(self, folder: Path, photos: Path, database: ProjectDatabase) -> None:
        self.folder = folder
        self.photos = photos
        self.images = Images(database, folder, photos)
        self.classes = Classes(database)
        self.settings = Settings(database)
        self.annotators = Annotators(database)
        self.estimate = EstimateSet(database)
        self.predictions = Predictions(database)
        self.queue = Queue(database, self.predictions)
        self.grid = Grid(database, self.predictions)
        self.annotations = Annotations(database, self.predictions)
        self.labels = Labels(database, self.predictions)
        self.label_imports = LabelImports(database, self.predictions)
        self.models = Models(database)
        self.searches = Searches(database)
        self.worker = WorkerLock(database, folder)
        self._database = database

    @staticmethod
    def create_or_open(
        photos: Path,
        project: Path | None = None,
        class_names: Sequence[str] = (),
        budget: int | None = None,
        seed: int | None = None,
        new_classes: Sequence[str] = (),
        database: str | None = None,
    ) -> Project:
        """Open the project of a folder of photos, or create it.

        Args:
            photos: the folder.
            project: the project's folder; None for ``.aral`` inside the photos.
            class_names: the classes of a new project. In one that has classes each name must be that of one of
                them, now or before, and nothing is added.
            new_classes: classes to add; a name that a class has or had before is not added again.
            budget: how many labels are to be given; None leaves it as it is.
            seed: of the random order of images, which draws the estimate set. A project that has images keeps
                its seed. None is 0 in a new project.
            database: address of a Postgres server and a database, which the project's folder remembers; None for
                the remembered one, or an SQLite file in a new project.

        Raises:
            BadInput: the folder is missing or not writable, a class or the budget is invalid, or the project
                belongs to other photos or is in another kind of database.
            RunFailed: the server of the database cannot be reached.
        """
        given = None if database is None else parse_address(database)
        photos, folder = _make_folder(photos, project)
        opened = open_database(folder, create=True, given=given)
        try:
            check_budget(budget)
            with opened.transaction() as connection:
                _set_photos(connection, folder, photos)
                _set_folder(connection, folder)
                start_classes(connection, class_names, "aral label")
                add_new_classes(connection, new_classes, "aral label")
                if seed is not None:
                    set_seed(connection, seed)
                settings = read_settings(connection)
                if budget is not None and budget != settings.budget:
                    settings = replace(settings, budget=budget)
                    write_settings(connection, settings)
                    adapt_estimate_set(connection, settings)
            return Project(folder, photos, opened)
        except BaseException:
            opened.close()
            raise

    @staticmethod
    def open(folder: Path, database: str | None = None) -> Project:
        """Open an existing project.

        Args:
            folder: the folder of photos, or that of the project.
            database: another address of its database, for this time; None for the one that the folder remembers.

        Raises:
            BadInput: there is no project, or it cannot be used.
            RunFailed: the server of the database cannot be reached.
        """
        found = find_project(folder)
        opened = open_database(found, False, None if database is None else parse_address(database))
        try:
            with opened.snapshot() as connection:
                _check_folder(connection, found)
                photos = _read_photos(connection)
            return Project(found, found.parent if photos is None else photos, opened)
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        """Close the project; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block this thread reads one state of the project, even if other threads and processes write.

        Reads of other threads of this process wait, so keep the block short. Do not read predictions in it: they
        have a lock of their own, which could lead to a deadlock.
        """
        with self._database.snapshot():
            yield

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed, because there is no write access to the folder or its disk."""
        return self._database.read_only

    @property
    def server(self) -> str:
        """The database on a server, for messages; empty for a project with an SQLite file."""
        return "" if self._database.address is None else str(self._database.address)

    def changes(self) -> int:
        """A counter of all changes but those of leases and predictions; pages and the trainer poll it."""
        return self._database.changes()

    def pace(self, annotator: str) -> Pace:
        """How fast an annotator labels, and how long the rest of the budget and of the query takes."""
        settings, counts = self.settings.get(), self.labels.counts()
        open_images = self.images.count() - counts.labelled - counts.bad - counts.none
        left = open_images if settings.budget is None else settings.budget - counts.labelled
        left = max(0, min(left, open_images))
        per_minute = self.annotations.labels_per_minute(annotator)
        if not per_minute:
            return Pace(0.0, left, None, None)
        round_left = min(left, self._round_left(settings, counts))
        return Pace(per_minute, left, left * 60 / per_minute, round_left * 60 / per_minute)

    def finish(self, annotator: str | None = None) -> Finish | None:
        """That the budget is spent, for one annotator or for all, and when its model is there; None before."""
        settings, counts = self.settings.get(), self.labels.counts()
        if settings.budget is None or counts.labelled < settings.budget:
            return None
        if settings.overlap > 1 and self.queue.second_opinions(annotator):
            return None
        newest = self.models.newest()
        return Finish(
            counts.labelled,
            settings.budget,
            None if newest is None else self._minutes_left(newest, counts),
            None if newest is None else newest.round,
        )

    def _minutes_left(self, newest: ModelRecord, counts: LabelCounts) -> float | None:
        """Until a model has learned from all labels, if that takes as long as the newest model took."""
        state = self.models.training_state()
        if state.phase in ("idle", "off", "failed") and newest.trained_on >= counts.for_training:
            return 0.0
        if state.phase in ("off", "failed"):
            return None
        done = state.fraction if state.phase == "training" else 1.0 if state.phase == "choosing" else 0.0
        return round(newest.seconds * (1 - done) / 60, 1)

    def _round_left(self, settings: ProjectSettings, counts: LabelCounts) -> float:
        """How many answers the rest of the newest query takes, with the estimate set mixed into it."""
        queued, in_set = self.queue.remaining(), int(self.estimate.image_ids().size)
        share = in_set / (settings.budget or max(1, self.images.count()))
        if settings.budget is None and settings.estimate_size is None:
            share = settings.estimate_share
        mixed_in = min(in_set - counts.for_estimate, queued * share / max(1 - share, 0.01))
        return float(queued + mixed_in)


def is_project(folder: Path) -> bool:
    """Whether a folder is that of a project: it holds its database, or remembers where that is."""
    return (folder / FILE_NAME).is_file() or (folder / ADDRESS_NAME).is_file()


def open_database(folder: Path, create: bool, given: Address | None = None) -> ProjectDatabase:
    """The database of a project's folder: the SQLite file in it, or the schema whose address it remembers.

    Args:
        folder: of the project.
        create: make it when it is missing.
        given: the address of a database that a user has given.

    Raises:
        BadInput: it cannot be used, or a server is given for a project with an SQLite file.
        RunFailed: the server cannot be reached.
    """
    has_file = (folder / FILE_NAME).exists()
    has_address = (folder / ADDRESS_NAME).exists()
    if has_file and has_address:
        raise BadInput(
            f"{folder} holds {FILE_NAME} and {ADDRESS_NAME}, so the database of the project is ambiguous.",
            "Move the one that is out of date to another folder.",
        )
    if has_file and given is not None:
        raise BadInput(
            f"The project in {folder} is in {FILE_NAME}, not in the database {given}.",
            "Leave --database out and unset ARAL_DATABASE, or give another folder with --project.",
        )
    if given is None and not has_address:
        return open_file(folder / FILE_NAME, create)
    return open_schema(folder, given, create)


def find_project(folder: Path) -> Path:
    """The folder of a project: the given one, or ``.aral`` in it.

    Raises:
        BadInput: neither holds a project.
    """
    for candidate in (folder, folder / FOLDER_NAME):
        if is_project(candidate):
            return candidate.resolve()
        if candidate.name == FOLDER_NAME and candidate.is_dir() and any(candidate.iterdir()):
            return candidate.resolve()  # opening it says what is missing
    raise BadInput(f"There is no project in {folder}.", f"Start one: aral label {folder} --classes NAME,NAME")


def _make_folder(photos: Path, project: Path | None) -> tuple[Path, Path]:
    """The photos and the project's folder, created when it is missing, readable for its owner alone.

    Raises:
        BadInput: there are no photos, or the project's folder cannot be created or lies inside them.
    """
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Give the folder that holds the images.")
    photos = photos.resolve()
    folder = photos / FOLDER_NAME if project is None else project.resolve()
    if folder.is_relative_to(photos) and not any(
        part.startswith(".") for part in folder.relative_to(photos).parts
    ):
        raise BadInput(
            f"The project folder {folder} lies inside the photos {photos}: its files would be read as photos.",
            "Give a folder outside of the photos with --project, or leave --project out.",
        )
    try:
        folder.mkdir(mode=0o700, parents=project is not None, exist_ok=True)
        if project is not None and not is_project(folder) and _holds_other_files(folder):
            raise BadInput(f"{folder} is no project and not empty.", "Give a new folder with --project.")
        folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} is not writable")
    except OSError as error:
        raise BadInput(
            f"The project cannot be stored in {folder}: {error}.",
            "Give a writable folder with --project.",
        ) from error
    return photos, folder


def _holds_other_files(folder: Path) -> bool:
    """Whether a folder is in use, and not as that of a project whose database is missing."""
    return any(folder.iterdir()) and not any(folder.glob(f"{FILE_NAME}.backup-*"))


def _set_folder(connection: Connection, folder: Path) -> None:
    """Store the folder that belongs to a database on a server."""
    if (folder / ADDRESS_NAME).exists():
        _check_folder(connection, folder)
        write_setting(connection, FOLDER_SETTING, os.fsencode(folder).hex())


def _check_folder(connection: Connection, folder: Path) -> None:
    """Refuse a copy of a project's folder: two folders would have different files for the same rows.

    A folder that was moved or that another machine has under another path is none: the stored one is not there.

    Raises:
        BadInput: the folder that belongs to the database is another one.
    """
    stored = read_setting(connection, FOLDER_SETTING, None)
    if stored is None:
        return
    before = Path(os.fsdecode(bytes.fromhex(stored)))
    if before == folder or not (before / ADDRESS_NAME).exists() or before.samefile(folder):
        return
    if remembered_address(before) == remembered_address(folder):
        raise BadInput(
            f"The database of the project in {folder} belongs to the project in {before}.",
            f"Use that folder. A copy is no project of its own: delete {folder / ADDRESS_NAME} and start anew.",
        )


def _set_photos(connection: Connection, folder: Path, photos: Path) -> None:
    """Store which photos a project belongs to; not for one inside its photos, which moves with them.

    Raises:
        BadInput: the project belongs to other photos that are still there.
    """
    before = _read_photos(connection)
    if before is not None and before != photos and before.exists():
        raise BadInput(
            f"The project in {folder} belongs to the photos in {before}.",
            "Give another folder with --project.",
        )
    if folder != photos / FOLDER_NAME:
        write_setting(connection, "photos", os.fsencode(photos).hex())


def _read_photos(connection: Connection) -> Path | None:
    """The stored folder of photos; None for a project inside its photos. Stored as hexadecimal bytes, because a
    path need not be valid Unicode."""
    stored = read_setting(connection, "photos", None)
    return None if stored is None else Path(os.fsdecode(bytes.fromhex(stored)))
