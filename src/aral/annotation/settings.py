"""The settings of a project: keys and switches of the page, budget, overlap, estimate set, near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aral.annotation.database import Connection, ProjectDatabase, read_setting, write_setting
from aral.annotation.estimate import (
    estimate_images,
    labelled_images,
    resize_estimate_set,
    unanswered_estimate_images,
)
from aral.annotation.near_duplicates import DIFFERING_BITS, MOST_DIFFERING_BITS
from aral.errors import BadInput
from aral.plural import counted

ACTION_KEYS = {
    "skip": " ",
    "unsure": "u",
    "bad image": "x",
    "none of these": "n",
    "undo": "Backspace",
    "previous": "ArrowLeft",
    "next": "ArrowRight",
    "accept": "Enter",
    "hide": "h",
    "zoom": "z",
    "grid": "g",
    "progress": "p",
    "guide": "i",
    "search": "/",
    "help": "?",
}
"""The keys of a new project, as ``KeyboardEvent.key`` names them."""

CLASS_KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"
"""The keys of classes, in the order they are assigned; keys of actions are skipped."""

MOST_OVERLAP = 20
MOST_BUDGET = 10_000_000

MOST_DRAWN = 1000
"""How many images are drawn for the estimate set at a time."""


@dataclass(frozen=True)
class ProjectSettings:
    """The settings of a project.

    Attributes:
        keys: key by action: ``skip``, ``unsure``, ``bad image``, ``none of these``, ``undo``, ``previous``,
            ``next``, ``accept``, ``hide``, ``zoom``, ``grid``, ``progress``, ``guide``, ``search``, ``help``;
            ``class:7`` overrides the key of class 7. Keys are named as in ``KeyboardEvent.key``.
        shortcuts_on: single keys act (WCAG 2.1.4 requires a switch).
        suggestions_on: cards carry suggestions.
        budget: how many labels are to be given in all; None without a limit.
        overlap: by how many annotators each image is to be labelled.
        estimate_share: share of the budget for the estimate set.
        near_duplicate_bits: how many bits of the difference hashes of two near-duplicates may differ, 0 to 8.
        estimate_size: how many images the estimate set is to have, instead of that share; None to go by the share.
    """

    keys: dict[str, str]
    shortcuts_on: bool
    suggestions_on: bool
    budget: int | None
    overlap: int
    estimate_share: float
    near_duplicate_bits: int = DIFFERING_BITS
    estimate_size: int | None = None


class Settings:
    """Read and change the settings of a project."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database

    def get(self) -> ProjectSettings:
        """The current settings."""
        with self._database.snapshot() as connection:
            return read_settings(connection)

    def set(self, settings: ProjectSettings) -> ProjectSettings:
        """Replace the settings; change some with ``dataclasses.replace(project.settings.get(), …)``.

        Another budget or share resizes the estimate set; its labelled images stay in it.

        Raises:
            BadInput: a number is out of range, or two things have the same key.
        """
        settings = _checked(settings)
        with self._database.transaction() as connection:
            before = read_settings(connection)
            _check_keys(connection, settings.keys)
            write_settings(connection, settings)
            if settings.overlap != before.overlap:
                connection.execute(
                    "UPDATE images SET open = CASE WHEN status = 'ready' AND duplicate_of IS NULL AND verdicts < ? "
                    "THEN 1 ELSE 0 END WHERE verdicts > 0",
                    (settings.overlap,),
                )
            if _estimate_size(settings) != _estimate_size(before):
                adapt_estimate_set(connection, settings)
        return settings

    def add_to_budget(self, labels: int) -> ProjectSettings:
        """Raise the budget by so many labels; several annotators may do so at once.

        Raises:
            BadInput: the project has no budget, or the number is out of range.
        """
        with self._database.transaction() as connection:
            before = read_settings(connection)
            if before.budget is None:
                raise BadInput("The project has no budget to add to.", "Set one in the settings.")
            if labels < 1 or before.budget + labels > MOST_BUDGET:
                raise BadInput(
                    f"A budget cannot be raised by {counted(labels, 'label')}.",
                    f"Give 1 to {MOST_BUDGET:,} in all.",
                )
            settings = replace(before, budget=before.budget + labels)
            write_settings(connection, settings)
            adapt_estimate_set(connection, settings)
        return settings

    def enlarge_estimate_set(self, images: int) -> int:
        """Draw so many more images at random for the estimate set; returns how many there were to draw.

        The budget is raised where it would not suffice for their labels.

        Raises:
            BadInput: the number is out of range, or no image without an answer is left.
        """
        if not 1 <= images <= MOST_DRAWN:
            raise BadInput(f"{counted(images, 'image')} cannot be drawn.", f"Give 1 to {MOST_DRAWN}.")
        with self._database.transaction() as connection:
            settings = read_settings(connection)
            before = estimate_images(connection)
            settings = replace(settings, estimate_size=before + images)
            adapt_estimate_set(connection, settings)
            drawn = estimate_images(connection) - before
            if drawn < 1:
                raise BadInput(
                    "There is no image left to draw for the estimate set.", "Add images to the folder."
                )
            if settings.budget is not None:
                needed = labelled_images(connection) + unanswered_estimate_images(connection)
                settings = replace(settings, budget=max(settings.budget, needed, before + drawn + 1))
            write_settings(connection, replace(settings, estimate_size=before + drawn))
        return drawn


