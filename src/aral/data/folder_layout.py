"""The layout of a folder of images: which level names classes, which names splits, and what is neither.

The names of splits and dates are defined here and nowhere else.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from aral.data.image_file import kind_of_file
from aral.plural import counted

Split = Literal["train", "validation", "test"]

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
_PART = "(?:set|data|dataset|images?|imgs?|split|folder)"
_SPLIT_NAME = re.compile(
    rf"(?:{_PART}-)?(?P<split>{'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?:-?{_PART})*(?:-?\d{{1,4}})?"
)

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_MONTH_NAME = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    "|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE_NAME = re.compile(
    "|".join(
        (
            rf"{_YEAR}",
            rf"{_YEAR}-?{_MONTH}(?:-?{_DAY}(?:[t-]?\d\d-?\d\d(?:-?\d\d)?z?)?)?",
            rf"{_YEAR}-?(?:w\d\d|q[1-4])",
            rf"\d?\d-\d?\d-(?:{_YEAR}|\d\d)",
            rf"(?:\d?\d-?)?{_MONTH_NAME}(?:-?{_YEAR})?",
            rf"{_YEAR}-?{_MONTH_NAME}(?:-?\d?\d)?",
        )
    )
)


@lru_cache(maxsize=4096)
def split_of(name: str) -> Split | None:
    """The split of a folder's name, in any case and with additions such as ``_set`` or ``-images``."""
    found = _SPLIT_NAME.fullmatch(_plain(name))
    return _SPLITS[found["split"]] if found else None


def is_date(name: str, within: str = "") -> bool:
    """Whether a folder's name looks like a year, a month or a day.

    Args:
        name: of the folder.
        within: name of the folder around it; two digits are a month or a day only within a date.
    """
    if _DATE_NAME.fullmatch(_plain(name)):
        return True
    return bool(within and re.fullmatch(rf"{_MONTH}|{_DAY}", name) and is_date(within))


def _plain(name: str) -> str:
    """A name for comparison: lower case, with one kind of separator."""
    plain = re.sub(r"[\s_.,-]+", "-", name.strip().casefold())
    return re.sub("^hold-out", "holdout", plain)


@dataclass(frozen=True)
class Ignored:
    """Images that belong to no class.

    Attributes:
        folder: relative, with ``/``; empty for the folder itself.
        files: how many there are.
        reason: why, as the end of a sentence.
    """

    folder: str
    files: int
    reason: str


@dataclass(frozen=True)
class FolderLayout:
    """How a folder is laid out.

    Attributes:
        class_level: which folders of a path name classes, 0 for the first; None without class folders.
        split_level: which name splits; None without splits.
        classes: names of the class folders, sorted.
        splits: names of the split folders, sorted.
        ignored: folders of images of no class, sorted.
    """

    class_level: int | None
    split_level: int | None
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    ignored: tuple[Ignored, ...]

    def class_of(self, path: str) -> str | None:
        """The class folder of a file, as it is spelled; None for a file of no class."""
        folders = path.split("/")[:-1]
        if self.class_level is None or len(folders) <= self.class_level or not self._in_split(folders):
            return None
        name = folders[self.class_level]
        return name if name in self._class_names else None

    def in_class_folder(self, path: str) -> bool:
        """Whether a file lies where classes are, in a folder that is not ignored; it may be no image."""
        folders = path.split("/")[:-1]
        if self.class_level is None or len(folders) <= self.class_level or not self._in_split(folders):
            return False
        return "/".join(folders[: self.class_level + 1]) not in self._ignored_folders

    def split_of(self, path: str) -> Split | None:
        """The split of a file; None without splits."""
        folders = path.split("/")[:-1]
        if self.split_level is None or len(folders) <= self.split_level:
            return None
        return split_of(folders[self.split_level])

    @cached_property
    def _class_names(self) -> frozenset[str]:
        return frozenset(self.classes)

    @cached_property
    def _ignored_folders(self) -> frozenset[str]:
        return frozenset(each.folder for each in self.ignored)

    def _in_split(self, folders: Sequence[str]) -> bool:
        level = self.split_level
        return level is None or (len(folders) > level and split_of(folders[level]) is not None)

    def sentences(self) -> tuple[str, ...]:
        """Which folders are read as splits, which as classes, and what is ignored."""
        sentences = []
        if self.splits:
            sentences.append(f"Splits, not classes: {_listed(self.splits)}.")
        if self.classes:
            sentences.append(f"Classes: {_listed(self.classes)}.")
        sentences += [
            f"Ignored: {counted(each.files, 'file')} in {_shown(each.folder or '.')}, {each.reason}."
            for each in self.ignored[:_MOST_NAMED]
        ]
        rest = self.ignored[_MOST_NAMED:]
        if rest:
            files = sum(each.files for each in rest)
            sentences.append(f"Ignored: {counted(files, 'file')} in {counted(len(rest), 'more folder')}.")
        return tuple(sentences)


