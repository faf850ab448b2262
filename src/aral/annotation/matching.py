"""Matching: which image of a project an imported label belongs to.

Every importer matches here. An image is never guessed from the end of a path alone: a label on the wrong image is
worse than one that is rejected with its reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aral.annotation.images import ProjectImage
from aral.plural import counted

_UPLOADED = re.compile(r"(?:^|/)upload/\d+/[0-9a-f]{8}-([^/]+)$")

NOT_IN_PROJECT = "the project has no image of this path"
OTHER_CONTENT = "the image of this path has another content in the project"
UNKNOWN_CONTENT = "the project has no image of this content"
NO_PATH = "it names no image"


@dataclass(frozen=True)
class Rejected:
    """A row or file that is not imported.

    Attributes:
        path: as the source has it.
        reason: why, as part of a sentence.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Match:
    """The image of a label.

    Attributes:
        image_id: the image; None without one.
        reason: why there is none, as part of a sentence; empty with one.
    """

    image_id: int | None
    reason: str = ""


class PathEnds:
    """Counts how many different paths end in the same folders and name.

    Args:
        photos: the folder of photos; paths below it are taken relative to it.
    """

    def __init__(self, photos: Path) -> None:
        self._root = f"{photos}/"
        self._seen: set[str] = set()
        self._whole: defaultdict[str, int] = defaultdict(int)
        self._count: defaultdict[str, int] = defaultdict(int)

    def add(self, path: str) -> None:
        """Count a path; one that was counted before changes nothing."""
        relative = self.relative(path)
        if relative in self._seen:
            return
        self._seen.add(relative)
        self._whole[comparable(relative)] += 1
        for end in ends_of(comparable(relative)):
            self._count[end] += 1
        if uploaded := uploaded_name(path):
            self._count[comparable(uploaded)] += 1

    def count(self, end: str) -> int:
        """How many of the paths end in this one, which is :func:`comparable`."""
        return self._count[end] if end in self._count else 0

    def spellings(self, path: str) -> int:
        """How many of the paths are this one, which is :func:`comparable`, as a whole."""
        return self._whole[path] if path in self._whole else 0

    def relative(self, path: str) -> str:
        """A path relative to the folder of photos, with ``/`` and without ``./`` and doubled slashes."""
        below = path.removeprefix(self._root).replace("\\", "/").removeprefix(self._root)
        return "/".join(part for part in below.split("/") if part not in ("", "."))


class ImageMatcher:
    """Finds images by content, by their whole path, or by a shortened path that is unique on both sides.

    A path matches as it is spelled; otherwise ``\\`` counts as ``/``, composed characters as decomposed ones, and
    white space around the path is ignored.

    Args:
        images: of the project, including those whose file is missing or changed.
        photos: the folder of photos.
    """

    def __init__(self, images: Iterable[ProjectImage], photos: Path) -> None:
        self._photos = photos
        self._by_content: dict[str, int] = {}
        self._by_name: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._by_end: defaultdict[str, list[int]] = defaultdict(list)
        order = {"ready": 0, "missing": 1}
        for image in sorted(images, key=lambda image: (order.get(image.status, 2), image.id)):
            if image.sha256:
                self._by_content.setdefault(image.sha256, image.id)
            if image.status not in order or image.name in self._by_name:
                continue  # its file was replaced: only its content identifies it
            self._by_name[image.name] = image.id
            self._names[image.id] = comparable(image.name)
            for end in ends_of(self._names[image.id]):
                self._by_end[end].append(image.id)

    def import_paths(self, paths: Iterable[str] = ()) -> PathEnds:
        """The paths of an import, which :meth:`match` looks at together."""
        ends = PathEnds(self._photos)
        for path in paths:
            ends.add(path)
        return ends

    def knows(self, image_id: int) -> bool:
        """Whether there is an image of this number whose file is known by its path."""
        return image_id in self._names

    def match(self, path: str, sha256: str, paths: PathEnds) -> Match:
        """The image that a label belongs to.

        Where the content is known, it alone decides. Otherwise the whole path does; a shortened one, of the
        import or of the project, only if one image of the project and one path of the import end in it.

        Args:
            path: as the import has it.
            sha256: of the bytes that were labelled, in hexadecimal; empty if unknown.
            paths: all paths of the import.
        """
        relative = paths.relative(path)
        named = self._by_name.get(path, self._by_name.get(relative))
        if sha256:
            image_id = self._by_content.get(sha256.lower())
            if image_id is None:
                return Match(None, UNKNOWN_CONTENT if named is None else OTHER_CONTENT)
            return Match(image_id)
        if named is not None:
            return Match(named)
        plain = comparable(relative)
        if not plain:
            return Match(None, NO_PATH)
        for end in ends_of(plain):
            if end in self._by_end:
                return self._shortened(plain, end, paths)
        uploaded = comparable(uploaded_name(path))
        if uploaded and uploaded in self._by_end:
            return self._shortened(uploaded, uploaded, paths)
        return Match(None, NOT_IN_PROJECT)

    def _shortened(self, plain: str, end: str, paths: PathEnds) -> Match:
        images = self._by_end[end]
        whole = [image_id for image_id in images if self._names[image_id] == plain]
        if len(whole) == 1 and paths.spellings(plain) == 1:
            return Match(whole[0])
        if len(images) > 1:
            return Match(None, f"{counted(len(images), 'image')} of the project end in {end!r}")
        if paths.count(end) > 1:
            return Match(None, f"{paths.count(end)} paths of the import end in {end!r}")
        if end not in (plain, self._names[images[0]]):
            return Match(None, f"of the path only {end!r} is in the project, in another folder")
        return Match(images[0])


def comparable(path: str) -> str:
    """The form in which paths are compared that are spelled differently: Unicode's composed one (NFC), with ``/``,
    without white space around it."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/"))


def ends_of(path: str) -> Iterator[str]:
    """A path, then without its first folders, one by one."""
    parts = path.split("/")
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def uploaded_name(path: str) -> str:
    """The name of a file before Label Studio's upload put eight digits before it; empty for other paths."""
    found = _UPLOADED.search(path)
    return found[1] if found else ""
