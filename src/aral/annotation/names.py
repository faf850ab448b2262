"""Names that people give to classes and to themselves."""

from __future__ import annotations

import unicodedata

from aral.errors import BadInput


def checked_name(kind: str, name: str) -> str:
    """A name without the white space around it; any other text is taken as it is.

    Raises:
        BadInput: nothing is left, or the text cannot be stored as UTF-8.
    """
    name = name.strip()
    if not name:
        raise BadInput(f"The name of {kind} is empty.", "Give it a name of at least one visible character.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"The name {name!a} of {kind} holds characters that are no text.", "Type the name anew."
        ) from error
    return name


def composed(name: str) -> str:
    """The form in which names are compared: Unicode's composed one (NFC), upper and lower case apart."""
    return unicodedata.normalize("NFC", name)
