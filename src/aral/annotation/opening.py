"""Where a project is, and what it starts with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aral.annotation.classes import add_new_classes
from aral.annotation.database import FILE_NAME, ProjectDatabase, read_setting, write_setting
from aral.annotation.estimate import fit_slice
from aral.annotation.settings import check_budget, read_settings, write_settings
from aral.errors import BadInput

FOLDER_NAME = ".aral"


@dataclass(frozen=True)
class Place:
    """Where a project and its photos are.

    Attributes:
        folder: of the project.
        photos: the images as people keep them.
    """

    folder: Path
    photos: Path

    @staticmethod
    def of_project(folder: Path, database: ProjectDatabase) -> Place:
        """The place of a project that is there; one inside its photos moves with them."""
        with database.moment() as connection:
            photos = read_setting(connection, "photos", None)
        return Place(folder, folder.parent if photos is None else Path(os.fsdecode(bytes.fromhex(photos))))


def place_for(photos: Path, project: Path | None) -> Place:
    """The place of the project of these photos; its folder is made when it is missing, for its owner alone.

    Raises:
        BadInput: there are no photos, or the project's folder cannot be made or lies among them.
    """
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Give the folder that holds the images.")
    photos = photos.resolve()
    folder = photos / FOLDER_NAME if project is None else project.resolve()
    if folder.is_relative_to(photos) and not any(
        part.startswith(".") for part in folder.relative_to(photos).parts
    ):
        raise BadInput(
            f"{folder} lies among the photos of {photos}, and would be taken for some.",
            "Give a folder outside of them with --project, or none.",
        )
    try:
        folder.mkdir(mode=0o700, parents=project is not None, exist_ok=True)
        if not (folder / FILE_NAME).exists() and project is not None and any(folder.iterdir()):
            raise BadInput(f"{folder} is no project and not empty.", "Give a new folder with --project.")
        folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} may not be written to")
    except OSError as error:
        raise BadInput(
            f"The project cannot be kept in {folder}: {error}.",
            "Give a folder that you may write to with --project.",
        ) from error
    return Place(folder, photos)


def place_of(folder: Path) -> Path:
    """The folder of a project: the given one, or ``.aral`` in it.

    Raises:
        BadInput: neither holds a project.
    """
    for candidate in (folder, folder / FOLDER_NAME):
        if (candidate / FILE_NAME).is_file():
            return candidate.resolve()
    raise BadInput(f"There is no project in {folder}.", f"Start one: aral label {folder} --classes NAME,NAME")


def set_up(database: ProjectDatabase, place: Place, class_names: Sequence[str], budget: int | None) -> None:
    """Bring a project to what was asked for when it was opened.

    Raises:
        BadInput: a class or the budget is wrong, or the project belongs to other photos.
    """
    check_budget(budget)
    with database.transaction() as connection:
        inside = place.folder == place.photos / FOLDER_NAME
        kept = read_setting(connection, "photos", None)
        before = None if kept is None else Path(os.fsdecode(bytes.fromhex(kept)))
        if before is not None and before != place.photos and before.exists():
            raise BadInput(
                f"The project in {place.folder} belongs to the photos in {before}.",
                "Give another folder with --project.",
            )
        if not inside:
            write_setting(connection, "photos", os.fsencode(place.photos).hex())
        add_new_classes(connection, class_names, "aral label")
        settings = read_settings(connection)
        if budget is not None and budget != settings.budget:
            write_settings(connection, replace(settings, budget=budget))
            fit_slice(connection, budget, settings.estimate_share)
