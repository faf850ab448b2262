"""Add the model of a trained round to the project: classifier, predictions, accuracy estimate, advice, pictures."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aral.annotation import ModelRecord, Project
from aral.annotation.accuracy_estimate import class_figures, estimate_accuracy
from aral.annotation.advice import Unknown, advise
from aral.annotation.classifier import Classifier, Description, figures
from aral.annotation.generated_images import why_hidden
from aral.annotation.training_run import TrainingRun
from aral.data.batches import gather
from aral.durable import prune
from aral.learners import Gallery
from aral.randomness import Stream

MODELS = "models"
KEPT_MODELS = 20
GENERATED_PER_CLASS = 8
COMPARED_PHOTOS = 100
MOST_PICTURED_CLASSES = 12
LEAST_PICTURE_SIDE = 48


def add_model(run: TrainingRun) -> ModelRecord:
    """Add the model of the last trained round to the project; may be repeated after a kill.

    The predictions are stored after the model's record, because suggestions refer to it.

    Raises:
        BadInput: the learner's classifier cannot be saved.
        RunFailed: the disk is full.
    """
    session, project = run.session, run.project
    number = session.round_number - 1
    session.repair()
    labelled = run.estimate_labels()
    if len(labelled):
        session.evaluate(labelled)
    classifier = Classifier.of(run.spec.learner, session.learner.state_dict(), _description(run))
    record = _model_record(run, classifier, _train_seconds(run, number))
    classifier = _with_figures(classifier, record)
    classifier.save(project.folder / record.folder)
    model_number = project.models.record(record)
    everything = run.images.everything
    project.predictions.replace(
        model_number, everything.ids, list(run.class_ids), classifier.probabilities(everything)
    )
    gallery = session.learner.gallery(
        run.images.pool.subset(run.images.pool.ids[:1]),
        GENERATED_PER_CLASS,
        Stream.root(run.spec.seed).child("gallery"),
    )
    if gallery is not None:
        hidden = why_hidden(gallery, classifier, gather(everything, everything.ids[:COMPARED_PHOTOS], False))
        if hidden:
            project.models.hide_generated_images(model_number, hidden)
        else:
            project.models.set_generated_images(model_number, picture(gallery))
    update_advice(project, run.query_size)
    run.record_model(model_number)
    _prune(project)
    return record


def update_estimate(run: TrainingRun) -> bool:
    """Estimate the newest model's accuracy again if labels of the estimate set have changed; False if none has.

    Raises:
        BadInput: its folder is damaged.
    """
    project = run.project
    number = run.session.round_number - 1
    if number < 0:
        return False
    newest = project.models.all()[-1]
    labelled = run.estimate_labels()
    before = 0 if newest.estimate is None else newest.estimate.count
    if len(labelled) == before and _labels_by_class(newest) == _counts(labelled.classes, run.class_count):
        return False
    classifier = Classifier.load(project.folder / newest.folder)
    project.models.record(_model_record(run, classifier, newest.seconds))
    update_advice(project, run.query_size)
    return True


def update_advice(project: Project, next_labels: int) -> None:
    """Store how much accuracy the next labels would gain, if that can be estimated."""
    advice = advise(project.models.all(), next_labels)
    project.models.set_advice(None if isinstance(advice, Unknown) else advice)


def _model_record(run: TrainingRun, classifier: Classifier, seconds: float) -> ModelRecord:
    """The record of the last trained round."""
    number = run.session.round_number - 1
    labelled = run.estimate_labels()
    estimate, confusion = estimate_accuracy(classifier.probabilities(labelled.images), labelled.classes)
    if estimate is not None:
        late = np.isin(labelled.images.ids, run.project.estimate.late_ids()).sum()
        estimate = replace(estimate, late=int(late))
    trained = run.trained_labels()
    spent = len(trained) + len(labelled)
    return ModelRecord(
        round=run.first_round + number,
        folder=f"{MODELS}/{run.number:02d}-{number:04d}",
        trained_on=len(trained),
        seconds=seconds,
        class_ids=run.class_ids,
        estimate=estimate,
        per_class=class_figures(run.class_ids, confusion, np.array(list(trained.values()), dtype=np.int64)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        curve_point=None if estimate is None else (spent, estimate.accuracy),
        newest_answer=_newest_trained_answer(run),
    )


def _with_figures(classifier: Classifier, record: ModelRecord) -> Classifier:
    """The same classifier, with the figures of its record in its description."""
    return Classifier(replace(classifier.description, facts=figures(record)), classifier.network.state_dict())


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


def _description(run: TrainingRun) -> Description:
    names = {each.id: each.name for each in run.project.classes.all()}
    return Description(
        run.spec.learner.networks,
        run.images.pool.shape,
        tuple(names.get(class_id, str(class_id)) for class_id in run.class_ids),
        run.class_ids,
        run.spec.learner.latent_size,
        {},
    )


def _train_seconds(run: TrainingRun, number: int) -> float:
    rows = [row.value for row in run.store.metrics("train seconds") if row.round == number]
    return float(sum(rows))


def _newest_trained_answer(run: TrainingRun) -> int:
    """The newest answer behind a label that was trained on and has not changed since; 0 without one."""
    trained = run.trained_labels()
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
