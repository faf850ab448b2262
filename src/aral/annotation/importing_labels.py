"""Import labels from a file or folder into a project.

What the project holds already is not added again, so that a file, or any format of an export, may be imported any
number of times.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from aral.annotation import (
    ImageMatcher,
    ImportedLabel,
    LabelImportResult,
    Match,
    Project,
    ReadOptions,
    Rejected,
)
from aral.annotation.label_files import FileLabel, read_labels
from aral.annotation.matching import (
    NO_PATH,
    NOT_IN_PROJECT,
    OTHER_CONTENT,
    UNKNOWN_CONTENT,
    comparable,
    spellings,
    without_ending,
)
from aral.annotation.rejected import rejection_lines
from aral.data.image_file import read_image_bytes
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.plural import counted

MISSING = (NOT_IN_PROJECT, OTHER_CONTENT, UNKNOWN_CONTENT, NO_PATH)
"""Reasons for which another path, or a sync, may help."""


def import_labels(
    project: Project, source: Path, annotator: str = "", options: ReadOptions | None = None
) -> LabelImportResult:
    """Import labels: all of them in one transaction, or none after an error.

    Args:
        project: whose images are labelled; they must have been read by a sync.
        source: a label file, a folder of class folders or of another known form, or an export folder.
        annotator: of the labels whose annotator the source does not name. Without it they are recorded for the
            annotator ``import``, unless the current answer of any annotator is the same.
        options: what the user says about the source; by default nothing.

    Raises:
        BadInput: the source is missing, of another format, or holds rows of which none can be imported.
        RunFailed: the disk is full; nothing is imported.
    """
    options = options or ReadOptions()
    read = read_labels(source, options)
    finder = _ImageFinder(project, source, read.labels)
    rejected = list(read.rejected)
    labels: list[ImportedLabel] = []
    rejected_row = 0
    for label in read.labels:
        match = finder.find(label)
        if match.image_id is None:
            if not label.row or label.row != rejected_row:  # a row may hold the labels of several annotators
                rejected.append(Rejected(label.path, match.reason, match.detail))
            rejected_row = label.row
            continue
        labels.append(
            ImportedLabel(
                match.image_id,
                label.annotator or annotator,
                label.action,
                label.label,
                label.provenance,
                label.event_id,
                label.path,
            )
        )
    done = project.label_imports.record(str(source), labels, rejected, read.notes, options.classes)
    if (done.rejected or read.ignored) and not done.recorded + done.repeated:
        raise _nothing_to_import(source, done, read.ignored)
    return done


def _nothing_to_import(source: Path, done: LabelImportResult, ignored: int) -> BadInput:
    rows = counted(len(done.rejected) + ignored, "row")
    lines = [f"Nothing was imported from {source}: it has {rows}, and none can be used.", *done.notes]
    hint = ""
    if any(each.reason in MISSING for each in done.rejected):
        hint = (
            "Give paths relative to the photos, or run aral sync first. Where a content hash (sha256) is given, it "
            "decides; leave it out to match by path."
        )
    return BadInput("\n".join([*lines, *rejection_lines(done.rejected)]), hint)


class _ImageFinder:
    """Finds the image of a label by the rules of :class:`aral.annotation.ImageMatcher`."""

    def __init__(self, project: Project, source: Path, labels: Sequence[FileLabel]) -> None:
        self._matcher = ImageMatcher(project.images.all(), project.photos)
        self._paths = self._matcher.import_paths(label.path for label in labels)
        self._photos = project.photos
        self._folder = source.resolve() if source.is_dir() else source.resolve().parent
        self._around = (self._folder,) if source.is_dir() else (self._folder, self._folder / source.stem)
        self._known: dict[str, tuple[str, str]] = {}
        self._endings: dict[str, dict[str, list[str]]] = {}

    def find(self, label: FileLabel) -> Match:
        """The image, or why there is none."""
        if not label.path and not label.sha256:
            known = label.image_id is not None and self._matcher.knows(label.image_id)
            return Match(label.image_id) if known else Match(None, NO_PATH)
        path, sha256 = label.path, label.sha256
        if not sha256:
            if path not in self._known:
                self._known[path] = self._path_and_content(path)
            path, sha256 = self._known[path]
        return self._matcher.match(path, sha256, self._paths)

    def _path_and_content(self, path: str) -> tuple[str, str]:
        """Path and content hash of a file beside the labels; nothing outside their folder is opened.

        The files may also lie in a folder named like the label file, as ``train/`` beside ``train.csv``, and the path
        may lack their ending. A file among the photos is an image of the project itself: it is matched by its path
        there.
        """
        for spelling in dict.fromkeys(each for one in spellings(path) for each in (one, comparable(one))):
            for around in self._around:
                try:
                    file = self._file(os.path.normpath(around / spelling))
                    if file is None:
                        continue
                    if file.is_relative_to(self._photos):
                        return file.relative_to(self._photos).as_posix(), ""
                    return path, hashlib.sha256(read_image_bytes(file)).hexdigest()
                except (OSError, ValueError, Refused):
                    continue
        return path, ""

    def _file(self, candidate: str) -> Path | None:
        """A file below the folder of the labels; the only one with an ending, if the candidate has none."""
        if not candidate.startswith(f"{self._folder}{os.sep}"):
            return None
        if not Path(candidate).is_file():
            parent, name = os.path.split(candidate)
            if parent not in self._endings:
                self._endings[parent] = _files_without_endings(Path(parent))
            found = self._endings[parent].get(name, [])
            if len(found) != 1:
                return None
            candidate = f"{parent}{os.sep}{found[0]}"
        file = Path(os.path.realpath(candidate))
        return file if file.is_relative_to(self._folder) else None


def _files_without_endings(folder: Path) -> dict[str, list[str]]:
    """Names of the files in a folder by their names without an image's ending."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    if folder.is_dir():
        for each in folder.iterdir():
            if without_ending(each.name) != each.name:
                names[without_ending(each.name)].append(each.name)
    return dict(names)
