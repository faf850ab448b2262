"""Matching: which image of a project an imported label belongs to.

Every importer matches here. An image is never guessed from the end of a path alone: a label on the wrong image is
worse than one that is rejected with its reason.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from aral.annotation.images import ProjectImage
from aral.annotation.label_formats.encodings import from_windows
from aral.plural import counted

_UPLOADED = re.compile(r"(?:^|/)upload/\d+/[0-9a-f]{8}-([^/]+)$")
_SPECIAL = re.compile("[%?#:\udc80-\udcff]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LABEL_STUDIO = re.compile(
    r"/(?:data/local-files|storage-data/uploaded|(?:tasks|projects)/\d+/(?:presign|resolve))/?"
)
_ENDING = re.compile(r"\.(?:jpe?g|jfif|png|webp|bmp|gif|tiff?|hei[cf]|avif|jp2|p[gpn]m|mpo)$", re.IGNORECASE)

NOT_IN_PROJECT = "the project has no image of this path"
OTHER_CONTENT = "the image of this path has another content in the project"
UNKNOWN_CONTENT = "the project has no image of this content"
NO_PATH = "it names no image"


@dataclass(frozen=True)
class Match:
    """The image of a label.

    Attributes:
        image_id: the image; None without one.
        reason: why there is none, as part of a sentence; empty with one.
        detail: what only this path has; may be empty.
    """

    image_id: int | None
    reason: str = ""
    detail: str = ""


class PathEnds:
    """Counts how many different paths end in the same folders and name.

    Args:
        photos: the folder of photos; paths below it are taken relative to it.
    """

    def __init__(self, photos: Path) -> None:
        self._root = f"{photos}/"
        self._seen: set[tuple[str, ...]] = set()
        self._whole: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._without_ending: Counter[str] = Counter()

    def add(self, path: str) -> None:
        """Count a path; one that was counted before changes nothing."""
        spelled = tuple(self.relative(each) for each in spellings(path))
        if spelled in self._seen:
            return
        self._seen.add(spelled)
        plain = {comparable(each) for each in spelled}
        ends = {end for each in plain for end in ends_of(each)}
        ends |= {comparable(uploaded) for each in spellings(path) if (uploaded := uploaded_name(each))}
        self._whole.update(plain)
        self._count.update(ends)
        self._without_ending.update({without_ending(end) for end in ends})

    def count(self, end: str) -> int:
        """How many of the paths end in this one, which is :func:`comparable`."""
        return self._count[end]

    def count_without_ending(self, end: str) -> int:
        """How many of the paths end in this one, if what follows the last dot of an image's name is left out."""
        return self._without_ending[end]

    def spellings(self, path: str) -> int:
        """How many of the paths are this one, which is :func:`comparable`, as a whole."""
        return self._whole[path]

    def relative(self, path: str) -> str:
        """A path relative to the folder of photos, with ``/`` and without ``./`` and doubled slashes."""
        below = path.removeprefix(self._root).replace("\\", "/").removeprefix(self._root)
        return "/".join(part for part in below.split("/") if part not in ("", "."))


