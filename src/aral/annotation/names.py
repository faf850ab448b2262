"""Names: those that people give to classes and to themselves, and those of files on other machines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath

from aral.errors import BadInput

_UPLOADED = re.compile(r"(?:^|/)upload/\d+/[0-9a-f]{8}-([^/]+)$")


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


def ends_of(path: str) -> Iterator[str]:
    """What a path from another machine may be called here: itself, then without its first folders, one by one.

    Last, for an address of Label Studio's uploads, the file name without the eight digits put before it there.
    """
    parts = PurePosixPath(path).parts
    yield from ("/".join(parts[start:]) for start in range(len(parts)))
    if uploaded := _UPLOADED.search(path):
        yield uploaded[1]
