"""The nouns of answering: events and receipts, counts, labels, and how far people agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aral.annotation.records import Asking

Action = Literal["class", "skip", "unsure", "bad image", "none of these", "undo"]
"""What a person did with an image. Skip and unsure leave it open; the next two exclude it from training."""

LabelUse = Literal["training", "estimate"]
"""What a label is for. One of the estimate slice measures the classifier and never trains it."""


@dataclass(frozen=True)
class AnswerEvent:
    """Something a person did, as the page sends it; sent twice under the same key, it counts once.

    Attributes:
        key: made by the sender, unique for each event, such as a UUID.
        image_id: the image that was on the screen; for ``undo`` the image whose answer is taken back.
        annotator: the person's name.
        action: what was done.
        class_id: for ``class`` the class, otherwise None.
        suggestion_shown: a suggestion could be seen when the answer was given.
        seconds: how long the image was on the screen, if known.
        asked: what brought the image when it was no card of this project; None for a card. Who answers the
            same image once more does so as they were asked before.
        accepted: the class is the suggestion, taken as it was shown.
    """

    key: str
    image_id: int
    annotator: str
    action: Action
    class_id: int | None = None
    suggestion_shown: bool = False
    seconds: float | None = None
    asked: Asking | None = None
    accepted: bool = False


@dataclass(frozen=True)
class AnswerReceipt:
    """An event is on the disk.

    Attributes:
        key: that of the event.
        seq: its place in the order of all events.
        image_id: the image it counts for: of exact copies the first.
        repeated: it had been recorded before; nothing was added.
        cancels: for ``undo`` the ``seq`` of the answer that was taken back.
        stands: action and class of what the same person says of the image now; None when they say nothing.
    """

    key: str
    seq: int
    image_id: int
    repeated: bool
    cancels: int | None
    stands: tuple[Action, int | None] | None = None


@dataclass(frozen=True)
class Answered:
    """An answer in somebody's history.

    Attributes:
        seq: its place in the order of all events.
        image_id: the image.
        name: its file.
        action: never ``undo``.
        class_id: for ``class`` the class as it was chosen, which may have been merged since.
        annotator: who answered.
        answered_at: UTC in ISO 8601, for people; nothing is ordered by it.
        cancelled: it was taken back.
    """

    seq: int
    image_id: int
    name: str
    action: Action
    class_id: int | None
    annotator: str
    answered_at: str
    cancelled: bool


@dataclass(frozen=True)
class Counts:
    """Images by what is known of them now, exact copies not counted.

    Attributes:
        labelled: with a class; the sum of ``for_training`` and ``for_estimate``.
        skipped: looked at and skipped by everyone who looked.
        unsure: nobody was sure.
        bad: said to be bad images.
        none: said to show none of the classes.
        conflicts: people disagree, without a majority.
        for_training: labelled, of use for training.
        for_estimate: labelled, for measuring only.
    """

    labelled: int
    skipped: int
    unsure: int
    bad: int
    none: int
    conflicts: int
    for_training: int
    for_estimate: int


@dataclass(frozen=True)
class Label:
    """The class of an image as it stands.

    Attributes:
        image_id: the image.
        class_id: a live class; answers with a merged class count for the one it went into.
        annotators: names of those who chose it, in the order of their answers.
        agreement: their share among all who gave a class, said 'bad image' or 'none of these'; above 0.5,
            or the largest share.
        use: for training, or only for measuring.
        seq: the newest answer behind it.
        inherited: the image is an exact copy; the answers were given to the first of the copies.
    """

    image_id: int
    class_id: int
    annotators: tuple[str, ...]
    agreement: float
    use: LabelUse
    seq: int
    inherited: bool


@dataclass(frozen=True)
class Conflict:
    """An image on which people disagree without a majority.

    Attributes:
        image_id: the image.
        name: its file.
        votes: name of the annotator, action, and class for the action ``class``; in the order of answers.
    """

    image_id: int
    name: str
    votes: tuple[tuple[str, Action, int | None], ...]


@dataclass(frozen=True)
class Agreement:
    """How far people agree beyond chance, over the images that at least two of them answered.

    Attributes:
        kappa: Cohen's for two people, Fleiss' for more; 1 is full agreement, 0 is chance; None when chance
            alone would agree always or no image was answered twice.
        measure: which one it is.
        images: how many images it rests on.
        annotators: how many people answered these.
        equal: the share of these images on which all agree; None without images.
    """

    kappa: float | None
    measure: Literal["cohen", "fleiss"]
    images: int
    annotators: int
    equal: float | None


@dataclass(frozen=True)
class Anchoring:
    """How often the class given equals the one suggested, by whether the suggestion was shown.

    Only first answers to cards outside the estimate slice count; ``hidden`` is the random tenth, ``shown`` the
    others.
    A share in ``shown`` that is clearly larger means that suggestions pull answers towards themselves.
    """

    shown: int
    shown_equal: int
    hidden: int
    hidden_equal: int


@dataclass(frozen=True)
class Pace:
    """How fast somebody labels.

    Attributes:
        labels_per_minute: over the last five minutes, from the first answer in them; 0 after a longer pause.
        left: labels that are still to be given: of the budget, but no more than there are images for.
        seconds_left: that these take at that pace; None when it is unknown.
        round_seconds_left: that the images take which the newest round has asked for, with those that
            measure among them; None when it is unknown.
    """

    labels_per_minute: float
    left: int
    seconds_left: float | None
    round_seconds_left: float | None
