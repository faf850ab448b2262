"""Label Studio's JSON, written and read: tasks with annotations and predictions, and the labelling configuration.

Exports, imports and the requests of a running Label Studio (:mod:`aral.web.label_studio`) all use this module.
Exported tasks hold the image's content hash and the annotation events.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit
from xml.sax.saxutils import quoteattr

from aral.annotation.formats import LabelRow

FROM_NAME, TO_NAME = "choice", "image"
LOCAL_FILES = "/data/local-files/?d="


def as_tasks(rows: Iterable[LabelRow], model_version: str) -> bytes:
    """The rows as tasks with annotations and predictions; an answer without a class is a cancelled annotation."""
    numbers = iter(range(1, 2**62))
    tasks = [_task(row, model_version, next(numbers), next(numbers)) for row in rows]
    return json.dumps(tasks, indent=1).encode()


def _task(row: LabelRow, model_version: str, task_id: int, annotation_id: int) -> dict[str, Any]:
    result = [{"id": f"a{annotation_id}", **choice_json(row.label)}] if row.answer == "class" else []
    annotation = {
        "id": annotation_id,
        "result": result,
        "was_cancelled": not result,
        "ground_truth": False,
        "created_at": row.time,
    }
    predictions = []
    if row.suggestion and row.probability is not None:
        choice = {"id": f"p{annotation_id}", **choice_json(row.suggestion), "score": row.probability}
        predictions = [{"model_version": model_version, "score": row.probability, "result": [choice]}]
    return {
        "id": task_id,
        "data": {
            "image": LOCAL_FILES + quote(os.fsencode(row.path)),
            "aral_id": row.image_id,
            "aral_answer": row.answer,
            "aral_label": row.label,
            "aral_annotators": list(row.annotators),
            "aral_events": list(row.events),
            "aral_sha256": row.sha256,
        },
        "meta": {"round": row.round, "strategy": row.strategy, "score": row.score},
        "annotations": [annotation],
        "predictions": predictions,
    }


def choice_json(label: str, from_name: str = FROM_NAME, to_name: str = TO_NAME) -> dict[str, Any]:
    """A class as a result of an annotation or a prediction.

    Args:
        label: name of the class.
        from_name: name of the choices in the labelling configuration.
        to_name: name of the image in it.
    """
    return {"from_name": from_name, "to_name": to_name, "type": "choices", "value": {"choices": [label]}}


def configuration(class_names: Sequence[str]) -> bytes:
    """The labelling configuration of the tasks."""
    choices = "".join(f"\n    <Choice value={quoteattr(name)}/>" for name in class_names)
    return (
        f'<View>\n  <Image name="{TO_NAME}" value="$image"/>\n'
        f'  <Choices name="{FROM_NAME}" toName="{TO_NAME}" choice="single-radio">{choices}\n  </Choices>\n</View>\n'
    ).encode("utf-8", "replace")


def path_of(address: str) -> str:
    """The path that a task's address ends in: of a local file, an upload, or a plain path."""
    parts = urlsplit(address)
    local = parse_qs(parts.query, errors="surrogateescape").get("d")
    return local[0] if local else os.fsdecode(unquote_to_bytes(parts.path))


@dataclass(frozen=True)
class TaskAnswer:
    """An annotation of a task.

    Attributes:
        action: ``class``, or an answer without a class for a cancelled annotation.
        label: the choice, for ``class``.
        annotator: ``Label Studio`` with the number of the user who completed it; empty if that is unknown.
        problem: why it cannot be read, as part of a sentence; empty if it can.
    """

    action: str = ""
    label: str = ""
    annotator: str = ""
    problem: str = ""


def answers_of(task: Mapping[str, Any]) -> list[TaskAnswer]:
    """The annotations of a task, one for each annotator who completed it."""
    annotations = task.get("annotations")
    return [
        _answer_of(task, annotation)
        for annotation in (annotations if isinstance(annotations, list) else [])
        if isinstance(annotation, dict)
    ]


def _answer_of(task: Mapping[str, Any], annotation: Mapping[str, Any]) -> TaskAnswer:
    annotator = annotator_of(annotation)
    if annotation.get("was_cancelled") is True:
        data = task.get("data")
        before = data.get("aral_answer") if isinstance(data, dict) else None
        known = ("skip", "unsure", "bad image", "none of these")
        return TaskAnswer(before if before in known else "skip", "", annotator)
    choices = choices_of(annotation)
    if len(choices) == 1 and choices[0].strip():
        return TaskAnswer("class", choices[0], annotator)
    problem = f"an annotation has {len(choices)} choices" if choices else "an annotation has no choice"
    return TaskAnswer(problem=f"{problem} instead of one class")


def annotator_of(annotation: Mapping[str, Any]) -> str:
    """``Label Studio`` with the number of the user who completed an annotation; empty if that is unknown."""
    user = annotation.get("completed_by")
    number = user.get("id") if isinstance(user, dict) else user
    return f"Label Studio {number}" if isinstance(number, int | str) and number != "" else ""


def choices_of(annotation: Mapping[str, Any]) -> list[str]:
    """All choices of an annotation; one that assigns a class has exactly one."""
    results = annotation.get("result")
    return [choice for each in (results if isinstance(results, list) else []) for choice in _choices(each)]


def _choices(result: Any) -> list[str]:
    value = result.get("value") if isinstance(result, dict) else None
    choices = value.get("choices") if isinstance(value, dict) else None
    if isinstance(choices, str):
        return [choices]
    return [str(choice) for choice in choices] if isinstance(choices, list) else []
