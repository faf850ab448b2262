"""Names of classes from where people have written them already: folders, or a column of a CSV file."""

from __future__ import annotations

from pathlib import Path

from aral.data.scan import scan
from aral.labelling.label_files import read_labels

MOST_FOLDERS = 100


def class_names_of(source: Path) -> tuple[str, ...]:
    """The classes that a file of labels, or a folder of class folders, names; in order.

    A folder names classes when all its files lie in two to a hundred folders; otherwise there are none.

    Raises:
        BadInput: the file cannot be read.
    """
    if source.is_dir():
        files = scan(source).files
        folders = {name.split("/")[0] for name in files if "/" in name}
        loose = any("/" not in name for name in files)
        readable = all(_is_text(name) for name in folders)
        return tuple(sorted(folders)) if 2 <= len(folders) <= MOST_FOLDERS and not loose and readable else ()
    return tuple(dict.fromkeys(found.label for found in read_labels(source) if found.action == "class"))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
