"""Add the model of a trained round to the project: classifier, predictions, accuracy estimate, advice, pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image

from aral.annotation import ModelRecord, Project
from aral.annotation.accuracy_estimate import class_figures, estimate_accuracy
from aral.annotation.advice import Unknown, advise
from aral.annotation.classifier import Classifier, Description, figures
from aral.annotation.generated_images import why_hidden
from aral.annotation.training_run import TrainingRun
from aral.data.batches import gather
from aral.durable import prune
from aral.learners import Gallery, Learner, LearnerSettings
from aral.randomness import Stream

MODELS = "models"
KEPT_MODELS = 20

OUTDATED = 1.3
"""A slower learner's model gives way to a quick one's that was trained on so many times its labels."""

GENERATED_PER_CLASS = 8
COMPARED_PHOTOS = 100
MOST_PICTURED_CLASSES = 12
LEAST_PICTURE_SIDE = 48


def is_outdated(labels: int, quick_labels: int) -> bool:
    """Whether a slower learner's model of so many labels gives way to a quick one's."""
    return quick_labels > OUTDATED * labels


def add_model(run: TrainingRun) -> None:
    """Add the model of the last trained round to the project; may be repeated after a kill.

    The model of a quick learner is left out while a slower learner's, trained on nearly as many labels, stands.

    Raises:
        BadInput: the learner's classifier cannot be saved.
        RunFailed: the disk is full.
    """
    session = run.session
    session.repair()
    labelled = run.estimate_labels()
    if len(labelled):
        session.evaluate(labelled)
    trained = run.trained_labels()
    standing = run.refined_model()
    if standing is not None and not is_outdated(standing.trained_on, len(trained)):
        run.record_model(standing.number)
        return
    run.record_model(publish(run, _trained(run)))


def add_quick(run: TrainingRun, reason: str) -> None:
    """Add the model of the last trained round in place of a slower learner's that has turned out to be worse.

    Args:
        run: a quick one.
        reason: why, one sentence.
    """
    run.session.repair()
    if run.refined_model() is not None:
        run.record_model(publish(run, replace(_trained(run), reason=reason)))


def _trained(run: TrainingRun) -> Trained:
    """The learner of the last trained round."""
    number = run.session.round_number - 1
    return Trained(
        run.session.learner,
        run.spec.learner,
        run.trained_labels(),
        _train_seconds(run, number),
        f"{MODELS}/{run.number:02d}-{number:04d}",
    )


def refined_folder(run: TrainingRun, settings: LearnerSettings) -> str:
    """The folder of the model that a slower learner makes beside that of the last trained round."""
    return f"{MODELS}/{run.number:02d}-{run.session.round_number - 1:04d}-{settings.name}"


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained learner that is to be the project's model.

    Attributes:
        learner: with its weights.
        settings: of it.
        labels: class index by image, what it was trained on.
        seconds: how long that took.
        folder: of its classifier, relative to the project's folder.
        reason: why it is used, one sentence; may be empty.
    """

    learner: Learner
    settings: LearnerSettings
    labels: Mapping[int, int]
    seconds: float
    folder: str
    reason: str = ""


def publish(run: TrainingRun, model: Trained) -> int:
    """Save a classifier, record it as the newest model and store its predictions; may be repeated after a kill.

    Returns its number. The predictions are stored after the model's record, because suggestions refer to it.
    """
    project, settings = run.project, model.settings.as_built()
    classifier = Classifier.of(
        settings, model.learner.state_dict(), _description(run, settings), run.images.projection
    )
    record = _model_record(run, classifier, model)
    classifier = _with_figures(classifier, record)
    classifier.save(project.folder / record.folder)
    model_number = project.models.record(record)
    everything = run.images.everything
    project.predictions.replace(
        model_number, everything.ids, list(run.class_ids), classifier.probabilities(everything)
    )
    _add_generated_images(run, classifier, model.learner, model_number)
    update_advice(project, run.query_size)
    _prune(project)
    return model_number


def _add_generated_images(
    run: TrainingRun, classifier: Classifier, learner: Learner, model_number: int
) -> None:
    """Store a picture of what the generator makes, or the reason why it shows nothing."""
    project, everything = run.project, run.images.everything
    signs = run.session.generator_signs() if learner is run.session.learner else ""
    if everything.is_features:  # these are no images: only a generator of no use is worth a word
        if signs:
            project.models.hide_generated_images(model_number, _of_no_use("features", signs))
        return
    gallery = learner.gallery(
        run.images.pool.subset(run.images.pool.ids[:1]),
        GENERATED_PER_CLASS,
        Stream.root(run.spec.seed).child("gallery"),
    )
    if gallery is None:
        return
    hidden = why_hidden(gallery, classifier, gather(everything, everything.ids[:COMPARED_PHOTOS], False))
    hidden = hidden or (_of_no_use("images", signs) if signs else "")
    if hidden:
        project.models.hide_generated_images(model_number, hidden)
    else:
        project.models.set_generated_images(model_number, picture(gallery))


