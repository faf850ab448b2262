"""How often the estimate's interval holds the true accuracy: many small projects, each through the real code.

Images are imported, the project draws its estimate slice, a scripted person answers what the project asks, the
trainer trains and measures. After every round the interval that people would see is compared with the share of
right predictions of the same model over all images of the pool, and over those that were never trained on.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from aral import Stream, load
from aral.annotation import AnswerEvent, Project, Trainer, TrainingOptions
from photo_folders import write_images

SMALL = (
    "learner.networks.widths=[8, 16, 32, 64]",
    "learner.networks.depth=1",
    "learner.networks.encoder_widths=[8, 8, 8]",
    "learner.networks.generator_widths=[8, 8, 8]",
    "learner.training.steps=100",
    "learner.training.labelled_batch=32",
    "learner.training.unlabelled_batch=32",
    "learner.training.warm_up=0",
    "learner.training.average_decay=0.9",
    "learner.training.generate_every=20",
    'learner.training.precision="float32"',
    "learner.pretraining.steps=80",
    "learner.pretraining.imitation_steps=60",
)
IMAGES = 1000
MOST_TURNS = 200


def one_seed(seed: int, budget: int, query_size: int) -> dict[str, Any]:
    """One small project from its import to its last round; a row with its intervals."""
    begin = time.process_time()
    data = load("digits").limited(IMAGES, None, Stream.root(seed))
    # The slice goes by the number of an image in the folder: another order is another slice.
    order = np.random.default_rng(seed).permutation(len(data.pool))
    names = [f"{place:05d}.png" for place in range(len(order))]
    pixels = data.pool.pixels[:, 0].numpy()
    truth = dict(zip(names, data.pool_classes[order].tolist(), strict=True))
    options = TrainingOptions(query_size=query_size, seed=seed, threads=1, settings=SMALL)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        write_images(photos, [pixels[row] for row in order], names)
        with Project.create_or_open(photos, None, data.class_names, budget) as project:
            project.images.sync()
            rounds = _rounds(project, truth, options)
            slice_size = int(project.estimate.image_ids().size)
    return {"slice": slice_size, "cpu_seconds": round(time.process_time() - begin, 1), "rounds": rounds}


def _rounds(project: Project, truth: Mapping[str, int], options: TrainingOptions) -> list[dict[str, Any]]:
    """Label until the budget is spent; one row for each round."""
    names = {
        image_id: project.images.get(image_id).name for image_id in project.images.labelable_ids().tolist()
    }
    classes = {image_id: truth[name] for image_id, name in names.items()}
    budget = project.settings.get().budget or 0
    rows: list[dict[str, Any]] = []
    trainer = Trainer(project, options)
    _let_work(trainer)
    while project.labels.counts().labelled < budget:
        _answer_query(project, classes, budget)
        _let_work(trainer)
        rows.append(_compare(project, classes))
    trainer.close()
    return rows


def _let_work(trainer: Trainer) -> None:
    for _ in range(MOST_TURNS):
        if not trainer.turn():
            return
    raise RuntimeError("the trainer never comes to rest")


def _answer_query(project: Project, classes: Mapping[int, int], budget: int) -> None:
    """Answer as the project asks until nothing of its query is open, one image at least."""
    while True:
        (card,) = project.queue.next_cards("Ann", 1)
        class_id = classes[card.image_id]
        project.annotations.append(
            AnswerEvent(f"answer-{card.image_id}", card.image_id, "Ann", "class", class_id)
        )
        if not project.queue.remaining() or project.labels.counts().labelled >= budget:
            return


def _compare(project: Project, classes: Mapping[int, int]) -> dict[str, Any]:
    """The newest model's interval and its true accuracies."""
    newest = project.models.all()[-1]
    said = {image_id: project.predictions.get(image_id) for image_id in classes}
    right = {
        image_id: one is not None and one.class_id == classes[image_id] for image_id, one in said.items()
    }
    trained = {label.image_id for label in project.labels.all() if label.use == "training"}
    pool = mean(right.values())
    rest = mean(is_right for image_id, is_right in right.items() if image_id not in trained)
    row: dict[str, Any] = {"labels": newest.trained_on, "pool_accuracy": round(pool, 4)}
    row["never_trained_accuracy"] = round(rest, 4)
    if newest.estimate is not None:
        low, high = newest.estimate.low, newest.estimate.high
        row |= {"measured_on": newest.estimate.count, "estimate": round(newest.estimate.accuracy, 4)}
        row |= {"low": round(low, 4), "high": round(high, 4)}
        row |= {"covers_pool": low <= pool <= high, "covers_never_trained": low <= rest <= high}
    return row


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of intervals that hold the truth, and how wide they are; the error by seeds, not by rounds.

    Rounds of one seed share their slice, so they are no independent trials.
    """
    measured = [[each for each in row["rounds"] if "low" in each] for row in rows]
    measured = [rounds for rounds in measured if rounds]
    intervals = [each for rounds in measured for each in rounds]
    last = [rounds[-1] for rounds in measured]
    found: dict[str, Any] = {"projects": len(measured), "intervals": len(intervals)}
    if not intervals:
        return found
    for name in ("covers_pool", "covers_never_trained"):
        shares = [mean(each[name] for each in rounds) for rounds in measured]
        found[name] = round(mean(each[name] for each in intervals), 4)
        if len(shares) > 1:
            found[f"{name}_standard_error"] = round(stdev(shares) / len(shares) ** 0.5, 4)
        found[f"{name}_last_round"] = round(mean(each[name] for each in last), 4)
    found["mean_width"] = round(mean(each["high"] - each["low"] for each in intervals), 4)
    found["mean_width_last_round"] = round(mean(each["high"] - each["low"] for each in last), 4)
    found["mean_error"] = round(mean(each["estimate"] - each["pool_accuracy"] for each in intervals), 4)
    return found
