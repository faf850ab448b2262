"""The nouns of a project: imports, images, classes, settings, people, suggestions, cards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

ImageStatus = Literal["pending", "ready", "missing", "changed", "unreadable"]
"""``pending``: found, not read yet; ``missing`` and ``changed``: the file went or is another one now."""

Purpose = Literal["query", "reserve", "estimate", "random"]
"""Why an image is shown: chosen by the newest round, next best after it, for measuring only, by chance."""

ESTIMATE_SLICE, BY_CHANCE, BROWSING = "estimate slice", "by chance", "browsing"
"""What asks where no acquisition does; the last is the person, who picked the image out of many."""

LABEL_STUDIO, IMPORT = "label studio", "import"
"""Where labels come from that were never asked for here."""

IMPORT_KEY = f"{IMPORT}:"
"""How the keys of imported answers begin; their strategy may be one that their file tells."""


@dataclass(frozen=True)
class Asking:
    """What brought an image to the person who answered it.

    Attributes:
        round: the round whose model chose it; None when no model did.
        strategy: the acquisition that chose it; :data:`ESTIMATE_SLICE`, :data:`BY_CHANCE` or :data:`BROWSING`
            where none did; of a label from elsewhere what its file says of it, or where it came from. Empty
            for an answer that was recorded before this was noted.
        score: the acquisition's, higher = label first, comparable within one round only; None without one.

    Raises:
        ValueError: the score is not finite.
    """

    round: int | None
    strategy: str
    score: float | None

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"a score of {self.score}")


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        done: files dealt with, those of earlier imports included.
        total: files found.
        readable: images that can be used, copies included.
        duplicates: exact copies among them.
        unreadable: files and folders left out, each listed with its reason.
    """

    done: int
    total: int
    readable: int
    duplicates: int
    unreadable: int


@dataclass(frozen=True)
class ImportResult(ImportProgress):
    """What an import came to.

    Attributes:
        added: images that this import has read for the first time.
        missing: images of earlier imports whose file is gone.
        changed: images of earlier imports whose file has another content now.
        seconds: how long it took.
        first_frames: names of the animations, of which the first frame counts.
        complete: False when it was asked to stop before the end.
    """

    added: int
    missing: int
    changed: int
    seconds: float
    first_frames: tuple[str, ...]
    complete: bool


@dataclass(frozen=True)
class ProjectImage:
    """One image of a project.

    Attributes:
        id: its number, for good; the row in :class:`aral.annotation.PixelFile`.
        name: path relative to the photos, with ``/``; what is no valid UTF-8 carries surrogates, and
            ``os.fsencode`` gives the bytes back.
        width: of the upright image in pixels; 0 while it is pending or when it is unreadable.
        height: likewise.
        format: what the file really is, such as ``"PNG"``; empty while it was not read.
        sha256: of the file's bytes when it was read, 64 hexadecimal digits; empty while it was not read.
        status: whether it can be used.
        duplicate_of: the first image with the same bytes, which carries the label of both.
    """

    id: int
    name: str
    width: int
    height: int
    format: str
    sha256: str
    status: ImageStatus
    duplicate_of: int | None


@dataclass(frozen=True)
class ProjectClass:
    """A live class.

    Attributes:
        id: its number, for good.
        name: any text.
        key: the key that answers with it, as ``KeyboardEvent.key`` names it; empty when all are taken.
        guideline: when an image belongs to it, as written by people.
        example_ids: images that show it well.
        colour: 0, 1, 2 … in the order the classes came; a page maps it onto its palette.
    """

    id: int
    name: str
    key: str
    guideline: str
    example_ids: tuple[int, ...]
    colour: int


@dataclass(frozen=True)
class ClassChange:
    """Something that was done to a class.

    Attributes:
        seq: its place in the order of all changes.
        class_id: the class; of a merge the one that went.
        change: what was done.
        detail: for ``add`` and ``remove`` ``name``; for ``rename`` ``from`` and ``to``; for ``merge``
            ``name``, ``into`` and ``into_name``; for ``describe`` ``guideline`` and ``examples``.
        annotator: who did it.
        changed_at: UTC in ISO 8601.
    """

    seq: int
    class_id: int
    change: Literal["add", "rename", "merge", "describe", "remove"]
    detail: dict[str, Any]
    annotator: str
    changed_at: str


@dataclass(frozen=True)
class PageSettings:
    """How the page behaves and how much is to be labelled.

    Attributes:
        keys: key by action: ``skip``, ``unsure``, ``bad image``, ``none of these``, ``undo``, ``previous``,
            ``next``, ``accept``, ``hide``, ``zoom``, ``grid``, ``progress``, ``guide``, ``search``, ``help``;
            ``class:7`` overrides the key of class 7. Keys are named as in ``KeyboardEvent.key``.
        shortcuts_on: single keys act (WCAG 2.1.4 wants a switch).
        suggestions_on: cards carry suggestions.
        budget: how many labels are to be given in all; None without a limit.
        overlap: by how many people each image is to be answered.
        estimate_share: the part of the budget that is spent on measuring only.
    """

    keys: dict[str, str]
    shortcuts_on: bool
    suggestions_on: bool
    budget: int | None
    overlap: int
    estimate_share: float


@dataclass(frozen=True)
class Annotator:
    """A person who answers, made when the name is used for the first time."""

    id: int
    name: str


@dataclass(frozen=True)
class Suggestion:
    """What a model says of an image: the most probable live class and its probability in 0..1."""

    class_id: int
    probability: float
    model_number: int


@dataclass(frozen=True)
class Card:
    """An image to be answered next, leased to one person.

    Attributes:
        image_id: the image.
        name: its file, as in :attr:`ProjectImage.name`.
        width: of the upright image in pixels.
        height: likewise.
        purpose: why it is shown.
        round: the round whose model chose it; None for ``estimate`` and ``random``.
        reason: one sentence of the acquisition for people; may be empty.
        suggestion: the newest model's; None without a model, when suggestions are off, and when hidden.
        hidden_suggestion: it is held back, to measure what suggestions do to answers: on a random tenth of
            the images, and on every image of the estimate slice.
    """

    image_id: int
    name: str
    width: int
    height: int
    purpose: Purpose
    round: int | None
    reason: str
    suggestion: Suggestion | None
    hidden_suggestion: bool
