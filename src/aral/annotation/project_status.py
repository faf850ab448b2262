"""The status of a project, as JSON facts and as sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aral.annotation import ModelRecord, Project, ZeroShot
from aral.annotation.advice import Unknown, advise, estimate_sentence, sampling_note
from aral.annotation.estimate import LEAST
from aral.annotation.predictions import zero_shot_sentence
from aral.annotation.training_folders import session_folders
from aral.annotation.worker_lock import WorkerRecord
from aral.plural import counted

DEFAULT_NEXT = 50


@dataclass(frozen=True)
class Status:
    """The status of a project.

    Attributes:
        facts: JSON values, for programs.
        sentences: the same in words.
    """

    facts: dict[str, Any]
    sentences: tuple[str, ...]

    def as_json(self) -> str:
        """The facts as JSON."""
        return json.dumps(self.facts, indent=2)


def status(project: Project) -> Status:
    """The current status of a project; nothing is changed."""
    counts, settings = project.labels.counts(), project.settings.get()
    models, training = project.models.all(), project.models.training_state()
    labels = [label for label in project.labels.all() if not label.inherited]
    per_class = {
        each.name: sum(label.class_id == each.id for label in labels) for each in project.classes.all()
    }
    estimate = next((model.estimate for model in reversed(models) if model.estimate), None)
    advice = advise(models, DEFAULT_NEXT)
    unreadable, files = project.images.unreadable(), project.images.status_counts()
    in_set = int(project.estimate.image_ids().size)
    missing, finish = project.labels.missing_in_estimate(), project.finish()
    worker = project.worker.current()
    sessions, zero_shot = session_folders(project.folder), project.predictions.zero_shot()
    facts = {
        "photos": str(project.photos.name),
        "read only": project.read_only,
        "images": project.images.count(),
        "unreadable": len(unreadable),
        "unreadable files": [asdict(each) for each in unreadable],
        "missing": files.get("missing", 0),
        "changed": files.get("changed", 0),
        "classes": per_class,
        "budget": settings.budget,
        "counts": asdict(counts),
        "estimate slice": in_set,
        "queue left": project.queue.remaining(),
        "training": asdict(training),
        "database": project.server or None,
        "training worker": asdict(worker) if worker else None,
        "models": len(models),
        "suggestions": _suggestions(zero_shot, models),
        "estimate": asdict(estimate) if estimate else None,
        "estimate missing": list(missing),
        "finish": asdict(finish) if finish else None,
        "advice": advice.reason if isinstance(advice, Unknown) else asdict(advice),
        "annotators": [each.name for each in project.annotators.all()],
        "session": sessions[-1][1].name if sessions else None,
    }
    given = counted(counts.labelled, "label")
    if settings.budget is not None:
        given = f"{counts.labelled} of {counted(settings.budget, 'label')}"
    by_class = ", ".join(f"{name} {count}" for name, count in per_class.items()) or "no classes yet"
    sentences = [
        f"{counted(project.images.count(), 'image')}; {counted(len(unreadable), 'file')} could not be read, "
        f"{counted(files.get('missing', 0), 'is', 'are')} missing and "
        f"{counted(files.get('changed', 0), 'has', 'have')} changed since they were read.",
        f"{given}: {counts.for_training} for training, {counts.for_estimate} in the estimate set ({by_class}).",
        f"{counts.skipped} skipped, {counts.unsure} unsure, {counted(counts.bad, 'bad image')}, "
        f"{counts.none} with none of the classes, {counts.conflicts} with a disagreement.",
        f"Training: {training.phase}. {training.message}".strip(),
        *([f"The database is {project.server}. {worker_sentence(worker)}"] if project.server else []),
        f"{counted(len(models), 'round is', 'rounds are')} trained. {estimate_sentence(estimate)}"
        if models
        else "Nothing is trained yet.",
    ]
    if missing:
        sentences.append(
            f"The estimate set has no image of {', '.join(missing)}: the accuracy says nothing about "
            f"{'it' if len(missing) == 1 else 'them'}. "
            f"Draw more: aral label {project.photos} --estimate-size {in_set + LEAST}"
        )
    if finish:
        sentences.append(
            f"The budget is spent. To go on: aral label {project.photos} --budget {finish.budget + DEFAULT_NEXT}"
        )
    if project.read_only:
        sentences.insert(0, "The project is read only here: it can be looked at and exported, not labelled.")
    if unreadable:
        sentences.insert(1, "Files and reasons: aral status --json, or unreadable.csv of aral export.")
    if estimate is not None:
        sentences.append(sampling_note(estimate))
    if zero_shot:
        sentences.append(zero_shot_sentence(zero_shot))
    if models and models[-1].method:
        newest = models[-1]
        sentences.append(
            f"The newest model is {newest.method}, trained on {counted(newest.trained_on, 'label')}. "
            f"{newest.reason}".strip()
        )
    if models:
        sentences.append(advice.reason if isinstance(advice, Unknown) else advice.sentence)
    return Status(facts, tuple(sentences))


def worker_sentence(worker: WorkerRecord | None) -> str:
    """Where the training worker of a project on a server runs, as a sentence."""
    if worker is None:
        return "No training worker is running."
    return f"The training worker is process {worker.pid} on {worker.host}, since {worker.since[:16]} UTC."


def _suggestions(zero_shot: ZeroShot | None, models: Sequence[ModelRecord]) -> dict[str, object] | None:
    """What makes the suggestions; None before there are any."""
    if zero_shot:
        return {
            "method": "zero-shot",
            "representation": zero_shot.representation,
            "images": zero_shot.images,
        }
    return {"method": models[-1].method} if models else None