def _of_no_use(what: str, signs: str) -> str:
    return f"Generated {what} teach the classifier little: {signs}."


def update_estimate(run: TrainingRun) -> bool:
    """Estimate the newest model's accuracy again if labels of the estimate set have changed; False if none has.

    Raises:
        BadInput: its folder is damaged.
    """
    project = run.project
    if run.session.round_number < 1:
        return False
    newest = project.models.all()[-1]
    labelled = run.estimate_labels()
    before = 0 if newest.estimate is None else newest.estimate.count
    if len(labelled) == before and _labels_by_class(newest) == _counts(labelled.classes, run.class_count):
        return False
    classifier = Classifier.load(project.folder / newest.folder)
    trained = np.repeat(np.arange(run.class_count), [each.labels for each in newest.per_class])
    project.models.record(_with_estimate(run, classifier, newest, trained))
    update_advice(project, run.query_size)
    return True


def update_advice(project: Project, next_labels: int) -> None:
    """Store how much accuracy the next labels would gain, if that can be estimated."""
    advice = advise(project.models.all(), next_labels)
    project.models.set_advice(None if isinstance(advice, Unknown) else advice)


def _model_record(run: TrainingRun, classifier: Classifier, model: Trained) -> ModelRecord:
    """The record of a new model."""
    number = run.session.round_number - 1
    record = ModelRecord(
        round=run.first_round + number,
        folder=model.folder,
        trained_on=len(model.labels),
        seconds=model.seconds,
        class_ids=run.class_ids,
        newest_answer=_newest_trained_answer(run, model.labels),
        method=model.settings.title,
        reason=model.reason,
    )
    return _with_estimate(run, classifier, record, np.array(list(model.labels.values()), dtype=np.int64))


def _with_estimate(
    run: TrainingRun, classifier: Classifier, record: ModelRecord, trained: Int64[np.ndarray, " n"]
) -> ModelRecord:
    """A record with the figures on the estimate set as it is now.

    Args:
        run: the training run.
        classifier: the model's.
        record: of the model.
        trained: classes of the labels that it was trained on.
    """
    labelled = run.estimate_labels()
    estimate, confusion = estimate_accuracy(classifier.probabilities(labelled.images), labelled.classes)
    if estimate is not None:
        late = np.isin(labelled.images.ids, run.project.estimate.late_ids()).sum()
        estimate = replace(estimate, late=int(late))
    spent = record.trained_on + len(labelled)
    return replace(
        record,
        estimate=estimate,
        per_class=class_figures(run.class_ids, confusion, trained),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        curve_point=None if estimate is None else (spent, estimate.accuracy),
    )


def _with_figures(classifier: Classifier, record: ModelRecord) -> Classifier:
    """The same classifier, with the figures of its record in its description."""
    description = replace(classifier.description, facts=figures(record))
    return Classifier(description, classifier.network.state_dict(), classifier.projection)


def picture(gallery: Gallery) -> bytes:
    """The generated images as a JPEG, one row for each class."""
    images = gallery.generated[:MOST_PICTURED_CLASSES]
    rows, columns, channels, height, width = images.shape
    sheet = images.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    pixels = (sheet * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    scale = math.ceil(LEAST_PICTURE_SIDE / height)
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _description(run: TrainingRun, settings: LearnerSettings) -> Description:
    names = {each.id: each.name for each in run.project.classes.all()}
    return Description(
        settings.networks,
        run.images.pool.shape,
        tuple(names.get(class_id, str(class_id)) for class_id in run.class_ids),
        run.class_ids,
        settings.latent_size,
        {},
        run.features_of,
    )


def _train_seconds(run: TrainingRun, number: int) -> float:
    rows = [row.value for row in run.store.metrics("train seconds") if row.round == number]
    return float(sum(rows))


def _newest_trained_answer(run: TrainingRun, trained: Mapping[int, int]) -> int:
    """The newest answer behind a label that was trained on and has not changed since; 0 without one."""
    index = {class_id: position for position, class_id in enumerate(run.class_ids)}
    return max(
        (
            label.seq
            for label in run.project.labels.all()
            if label.use == "training"
            and not label.inherited
            and trained.get(label.image_id) == index.get(label.class_id, -1)
        ),
        default=0,
    )


def _labels_by_class(model: ModelRecord) -> list[int]:
    return [sum(row) for row in model.confusion]


def _counts(classes: np.ndarray, class_count: int) -> list[int]:
    return [int(count) for count in np.bincount(classes, minlength=class_count)]


def _prune(project: Project) -> None:
    """Keep the folders of the newest models only; the records of all models stay."""
    kept = {Path(model.folder).name for model in project.models.all()[-KEPT_MODELS:]}
    prune(project.folder / MODELS, kept)
