"""Errors that say what was wrong, where, and what to type next.

The command line turns :class:`BadInput` into exit code 2 and :class:`RunFailed` into exit code 1, prints
the message, and shows no traceback unless asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AralError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        problem: what was wrong and where, one or two sentences.
        hint: what to do or type next; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem}\n{hint}" if hint else problem)
        self.problem = problem
        self.hint = hint


class BadInput(AralError):
    """The request cannot be carried out as given: a name, a value, a file or a folder is wrong."""

    exit_code = 2


class RunFailed(AralError):
    """A valid request failed while it ran; what was recorded before stays."""

    exit_code = 1


class Stopped(AralError):
    """The user asked to stop; everything is saved and the same command continues."""

    exit_code = 130


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> BadInput:
    """An error for a name that does not exist, with the nearest valid one.

    Args:
        kind: what the name should have named, such as ``"data set"``.
        name: the name as it was given.
        valid: every name that would have been accepted.
    """
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return BadInput(f"Unknown {kind} '{name}'.", f"{hint}Valid: {', '.join(names)}.")