_MOST_NAMED, _MOST_LISTED = 10, 30


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(map(_shown, names[:_MOST_LISTED]))}{more}"


def _shown(name: str) -> str:
    return name if name.isprintable() and name.strip() else repr(name)


def read_layout(files: Iterable[str], *, within: str = "", classes: Collection[str] = ()) -> FolderLayout:
    """Find splits and classes in the paths of images.

    The split level is the first at which at least as many folders are named like splits as are not, with
    class folders below them, or class folders above and none below. Classes are the folders of the next
    level, without splits the first. A folder that is named like a split or a date is no class, unless
    ``classes`` names it.

    Args:
        files: paths relative to the folder, with ``/``.
        within: name of the folder itself.
        classes: names of the class folders, if they are known; no other folder is a class then.
    """
    folders = Counter(tuple(name.split("/")[:-1]) for name in files)
    split_level, class_level = _levels(folders, {_composed(name) for name in classes})
    chosen = {_composed(name) for name in classes}
    names: set[str] = set()
    splits: set[str] = set()
    ignored: Counter[tuple[str, str]] = Counter()
    for parts, count in folders.items():
        if split_level is not None and len(parts) > split_level and split_of(parts[split_level]):
            splits.add(parts[split_level])
        elif split_level is not None:
            ignored["/".join(parts[: split_level + 1]), "which is outside the splits"] += count
            continue
        if class_level is None or len(parts) <= class_level:
            ignored["/".join(parts), "which is no class folder"] += count
            continue
        name = parts[class_level]
        around = parts[class_level - 1] if class_level else within
        reason = _no_class(name, around, chosen)
        if reason:
            ignored["/".join(parts[: class_level + 1]), reason] += count
        else:
            names.add(name)
    return FolderLayout(
        class_level if names else None,
        split_level,
        tuple(sorted(names)),
        tuple(sorted(splits)),
        tuple(Ignored(folder, count, reason) for (folder, reason), count in sorted(ignored.items())),
    )


def _no_class(name: str, around: str, chosen: Collection[str]) -> str:
    """Why a folder is no class; empty when it is one."""
    if chosen:
        return "" if _composed(name) in chosen else "which is not among the classes that were named"
    if split_of(name):
        return "which is named like a split"
    return "which is named like a date" if is_date(name, around) else ""


def _levels(folders: Mapping[tuple[str, ...], int], chosen: Collection[str]) -> tuple[int | None, int | None]:
    """The level of the splits and that of the classes, None where there is none."""
    deepest = max(map(len, folders), default=0)
    split_level, class_level = None, 0 if deepest else None
    for level in range(deepest):
        names = {parts[level] for parts in folders if len(parts) > level}
        splits = {name for name in names if split_of(name)}
        if not splits or len(names) > 2 * len(splits):
            continue
        if any(len(parts) > level + 1 and parts[level] in splits for parts in folders):
            split_level, class_level = level, level + 1
            break
        if (
            level
            and splits == names
            and len({parts[level - 1] for parts in folders if len(parts) > level}) > 1
        ):
            split_level, class_level = level, level - 1
            break
    if chosen:
        matches = [
            len({_composed(parts[level]) for parts in folders if len(parts) > level} & set(chosen))
            for level in range(deepest)
        ]
        if matches and max(matches) > (0 if class_level is None else matches[class_level]):
            class_level = matches.index(max(matches))
            split_level = None if split_level == class_level else split_level
    return split_level, class_level


def image_files(folder: Path, files: Iterable[str]) -> list[str]:
    """The files of those folders that hold at least one image; as few headers are read as possible.

    Files beside images may be no images.
    """
    known: dict[str, bool] = {}
    waiting: dict[str, list[str]] = {}
    kept: list[str] = []
    for name in files:
        parent = name.rpartition("/")[0]
        if known.get(parent) or is_image(folder / name):
            kept += [*waiting.pop(parent, ()), name]
            known[parent] = True
        else:
            waiting.setdefault(parent, []).append(name)
    return sorted(kept)


def is_image(path: Path) -> bool:
    """Whether a file begins as an image; also one whose decoder is not installed."""
    return kind_of_file(path) is not None


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
