"""Which columns of a table, or fields of JSON objects, name the image and its label.

A column that is not named by the user is taken only if there is one candidate. Where there are none or several, the
user is told which option names it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from aral.annotation.label_formats.rows import ReadOptions
from aral.errors import BadInput

_IMAGE = (
    "path file filename file_name filepath file_path image img image_path img_path image_name img_name "
    "image_file image_filename photo picture image_url url"
).split()
_IMAGE_IF_ALONE = "id image_id img_id name uuid".split()
"""Names that are often those of something else: read only if no column has a clearer one."""

_LABEL = (
    "label class category choice class_name classname label_name category_name class_label ground_truth"
).split()
_LABEL_IF_ALONE = "labels target tag tags label_id class_id category_id class_index species taxonomy".split()

_OTHER = (
    "annotator annotation_id created_at updated_at completed_by lead_time split set subset fold width height "
    "sha256 md5 answer round strategy score events confidence probability suggestion time use agreement index"
).split()
"""Names of columns that are never a label, however few columns there are."""

_ONE, _ZERO = ("1", "1.0", "true", "1,0"), ("0", "0.0", "false", "0,0", "")


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        image: the one that names the image, as it is spelled.
        labels: the one with the label, or several columns of 0 and 1 that are classes.
        notes: what was decided, as sentences.
    """

    image: str
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A column's name for comparison: lower case, composed, with ``_`` between words."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFC", name).strip().casefold())


def find_columns(
    source: str, header: Sequence[str], values: Callable[[str], Collection[object]], options: ReadOptions
) -> Columns:
    """The columns of the image and the label.

    Args:
        source: the file, for messages.
        header: all columns as they are spelled; an empty name is no column.
        values: gives the cells of a column.
        options: with the columns that the user has named, if any.

    Raises:
        BadInput: there is no such column, or there are several candidates.
    """
    names = [name for name in header if name.strip()]
    image, image_note = find_image_column(source, names, options)
    if options.label_column:
        labels = _named_labels(source, names, options.label_column)
        return Columns(image, labels, image_note)
    labels, label_note = _label_columns(source, [name for name in names if name != image], values)
    return Columns(image, labels, (*image_note, *label_note))


def find_image_column(source: str, names: Sequence[str], options: ReadOptions) -> tuple[str, tuple[str, ...]]:
    """The column of the image, and what was decided, as sentences.

    Raises:
        BadInput: there is no such column, or there are several candidates.
    """
    if options.image_column:
        return _named(source, names, options.image_column, "--image-column"), ()
    found, others = _candidates(names, _IMAGE, _IMAGE_IF_ALONE)
    if len(found) == 1:
        return found[0], _ignored(found[0], others)
    left = [name for name in names if plain(name) not in (*_OTHER, *_LABEL, *_LABEL_IF_ALONE)]
    if not found and len(left) == 1:
        return left[0], (f"The column {left[0]} is read as the image.",)
    raise _undecided(source, names, found, "names the image", "--image-column", _IMAGE)


def _label_columns(
    source: str, names: Sequence[str], values: Callable[[str], Collection[object]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found, others = _candidates(names, _LABEL, _LABEL_IF_ALONE)
    if len(found) == 1:
        return (found[0],), _ignored(found[0], others)
    if not found:
        left = [name for name in names if not _is_other(name)]
        if len(left) == 1:
            return (left[0],), (f"The column {left[0]} is read as the label.",)
        classes = [name for name in left if _is_one_hot(values(name))]
        if len(classes) > 1 and len({plain(name) for name in classes}) == len(classes):
            rest = [name for name in left if name not in classes]
            note = f"One column for each class: {', '.join(classes)}."
            return tuple(classes), (note + (f" Ignored: {', '.join(rest)}." if rest else ""),)
    raise _undecided(source, names, found, "is the label", "--label-column", _LABEL)


def _candidates(
    names: Sequence[str], clear: Collection[str], if_alone: Collection[str]
) -> tuple[list[str], list[str]]:
    """The candidates with the clearest names, and the others, which are ignored if there is one."""
    first = [name for name in names if plain(name) in clear]
    second = [name for name in names if plain(name) in if_alone]
    return (first, second) if first else (second, [])


def _ignored(column: str, others: Sequence[str]) -> tuple[str, ...]:
    return (f"The column {column} is read; ignored: {', '.join(others)}.",) if others else ()


def _is_other(name: str) -> bool:
    return plain(name) in (*_OTHER, *_IMAGE, *_IMAGE_IF_ALONE) or plain(name).startswith("unnamed:")


def _is_one_hot(cells: Collection[object]) -> bool:
    return bool(cells) and all(is_one(cell) is not None for cell in cells)


def is_one(cell: object) -> bool | None:
    """Whether a cell of a class column says yes; None if it says neither yes nor no."""
    text = "" if cell is None else str(cell).strip().casefold()
    return True if text in _ONE else False if text in _ZERO else None


def _named(source: str, names: Sequence[str], wanted: str, option: str) -> str:
    found = [name for name in names if name == wanted] or [
        name for name in names if plain(name) == plain(wanted)
    ]
    if len(found) != 1:
        times = "no column" if not found else f"{len(found)} columns"
        raise BadInput(
            f"{source} has {times} {wanted!r}.",
            f"Name one with {option}: {', '.join(names) or 'there are none'}.",
        )
    return found[0]


def _named_labels(source: str, names: Sequence[str], wanted: str) -> tuple[str, ...]:
    """One column, also if its name has a comma, or several."""
    if wanted in names or "," not in wanted:
        return (_named(source, names, wanted, "--label-column"),)
    return tuple(_named(source, names, each, "--label-column") for each in wanted.split(",") if each.strip())


def _undecided(
    source: str, names: Sequence[str], found: Sequence[str], what: str, option: str, known: Sequence[str]
) -> BadInput:
    if found:
        return BadInput(
            f"{source} has several columns of which each may be the one that {what}: {', '.join(found)}.",
            f"Name one: {option} {_quoted(found[0])}",
        )
    shown = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    return BadInput(
        f"{source} has the columns {shown or 'none'}; none is known as the one that {what}.",
        f"Name it with {option} NAME, or call it {known[0]}.",
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
