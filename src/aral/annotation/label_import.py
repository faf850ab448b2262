"""Labels from elsewhere, taken into a project.

They become answers of the people who gave them. What the project holds already is not added again, so that a
file, or any form of an export, may be imported any number of times.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aral.annotation import Action, ImageMatcher, ImportedAnswer, Match, PathEnds, Project
from aral.annotation.image_matching import NO_PATH
from aral.annotation.label_files import Found, NotTaken, read_labels
from aral.data.image_file import read_image_bytes
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.words import counted


@dataclass(frozen=True)
class Imported:
    """What an import of labels changed.

    Attributes:
        number: of the import, to take it back by; None if it added nothing.
        recorded: answers that are new.
        repeated: answers that the project held already.
        changed_since: those of ``repeated`` that were changed in the project since; the newer answer stays.
        replaced: answers that a later line of the same annotator on the same image replaced.
        not_taken: rows and files of which nothing was taken, with the reason, in the order they were found.
        new_classes: names of the classes that were added.
        notes: how the source was understood, as sentences.
    """

    number: int | None
    recorded: int
    repeated: int
    changed_since: int
    replaced: int
    not_taken: tuple[NotTaken, ...]
    new_classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows and files were not taken, by reason."""
        return dict(Counter(each.reason for each in self.not_taken).most_common())


def import_labels(
    project: Project, source: Path, annotator: str = "", classes: Collection[str] = ()
) -> Imported:
    """Take labels into a project: all of them in one transaction, or after an error none.

    Args:
        project: whose images they are about; they must have been imported.
        source: a ``.csv``, ``.jsonl`` or ``.json`` file, a folder of class folders, or an export folder.
        annotator: who gave the labels of which the source does not tell. Without it they are recorded as those of
            ``import``, unless somebody's answer says the same.
        classes: names of the class folders; by default all that are named neither like a split nor like a date.

    Raises:
        BadInput: the source is missing, of another format, or about none of the project's images.
        RunFailed: the disk is full; nothing of the import is kept.
    """
    read = read_labels(source, classes)
    images = _Images(project, source, read.found)
    not_taken = list(read.not_taken)
    answers: list[ImportedAnswer] = []
    for found in read.found:
        match = images.find(found)
        if match.image_id is None:
            not_taken.append(NotTaken(found.path, match.reason))
            continue
        action: Action = found.action  # type: ignore[assignment]  # checked when it was read
        answers.append(
            ImportedAnswer(
                match.image_id, found.annotator or annotator, action, found.label, found.asked, found.event_id
            )
        )
    not_taken = list(dict.fromkeys(not_taken))  # a row may hold several annotators
    if not_taken and not answers:
        raise _nothing_taken(source, not_taken)
    done = project.label_imports.record(str(source), answers, {"not taken": len(not_taken)})
    return Imported(
        done.number,
        done.recorded,
        done.repeated,
        done.changed_since,
        done.replaced,
        tuple(not_taken),
        done.new_classes,
        read.notes,
    )


def _nothing_taken(source: Path, not_taken: list[NotTaken]) -> BadInput:
    problem = f"None of the {counted(len(not_taken), 'image')} in {source} is in the project, the first:"
    if len(not_taken) == 1:
        problem = f"The image in {source} is not in the project:"
    first = not_taken[0]
    return BadInput(
        f"{problem} {first.path!r}, because {first.reason}.",
        "Give paths relative to the photos, or run aral sync first. Where a content hash (sha256) is given, it "
        "decides; leave it out to go by the path.",
    )


class _Images:
    """Finds the image that a label is about, by the rules of :class:`aral.annotation.ImageMatcher`."""

    def __init__(self, project: Project, source: Path, found: Collection[Found]) -> None:
        self._matcher = ImageMatcher(project.images(), project.photos)
        self._paths: PathEnds = self._matcher.import_paths(each.path for each in found)
        self._photos = project.photos
        self._folder = source.resolve().parent
        self._known: dict[str, tuple[str, str]] = {}

    def find(self, found: Found) -> Match:
        """The image, or why there is none."""
        if not found.path and not found.sha256:
            known = found.image_id is not None and self._matcher.knows(found.image_id)
            return Match(found.image_id) if known else Match(None, NO_PATH)
        path, sha256 = found.path, found.sha256
        if not sha256:
            if path not in self._known:
                self._known[path] = self._read(path)
            path, sha256 = self._known[path]
        return self._matcher.match(path, sha256, self._paths)

    def _read(self, path: str) -> tuple[str, str]:
        """Path and content hash of a file beside the labels; nothing outside of their folder is opened.

        A file among the photos is an image of the project itself: it goes by its path there.
        """
        try:
            place = (self._folder / path).resolve()
            if not place.is_relative_to(self._folder) or not place.is_file():
                return path, ""
            if place.is_relative_to(self._photos):
                return place.relative_to(self._photos).as_posix(), ""
            return path, hashlib.sha256(read_image_bytes(place)).hexdigest()
        except (OSError, ValueError, Refused):
            return path, ""
