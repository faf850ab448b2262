"""Labels that are to be imported: their names checked, and those left out that contradict each other.

Statements of different annotators on one image may differ: each is imported, and the image has a disagreement. If
one annotator states different things of one image, or the source names no annotator, the right one is unknown: none
of these is imported, and all are listed. The same holds for every format.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aral.annotation.consensus import DECISIVE, Action, Vote
from aral.annotation.database import Connection
from aral.annotation.names import checked_name, composed
from aral.annotation.provenance import IMPORT, Provenance
from aral.annotation.rejected import Rejected
from aral.errors import BadInput
from aral.plural import counted

NO_ANNOTATOR = "the same image has different labels, and no annotators distinguish them"
SAME_ANNOTATOR = "the same annotator gives the same image different labels"


@dataclass(frozen=True)
class ImportedLabel:
    """A label, or an answer without a class, to be imported; its image has been found.

    Attributes:
        image_id: the image; of exact copies any.
        annotator: who gave it; empty if unknown.
        action: never ``undo``.
        label: for ``class`` the name of the class, otherwise empty.
        provenance: why the image was labelled.
        event_id: identity of the exported event, as :meth:`aral.annotation.LabelImports.event_ids` gives it; empty
            for a label that was not exported by aral.
        path: of the image, as the source has it.
    """

    image_id: int
    annotator: str
    action: Action
    label: str
    provenance: Provenance
    event_id: str = ""
    path: str = ""


@dataclass(frozen=True)
class CheckedLabel:
    """A label with its names checked and in the form in which they are compared.

    Attributes:
        image_id: the image that it counts for: of exact copies the first.
        annotator: :data:`IMPORT` if unknown.
        named: the source names the annotator.
        action: as in :class:`ImportedLabel`.
        name: the class as it is added if it is new.
        composed_name: the class as it is looked up.
        provenance: as in :class:`ImportedLabel`, like the last two.
        event_id: identity of the exported event.
        path: of the image.
    """

    image_id: int
    annotator: str
    named: bool
    action: Action
    name: str
    composed_name: str
    provenance: Provenance
    event_id: str
    path: str

    def rejected(self, reason: str) -> Rejected:
        """This label as a row that is not imported."""
        said = self.name or self.action
        return Rejected(self.path, reason, f"{self.annotator}: {said}" if self.named else said)


def checked_labels(connection: Connection, labels: Iterable[ImportedLabel]) -> list[CheckedLabel]:
    """The labels with their names checked, for the first of exact copies.

    Raises:
        BadInput: a name is empty or not valid Unicode, or an image is unknown.
    """
    first_of = dict(
        connection.execute(
            """SELECT id, coalesce(duplicate_of, id) FROM images
            WHERE status IN ('ready', 'missing', 'changed')"""
        )
    )
    checked = []
    for label in labels:
        annotator = composed(checked_name("an annotator", label.annotator or IMPORT))
        name = checked_name("a class", label.label) if label.action == "class" else ""
        if label.image_id not in first_of:
            raise BadInput(
                f"There is no image {label.image_id} to label.", "Run aral sync, then import again."
            )
        checked.append(
            CheckedLabel(
                first_of[label.image_id],
                annotator,
                bool(label.annotator),
                label.action,
                name,
                composed(name),
                label.provenance,
                label.event_id,
                label.path,
            )
        )
    return checked


@dataclass(frozen=True)
class Consistent:
    """The labels without contradictions.

    Attributes:
        labels: one for each annotator of each image, in the order of the source.
        rejected: the labels that contradict each other.
        notes: what was ignored, as sentences.
    """

    labels: tuple[CheckedLabel, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def consistent_labels(
    labels: Sequence[CheckedLabel], vote_of: Callable[[CheckedLabel], Vote | None]
) -> Consistent:
    """One label for each annotator of each image; all of those who contradict themselves are rejected.

    Skip and unsure decide nothing: beside a decisive answer of the same annotator they are ignored, and of several
    the last one counts.

    Args:
        labels: of the source.
        vote_of: the answer of a label; None if its class is new. A class under two of its names is no contradiction.
    """
    by_author: defaultdict[tuple[int, str], list[CheckedLabel]] = defaultdict(list)
    for label in labels:
        by_author[label.image_id, label.annotator].append(label)
    kept: list[CheckedLabel] = []
    rejected: list[Rejected] = []
    ignored = 0
    for given in by_author.values():
        decisive = [label for label in given if label.action in DECISIVE]
        votes = {vote_of(label) or label.composed_name for label in decisive}
        if len(votes) > 1:
            reason = SAME_ANNOTATOR if all(label.named for label in decisive) else NO_ANNOTATOR
            rejected += [label.rejected(reason) for label in decisive]
            continue
        kept.append((decisive or given)[-1])
        ignored += len({label.action for label in given if label.action not in DECISIVE}) - (not decisive)
    skips = counted(ignored, "skip or unsure", "skips or unsures")
    notes = (f"Ignored: {skips} of an annotator who gave the image another answer.",) if ignored else ()
    return Consistent(tuple(kept), tuple(rejected), notes)