class ImageMatcher:
    """Finds images by content, by their whole path, or by a shortened path that is unique on both sides.

    A path matches as it is spelled; otherwise by its other :func:`spellings`, with ``\\`` as ``/``, composed
    characters as decomposed ones, and without white space around it; a name without ending matches the only image
    that has it with one.

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
        self._by_end_without_ending: defaultdict[str, list[int]] = defaultdict(list)
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
                self._by_end_without_ending[without_ending(end)].append(image.id)

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
            path: as the import has it; may be a URL.
            sha256: of the bytes that were labelled, in hexadecimal; empty if unknown.
            paths: all paths of the import.
        """
        spelled = [paths.relative(each) for each in spellings(path)]
        named = next((self._by_name[each] for each in (path, *spelled) if each in self._by_name), None)
        if sha256:
            image_id = self._by_content.get(sha256.lower())
            if image_id is None:
                return Match(None, UNKNOWN_CONTENT if named is None else OTHER_CONTENT)
            return Match(image_id)
        if named is not None:
            return Match(named)
        plain = list(dict.fromkeys(filter(None, map(comparable, spelled))))
        if not plain:
            return Match(None, NO_PATH)
        for each in plain:
            for end in ends_of(each):
                if end in self._by_end:
                    return self._shortened(each, end, self._by_end, paths.count(end), paths.spellings(each))
        for each in spellings(path):
            end = comparable(uploaded_name(each))
            if end and end in self._by_end:
                return self._shortened(end, end, self._by_end, paths.count(end), paths.spellings(end))
        return self._named_without_ending(plain, paths)

    def _named_without_ending(self, plain: Iterable[str], paths: PathEnds) -> Match:
        for each in plain:
            if _ENDING.search(each):
                continue
            for end in ends_of(each):
                if end in self._by_end_without_ending:
                    count = paths.count_without_ending(end)
                    return self._shortened(each, end, self._by_end_without_ending, count, 0)
        return Match(None, NOT_IN_PROJECT)

    def _shortened(
        self, plain: str, end: str, by_end: Mapping[str, list[int]], paths_count: int, spellings_count: int
    ) -> Match:
        """The image that a path ends in.

        Args:
            plain: the path.
            end: of the path, which images of the project end in.
            by_end: images by the ends of their paths.
            paths_count: how many paths of the import end so.
            spellings_count: how many paths of the import are equal to ``plain``.
        """
        images = by_end[end]
        whole = [image_id for image_id in images if self._names[image_id] == plain]
        if len(whole) == 1 and spellings_count == 1:
            return Match(whole[0])
        if len(images) > 1:
            return Match(None, f"{counted(len(images), 'image')} of the project end in {end!r}")
        if paths_count > 1:
            return Match(None, f"{paths_count} paths of the import end in {end!r}")
        name = self._names[images[0]]
        if end not in (plain, name, without_ending(name)):
            return Match(None, "of the path only the end is in the project, in another folder", repr(name))
        return Match(images[0])


def spellings(address: str) -> tuple[str, ...]:
    """The paths that an address may mean, the most literal first.

    Of a URL (``https:``, ``s3:``, ``gs:``, ``file:`` …) that is its path, without query and fragment; of Label
    Studio's addresses of local, uploaded and stored files the path in their query. Anything else is a path as it
    is; if there is no such file, its percent escapes (``%20``, ``%5C``) are resolved, what follows ``?`` or ``#`` is
    left out, and bytes that are not UTF-8 are read as Windows-1252.
    """
    if not _SPECIAL.search(address):
        return (address,)
    address = address.strip() if _URL.match(address.strip()) else address
    try:
        parts = urlsplit(address)
    except ValueError:  # such as an opening bracket without a closing one
        return (address,)
    stored = _stored_path(parts.path, parts.query)
    if stored:
        return spellings(stored)
    if _URL.match(address):
        raw = parts.path or parts.netloc
        return _different(raw, _unescaped(raw))
    cut = re.split(r"[?#]", address, maxsplit=1)[0]
    different = [address, _unescaped(address), cut, _unescaped(cut)]
    windows = [text for each in different if (text := from_windows(each)) is not None]
    return _different(*filter(None, [*different, *windows])) or (address,)


def _stored_path(path: str, query: str) -> str:
    """The path in the query of one of Label Studio's addresses; empty for any other address."""
    if not query or not _LABEL_STUDIO.search(path):
        return ""
    fields = parse_qs(query, errors="surrogateescape")
    for name in ("d", "filepath"):
        if name in fields:
            return fields[name][0]
    encoded = fields.get("fileuri", [""])[0]
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def _unescaped(path: str) -> str:
    try:
        return os.fsdecode(unquote_to_bytes(path.encode("utf-8", "surrogateescape")))
    except UnicodeEncodeError:
        return path


def _different(*paths: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))


def comparable(path: str) -> str:
    """The form in which paths are compared that are spelled differently: Unicode's composed one (NFC), with ``/``,
    without white space around it."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/"))


def ends_of(path: str) -> Iterator[str]:
    """A path, then without its first folders, one by one."""
    parts = path.split("/")
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def without_ending(path: str) -> str:
    """A path without the ending of an image's name, such as ``.jpg``; the path itself if it has none."""
    return _ENDING.sub("", path)


def uploaded_name(path: str) -> str:
    """The name of a file before Label Studio's upload put eight digits before it; empty for other paths."""
    found = _UPLOADED.search(path)
    return found[1] if found else ""
