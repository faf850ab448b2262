"""Names of classes and annotators: any text, compared in Unicode's composed form."""

from __future__ import annotations

import unicodedata

from aral.errors import BadInput


def checked_name(kind: str, name: str) -> str:
    """A name without surrounding white space; otherwise any text is accepted.

    Raises:
        BadInput: the name is empty, or cannot be stored as UTF-8.
    """
    name = name.strip()
    if not name:
        raise BadInput(f"The name of {kind} is empty.", "Give it a name of at least one visible character.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"The name {name!a} of {kind} holds characters that are not valid Unicode.",
            "Type the name again.",
        ) from error
    return name


def composed(name: str) -> str:
    """The form in which names are compared: Unicode's NFC; upper and lower case differ."""
    return unicodedata.normalize("NFC", name)