def read_settings(connection: Connection) -> ProjectSettings:
    """The settings, with the defaults of a new project for what was never set."""
    stored = read_setting(connection, "page", {})
    return ProjectSettings(
        keys=_keys(connection, stored.get("keys", {})),
        shortcuts_on=stored.get("shortcuts_on", True),
        suggestions_on=stored.get("suggestions_on", True),
        budget=stored.get("budget"),
        overlap=stored.get("overlap", 1),
        estimate_share=stored.get("estimate_share", 0.2),
        near_duplicate_bits=stored.get("near_duplicate_bits", DIFFERING_BITS),
        estimate_size=stored.get("estimate_size"),
    )


def _keys(connection: Connection, chosen: dict[str, str]) -> dict[str, str]:
    """The chosen keys, and the default keys of all other actions where these are still free."""
    classes = connection.execute(
        "SELECT id, key FROM classes WHERE merged_into IS NULL AND removed = 0"
    ).fetchall()
    taken = {chosen.get(f"class:{class_id}", key).casefold() for class_id, key in classes}
    taken |= {key.casefold() for key in chosen.values()}
    defaults = {action: "" if key.casefold() in taken else key for action, key in ACTION_KEYS.items()}
    return {**defaults, **chosen}


def adapt_estimate_set(connection: Connection, settings: ProjectSettings) -> None:
    """Draw the estimate set, or adapt it to the settings and to the images that there are now; in a transaction."""
    resize_estimate_set(connection, *_estimate_size(settings))


def _estimate_size(settings: ProjectSettings) -> tuple[int | None, float, int | None]:
    """What the size of the estimate set depends on, as :func:`resize_estimate_set` takes it."""
    return settings.budget, settings.estimate_share, settings.estimate_size


def write_settings(connection: Connection, settings: ProjectSettings) -> None:
    """Store checked settings."""
    write_setting(connection, "page", vars(settings))


def _checked(settings: ProjectSettings) -> ProjectSettings:
    check_budget(settings.budget)
    if not 1 <= settings.overlap <= MOST_OVERLAP:
        raise BadInput(
            f"An overlap of {settings.overlap} is out of range.",
            f"Give a number of annotators from 1 to {MOST_OVERLAP}.",
        )
    if not 0 <= settings.estimate_share <= 0.5:
        raise BadInput(
            f"An estimate share of {settings.estimate_share} is out of range.",
            "Give a number from 0 to 0.5, such as 0.2.",
        )
    if not 0 <= settings.near_duplicate_bits <= MOST_DIFFERING_BITS:
        raise BadInput(
            f"Near-duplicates cannot differ in {counted(settings.near_duplicate_bits, 'bit')} of their hashes.",
            f"Give a number from 0 to {MOST_DIFFERING_BITS}; the default is {DIFFERING_BITS}.",
        )
    size, budget = settings.estimate_size, settings.budget
    if size is not None and not 0 <= size < (MOST_BUDGET if budget is None else budget):
        raise BadInput(
            f"An estimate set of {counted(size, 'image')} is out of range.",
            "Give 0 or more, and fewer than the labels of the budget.",
        )
    return settings


def check_budget(budget: int | None) -> None:
    """Refuse a budget that cannot be spent.

    Raises:
        BadInput: it is below 1 or above :data:`MOST_BUDGET`.
    """
    if budget is not None and not 1 <= budget <= MOST_BUDGET:
        raise BadInput(
            f"A budget of {counted(budget, 'label')} cannot be spent.", f"Give 1 to {MOST_BUDGET:,}."
        )


def _check_keys(connection: Connection, keys: dict[str, str]) -> None:
    """Refuse a key that means two things; an empty string is no key."""
    classes = connection.execute(
        "SELECT id, key, merged_into IS NULL AND removed = 0 FROM classes ORDER BY id"
    ).fetchall()
    of_classes = {f"class:{class_id}": key for class_id, key, is_live in classes if is_live}
    merged = {f"class:{class_id}" for class_id, _, is_live in classes if not is_live}
    unknown = sorted(set(keys) - set(ACTION_KEYS) - set(of_classes) - merged)
    if unknown:
        raise BadInput(
            f"There is no action '{unknown[0]}' to give a key to.",
            f"Valid: {', '.join(ACTION_KEYS)}, and class:NUMBER.",
        )
    meaning: dict[str, str] = {}
    for action, key in {**of_classes, **ACTION_KEYS, **keys}.items():
        if action in merged:
            continue
        other = meaning.setdefault(key.casefold(), action)
        if key and other != action:
            raise BadInput(f"The key '{key}' is given to '{other}' and to '{action}'.", "Choose another key.")
