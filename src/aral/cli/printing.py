"""Text on the terminal, where escape sequences in the name of a file or a class would otherwise act."""

from __future__ import annotations

import re

import typer

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tabs and line breaks, marks that turn the direction of text, and what is no character."""


def printable(text: str) -> str:
    """A text with its control characters escaped, as in ``\\x1b``."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def say(text: str = "", *, err: bool = False) -> None:
    """Print a text for people or programs; JSON has no control characters, so it stays as it is.

    Args:
        text: one line or several.
        err: print it to the standard error output.
    """
    typer.echo(printable(text), err=err)
