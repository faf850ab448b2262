"""What a round is trained on: recorded before it starts, so that later answers cannot change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aral.errors import BadInput
from aral.loop.labels import CurrentLabels
from aral.loop.run_store import Store
from aral.loop.validation import Validator
from aral.types import Answer, ClassAnswer, Ids, ImageSet, LabelledSet, NoClass, NoClassAnswer

DOCUMENT = "training set"


@dataclass(frozen=True)
class TrainingSet:
    """The images of a round.

    Attributes:
        labelled: the images with a class.
        unlabelled: the rest of the pool, without bad and out-of-distribution images.
        ood: ids of the out-of-distribution images; in neither of the two.
    """

    labelled: LabelledSet
    unlabelled: ImageSet
    ood: Ids


def record_training_set(
    store: Store, number: int, labels: CurrentLabels, validator: Validator | None
) -> None:
    """Record what a round is trained on, unless that was done before.

    Raises:
        BadInput: there is no labelled image, or all are kept for validation.
    """
    if is_recorded(store, number):
        return
    labels.refresh()
    ids, classes = labels.labels()
    if not ids.size:
        raise BadInput("There is no labelled image to train on.", "Answer some of the images of ask().")
    excluded = labels.excluded().tolist()
    # The document is last, because its presence means that all the rest is there.
    store.record_round(number, int(ids.size))
    if validator is not None:
        trained = np.isin(ids, validator.record_images(number, ids, classes))
        excluded += ids[~trained].tolist()
        ids, classes = ids[trained], classes[trained]
    body = {
        "ids": ids.tolist(),
        "classes": classes.tolist(),
        "excluded": excluded,
        "ood": labels.ood().tolist(),
        **{reason.value: labels.without_class(reason).tolist() for reason in (NoClass.SKIP, NoClass.UNSURE)},
    }
    store.record_document(number, DOCUMENT, body)


def is_recorded(store: Store, number: int) -> bool:
    """Whether it is settled what a round is trained on."""
    return store.document(number, DOCUMENT) is not None


def read_training_set(store: Store, number: int, pool: ImageSet, class_count: int) -> TrainingSet:
    """What :func:`record_training_set` has recorded; early versions did not record ``ood``."""
    body = store.document(number, DOCUMENT)
    assert isinstance(body, dict)
    ids, classes, excluded, ood = (
        np.array(body.get(key, []), dtype=np.int64) for key in ("ids", "classes", "excluded", "ood")
    )
    labelled = LabelledSet(pool.subset(ids), classes, class_count)
    return TrainingSet(labelled, pool.without(np.concatenate([ids, excluded])), ood)


def trained_classes(store: Store, number: int) -> dict[int, int]:
    """Class index by image of the labels that a round was trained on; empty for a round that was not."""
    body = store.document(number, DOCUMENT)
    return dict(zip(body["ids"], body["classes"], strict=True)) if isinstance(body, dict) else {}


def known_answers(store: Store, number: int) -> list[Answer]:
    """The answers that were known when a round was trained, without those kept for validation.

    For reports on a run whose log of labels is elsewhere, in a project.
    """
    body = store.document(number, DOCUMENT)
    if not isinstance(body, dict):
        return []
    answers: list[Answer] = [ClassAnswer(*pair) for pair in trained_classes(store, number).items()]
    ood = set(body.get("ood", []))
    answers += [NoClassAnswer(image_id, NoClass.NONE_OF_THESE) for image_id in ood]
    answers += [
        NoClassAnswer(image_id, NoClass.BAD_IMAGE) for image_id in body["excluded"] if image_id not in ood
    ]
    for reason in (NoClass.SKIP, NoClass.UNSURE):
        answers += [NoClassAnswer(image_id, reason) for image_id in body.get(reason.value, [])]
    return sorted(answers, key=lambda answer: answer.image_id)
