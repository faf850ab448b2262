"""The settings of a project: keys and switches of the page, budget, overlap, estimate set, near-duplicates."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from aral.annotation.database import ProjectDatabase, read_setting, write_setting
from aral.annotation.estimate import resize_estimate_set
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
    """

    keys: dict[str, str]
    shortcuts_on: bool
    suggestions_on: bool
    budget: int | None
    overlap: int
    estimate_share: float
    near_duplicate_bits: int = DIFFERING_BITS


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
                    "UPDATE images SET open = (status = 'ready' AND duplicate_of IS NULL AND verdicts < ?) "
                    "WHERE verdicts > 0",
                    (settings.overlap,),
                )
            if (settings.budget, settings.estimate_share) != (before.budget, before.estimate_share):
                resize_estimate_set(connection, settings.budget, settings.estimate_share)
        return settings


def read_settings(connection: sqlite3.Connection) -> ProjectSettings:
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
    )


def _keys(connection: sqlite3.Connection, chosen: dict[str, str]) -> dict[str, str]:
    """The chosen keys, and the default keys of all other actions where these are still free."""
    classes = connection.execute(
        "SELECT id, key FROM classes WHERE merged_into IS NULL AND removed = 0"
    ).fetchall()
    taken = {chosen.get(f"class:{class_id}", key).casefold() for class_id, key in classes}
    taken |= {key.casefold() for key in chosen.values()}
    defaults = {action: "" if key.casefold() in taken else key for action, key in ACTION_KEYS.items()}
    return {**defaults, **chosen}


def write_settings(connection: sqlite3.Connection, settings: ProjectSettings) -> None:
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
    return settings


def check_budget(budget: int | None) -> None:
    """Refuse a budget that cannot be spent.

    Raises:
        BadInput: it is below 1.
    """
    if budget is not None and budget < 1:
        raise BadInput(f"A budget of {counted(budget, 'label')} cannot be spent.", "Give 1 or more.")


def _check_keys(connection: sqlite3.Connection, keys: dict[str, str]) -> None:
    """Refuse a key that means two things; an empty string is no key."""
    classes = connection.execute(
        "SELECT id, key, merged_into IS NULL AND removed = 0 FROM classes"
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
