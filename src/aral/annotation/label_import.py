"""Labels from elsewhere, taken into a project.

They become answers of the people who gave them, each under a key made of what it says, so that a file may be
imported again and counts once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aral.annotation import IMPORT_KEY, Action, AnswerEvent, Project, ends_of
from aral.annotation.label_files import Found, read_labels
from aral.errors import BadInput
from aral.words import counted

AT_ONCE = 2000


@dataclass(frozen=True)
class Imported:
    """What an import of labels came to.

    Attributes:
        recorded: answers that are new.
        repeated: answers that had been imported before.
        unknown: paths for which the project has no image, in the order they were found.
        new_classes: names of the classes that were added.
    """

    recorded: int
    repeated: int
    unknown: tuple[str, ...]
    new_classes: tuple[str, ...]


def import_labels(project: Project, source: Path, annotator: str = "import") -> Imported:
    """Take labels into a project.

    Args:
        project: whose images they are about; they must have been imported.
        source: a ``.csv``, ``.jsonl`` or ``.json`` file, or a folder of class folders.
        annotator: who gave the labels of which the file does not tell.

    Raises:
        BadInput: the file is missing, of another format, or about none of the project's images.
    """
    index = ImageIndex(project)
    names = {each.name: each.id for each in project.classes.all()}
    new_classes: list[str] = []
    events: list[AnswerEvent] = []
    unknown: list[str] = []
    said: dict[tuple[int, str], list[list[object]]] = {}
    for found in read_labels(source):
        image_id = index.find(found)
        if image_id is None:
            unknown.append(found.path)
            continue
        if found.action == "class" and found.label not in names:
            added = project.classes.add(found.label, annotator)
            names[found.label] = names[added.name] = added.id
            new_classes.append(added.name)
        class_id = names[found.label] if found.action == "class" else None
        person = found.annotator or annotator
        answer: list[object] = [found.action, class_id]
        before = said.setdefault((image_id, person), [])
        if answer not in before[-1:]:  # of two lines that say the same one is enough
            events.append(_event(found, image_id, class_id, person, before))
            before.append(answer)
    if unknown and not events:
        problem = f"None of the {counted(len(unknown), 'image')} in {source} is in the project, the first:"
        if len(unknown) == 1:
            problem = f"The image in {source} is not in the project:"
        raise BadInput(
            f"{problem} {unknown[0]!r}.",
            "Give paths relative to the photos, or run aral sync first.",
        )
    receipts = [
        receipt
        for start in range(0, len(events), AT_ONCE)
        for receipt in project.annotations.append_many(events[start : start + AT_ONCE])
    ]
    repeated = sum(receipt.repeated for receipt in receipts)
    return Imported(len(receipts) - repeated, repeated, tuple(unknown), tuple(new_classes))


def _event(
    found: Found, image_id: int, class_id: int | None, annotator: str, before: Sequence[list[object]]
) -> AnswerEvent:
    """An answer under a key made of what it says, and of what its file has the same person say before."""
    said = json.dumps([image_id, found.action, class_id, annotator, *([before] if before else [])])
    key = f"{IMPORT_KEY}{hashlib.sha256(said.encode()).hexdigest()[:40]}"
    action: Action = found.action  # type: ignore[assignment]  # checked when it was read
    return AnswerEvent(key, image_id, annotator, action, class_id, provenance=found.asked)


class ImageIndex:
    """Finds the image that a line of a file is about: by number and content, by path, or by the end of it."""

    def __init__(self, project: Project) -> None:
        copies = [copy for ids in project.images.duplicates().values() for copy in ids]
        images = [project.images.get(int(each)) for each in (*project.images.labelable_ids(), *copies)]
        self._by_name = {image.name: image.id for image in images}
        self._by_content: dict[str, int] = {}
        for image in images:
            self._by_content.setdefault(image.sha256, image.id)
        self._ids = {image.id for image in images}

    def find(self, found: Found) -> int | None:
        """The image's number, or None."""
        by_content = self._by_content.get(found.sha256)
        if by_content is not None:
            return by_content
        for name in ends_of(found.path):
            by_name = self._by_name.get(name)
            if by_name is not None:
                return by_name
        return found.image_id if found.image_id in self._ids and not found.path else None
