"""What a trained round comes to: classifier, predictions, figures, advice, a picture of generated images."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aral.annotation import ModelRecord, Project
from aral.annotation.advice import Unknown, advise
from aral.annotation.classifier import Classifier, Description
from aral.annotation.course import Course
from aral.annotation.estimate_figures import class_figures, measure
from aral.annotation.training_images import Answers
from aral.durable import prune
from aral.learners import Gallery
from aral.randomness import Stream

MODELS = "models"
KEPT_MODELS = 20
GENERATED_PER_CLASS = 8
MOST_PICTURED_CLASSES = 12
LEAST_PICTURE_SIDE = 48


def publish(course: Course, answers: Answers) -> ModelRecord:
    """Bring the last trained round into the project; a repetition after a kill changes nothing.

    Predictions come last of what people see, because suggestions are made of them.

    Raises:
        BadInput: the learner's classifier cannot be kept.
        RunFailed: the disk is full.
    """
    session, project = course.session, course.project
    number = session.round_number - 1
    session.repair()
    measured = answers.measured(course.class_ids, course.images.everything)
    if len(measured):
        session.evaluate(measured)
    classifier = Classifier.of(course.spec.learner, session.learner.state_dict(), _description(course))
    record = model_record(course, answers, classifier, _seconds(course, number))
    name = f"{course.number:02d}-{number:04d}"
    classifier = with_facts(classifier, record)
    classifier.save(project.folder / MODELS / name)
    model_number = project.record_model(record)
    everything = course.images.everything
    project.set_predictions(
        model_number, everything.ids, list(course.class_ids), classifier.probabilities(everything)
    )
    gallery = session.learner.gallery(
        course.images.pool.subset(course.images.pool.ids[:1]),
        GENERATED_PER_CLASS,
        Stream.root(course.spec.seed).child("gallery"),
    )
    if gallery is not None:
        project.set_generated(model_number, picture(gallery))
    give_advice(project, course.query_size)
    course.mark_published(model_number)
    _prune(project)
    return record


def measure_again(course: Course, answers: Answers) -> bool:
    """Bring the newest model's figures up to the answers in the estimate slice; False if there is no news.

    Raises:
        BadInput: its folder is damaged.
    """
    project = course.project
    number = course.session.round_number - 1
    if number < 0:
        return False
    newest = project.models()[-1]
    measured = answers.measured(course.class_ids, course.images.everything)
    before = 0 if newest.estimate is None else newest.estimate.count
    if len(measured) == before and _shown(newest) == _counts(measured.classes, course.class_count):
        return False
    classifier = Classifier.load(project.folder / newest.folder)
    project.record_model(model_record(course, answers, classifier, newest.seconds))
    give_advice(project, course.query_size)
    return True


def give_advice(project: Project, next_labels: int) -> None:
    """Say what the next labels would bring, as far as that can be told."""
    advice = advise(project.models(), next_labels)
    project.set_advice(None if isinstance(advice, Unknown) else advice)


def model_record(course: Course, answers: Answers, classifier: Classifier, seconds: float) -> ModelRecord:
    """The figures of the last trained round."""
    number = course.session.round_number - 1
    measured = answers.measured(course.class_ids, course.images.everything)
    estimate, confusion = measure(classifier.probabilities(measured.images), measured.classes)
    if estimate is not None:
        late = np.isin(measured.images.ids, course.project.late_in_slice()).sum()
        estimate = replace(estimate, late=int(late))
    trained = course.trained_on(number)
    spent = len(trained) + len(measured)
    return ModelRecord(
        round=course.first_round + number,
        folder=f"{MODELS}/{course.number:02d}-{number:04d}",
        trained_on=len(trained),
        seconds=seconds,
        class_ids=course.class_ids,
        estimate=estimate,
        per_class=class_figures(
            course.class_ids, confusion, np.array(list(trained.values()), dtype=np.int64)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        curve_point=None if estimate is None else (spent, estimate.accuracy),
        newest_answer=_newest_trained(course, answers),
    )


def with_facts(classifier: Classifier, record: ModelRecord) -> Classifier:
    """The same classifier, its description completed by the figures."""
    estimate = record.estimate
    facts = {
        "round": record.round,
        "trained_on": record.trained_on,
        "accuracy": estimate.accuracy if estimate else None,
        "accuracy_low": estimate.low if estimate else None,
        "accuracy_high": estimate.high if estimate else None,
        "measured_on": estimate.count if estimate else 0,
    }
    description = classifier.description
    described = Description(
        description.family,
        description.shape,
        description.class_names,
        description.class_ids,
        description.latent_size,
        facts,
    )
    return Classifier(described, classifier.network.state_dict())


def picture(gallery: Gallery) -> bytes:
    """One row of generated images a class, as a JPEG."""
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


def _description(course: Course) -> Description:
    names = {each.id: each.name for each in course.project.classes()}
    return Description(
        course.spec.learner.networks,
        course.images.pool.shape,
        tuple(names.get(class_id, str(class_id)) for class_id in course.class_ids),
        course.class_ids,
        course.spec.learner.latent_size,
        {},
    )


def _seconds(course: Course, number: int) -> float:
    rows = [row.value for row in course.store.metrics("train seconds") if row.round == number]
    return float(sum(rows))


def _newest_trained(course: Course, answers: Answers) -> int:
    """The newest answer behind a label that was trained on as it stands; answers since then are newer."""
    trained = course.trained_on(course.session.round_number - 1)
    index = {class_id: place for place, class_id in enumerate(course.class_ids)}
    seqs = [
        answers.seq[image_id]
        for image_id, class_id in answers.training.items()
        if trained.get(image_id) == index.get(class_id, -1)
    ]
    return max(seqs, default=0)


def _shown(model: ModelRecord) -> list[int]:
    return [sum(row) for row in model.confusion]


def _counts(classes: np.ndarray, class_count: int) -> list[int]:
    return [int(count) for count in np.bincount(classes, minlength=class_count)]


def _prune(project: Project) -> None:
    """Keep the folders of the newest models; their figures stay in any case."""
    kept = {Path(model.folder).name for model in project.models()[-KEPT_MODELS:]}
    prune(project.folder / MODELS, kept)
