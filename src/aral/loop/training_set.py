"""What a round trains on: written down before it starts, so that answers arriving meanwhile cannot change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aral.errors import BadInput
from aral.loop import Store
from aral.loop.validation import Validator
from aral.types import Answer, Ids, ImageSet, LabelledSet, NoClass, NoClassAnswer

DOCUMENT = "training set"
NOT_A_CLASS = (NoClass.BAD_IMAGE, NoClass.NONE_OF_THESE)
"""Answers after which an image is not trained on at all."""


@dataclass(frozen=True)
class TrainingSet:
    """The images of a round.

    Attributes:
        labelled: those with a class.
        unlabelled: the rest, without those that were found to have none.
        ood: ids of images that people answered 'none of these'; in neither of the two.
    """

    labelled: LabelledSet
    unlabelled: ImageSet
    ood: Ids


def ood_images(answers: Iterable[Answer]) -> Ids:
    """Ids of the images that were answered 'none of these', ascending."""
    return _without_class(answers, (NoClass.NONE_OF_THESE,))


def fix(store: Store, number: int, validator: Validator | None) -> None:
    """Write down what a round trains on, unless that was done before.

    Raises:
        BadInput: there is no labelled image, or all are kept for validation.
    """
    if store.document(number, DOCUMENT) is not None:
        return
    ids, classes = store.labels()
    if not ids.size:
        raise BadInput("There is no labelled image to train on.", "Answer some of the images of ask().")
    answers = list(store.answers())
    excluded = _without_class(answers, NOT_A_CLASS).tolist()
    # The document is last, because its presence means that all the rest is there.
    store.record_round(number, int(ids.size))
    if validator is not None:
        trained = np.isin(ids, validator.fix(number, ids, classes))
        excluded += ids[~trained].tolist()
        ids, classes = ids[trained], classes[trained]
    body = {"ids": ids.tolist(), "classes": classes.tolist(), "excluded": excluded}
    store.record_document(number, DOCUMENT, body | {"ood": ood_images(answers).tolist()})


def read(store: Store, number: int, pool: ImageSet, class_count: int) -> TrainingSet:
    """What :func:`fix` has written down; rounds of earlier versions know no foreign images."""
    body = store.document(number, DOCUMENT)
    assert isinstance(body, dict)
    ids, classes, excluded, ood = (
        np.array(body.get(key, []), dtype=np.int64) for key in ("ids", "classes", "excluded", "ood")
    )
    labelled = LabelledSet(pool.subset(ids), classes, class_count)
    return TrainingSet(labelled, pool.without(np.concatenate([ids, excluded])), ood)


def _without_class(answers: Iterable[Answer], reasons: tuple[NoClass, ...]) -> Ids:
    found = {
        answer.image_id
        for answer in answers
        if isinstance(answer, NoClassAnswer) and answer.reason in reasons
    }
    return np.array(sorted(found), dtype=np.int64)
