"""Import labels from a file or folder into a project.

What the project holds already is not added again, so that a file, or any format of an export, may be imported any
number of times.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from aral.annotation import ImageMatcher, ImportedLabel, LabelImportResult, Match, Project, Rejected
from aral.annotation.label_files import FileLabel, read_labels
from aral.annotation.matching import NO_PATH, comparable
from aral.data.image_file import read_image_bytes
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.plural import counted


def import_labels(
    project: Project, source: Path, annotator: str = "", classes: Collection[str] = ()
) -> LabelImportResult:
    """Import labels: all of them in one transaction, or none after an error.

    Args:
        project: whose images are labelled; they must have been read by a sync.
        source: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.json`` file, a folder of class folders, or an export folder.
        annotator: of the labels whose annotator the source does not name. Without it they are recorded for the
            annotator ``import``, unless the current answer of any annotator is the same.
        classes: names of the class folders; by default all that are named neither like a split nor like a date.

    Raises:
        BadInput: the source is missing, of another format, or holds no label of an image of the project.
        RunFailed: the disk is full; nothing is imported.
    """
    read = read_labels(source, classes)
    finder = _ImageFinder(project, source, read.labels)
    rejected = list(read.rejected)
    labels: list[ImportedLabel] = []
    for label in read.labels:
        match = finder.find(label)
        if match.image_id is None:
            rejected.append(Rejected(label.path, match.reason))
            continue
        labels.append(
            ImportedLabel(
                match.image_id,
                label.annotator or annotator,
                label.action,
                label.label,
                label.provenance,
                label.event_id,
            )
        )
    rejected = list(dict.fromkeys(rejected))  # a row may hold the labels of several annotators
    if rejected and not labels:
        raise _nothing_to_import(source, rejected)
    return project.label_imports.record(str(source), labels, rejected, read.notes)


def _nothing_to_import(source: Path, rejected: Sequence[Rejected]) -> BadInput:
    problem = f"None of the {counted(len(rejected), 'label')} in {source} can be imported, the first:"
    if len(rejected) == 1:
        problem = f"The label in {source} cannot be imported:"
    first = rejected[0]
    return BadInput(
        f"{problem} {first.path!r}, because {first.reason}.",
        "Give paths relative to the photos, or run aral sync first. Where a content hash (sha256) is given, it "
        "decides; leave it out to match by path.",
    )


class _ImageFinder:
    """Finds the image of a label by the rules of :class:`aral.annotation.ImageMatcher`."""

    def __init__(self, project: Project, source: Path, labels: Sequence[FileLabel]) -> None:
        self._matcher = ImageMatcher(project.images.all(), project.photos)
        self._paths = self._matcher.import_paths(label.path for label in labels)
        self._photos = project.photos
        self._folder = source.resolve().parent
        self._known: dict[str, tuple[str, str]] = {}

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

        A file among the photos is an image of the project itself: it is matched by its path there.
        """
        for spelling in dict.fromkeys((path, comparable(path))):
            candidate = os.path.normpath(self._folder / spelling)
            try:
                if not candidate.startswith(f"{self._folder}{os.sep}") or not Path(candidate).is_file():
                    continue
                file = Path(os.path.realpath(candidate))
                if not file.is_relative_to(self._folder):
                    continue
                if file.is_relative_to(self._photos):
                    return file.relative_to(self._photos).as_posix(), ""
                return path, hashlib.sha256(read_image_bytes(file)).hexdigest()
            except (OSError, ValueError, Refused):
                continue
        return path, ""
