"""How the page behaves, and how many labels are to be given."""

from __future__ import annotations

import sqlite3

from aral.annotation.database import Part, read_setting, write_setting
from aral.annotation.estimate import fit_slice
from aral.annotation.records import PageSettings
from aral.errors import BadInput
from aral.words import counted

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
"""The keys that classes get, in this order, as far as no action has them."""

MOST_OVERLAP = 20


class SettingsPart(Part):
    """The settings of a project."""

    def settings(self) -> PageSettings:
        """The settings as they are now."""
        with self._database.moment() as connection:
            return read_settings(connection)

    def set_settings(self, settings: PageSettings) -> PageSettings:
        """Replace the settings; change some with ``dataclasses.replace(project.settings(), …)``.

        Another budget or share fits the estimate slice to it: images of it that were answered stay.

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
                fit_slice(connection, settings.budget, settings.estimate_share)
        return settings


def read_settings(connection: sqlite3.Connection) -> PageSettings:
    """The settings, with the defaults of a new project for what was never set."""
    kept = read_setting(connection, "page", {})
    return PageSettings(
        keys=_keys(connection, kept.get("keys", {})),
        shortcuts_on=kept.get("shortcuts_on", True),
        suggestions_on=kept.get("suggestions_on", True),
        budget=kept.get("budget"),
        overlap=kept.get("overlap", 1),
        estimate_share=kept.get("estimate_share", 0.2),
    )


def _keys(connection: sqlite3.Connection, chosen: dict[str, str]) -> dict[str, str]:
    """The keys that were chosen, and the usual ones of what has come since, where these are still free."""
    classes = connection.execute(
        "SELECT id, key FROM classes WHERE merged_into IS NULL AND removed = 0"
    ).fetchall()
    taken = {chosen.get(f"class:{class_id}", key).casefold() for class_id, key in classes}
    taken |= {key.casefold() for key in chosen.values()}
    usual = {action: "" if key.casefold() in taken else key for action, key in ACTION_KEYS.items()}
    return {**usual, **chosen}


def write_settings(connection: sqlite3.Connection, settings: PageSettings) -> None:
    """Store settings that were checked."""
    write_setting(connection, "page", vars(settings))


def _checked(settings: PageSettings) -> PageSettings:
    check_budget(settings.budget)
    if not 1 <= settings.overlap <= MOST_OVERLAP:
        raise BadInput(
            f"An overlap of {settings.overlap} is out of range.", f"Give 1 to {MOST_OVERLAP} people an image."
        )
    if not 0 <= settings.estimate_share <= 0.5:
        raise BadInput(
            f"A share of {settings.estimate_share} of the labels for measuring is out of range.",
            "Give a number from 0 to 0.5, such as 0.2.",
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
    """No key may mean two things; an empty one means that there is none."""
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
