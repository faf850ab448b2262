"""Label Studio's JSON, both ways; its tasks carry the image's content hash and the label events they come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit
from xml.sax.saxutils import quoteattr

from aral.annotation.label_rows import LabelRow

FROM_NAME, TO_NAME = "choice", "image"
LOCAL_FILES = "/data/local-files/?d="


def as_tasks(rows: Iterable[LabelRow], model_version: str) -> bytes:
    """The rows as tasks with annotations and predictions; every answer without a class is cancelled."""
    numbers = iter(range(1, 2**62))
    tasks = [_task(row, model_version, next(numbers), next(numbers)) for row in rows]
    return json.dumps(tasks, indent=1).encode()


def _task(row: LabelRow, model_version: str, task_id: int, annotation_id: int) -> dict[str, Any]:
    result = [_choice(row.label, f"a{annotation_id}")] if row.answer == "class" else []
    annotation = {
        "id": annotation_id,
        "result": result,
        "was_cancelled": not result,
        "ground_truth": False,
        "completed_by": 1,
        "created_at": row.time,
    }
    predictions = []
    if row.suggestion and row.probability is not None:
        said = {**_choice(row.suggestion, f"p{annotation_id}"), "score": row.probability}
        predictions = [{"model_version": model_version, "score": row.probability, "result": [said]}]
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


def _choice(label: str, number: str) -> dict[str, Any]:
    return {
        "id": number,
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "type": "choices",
        "value": {"choices": [label]},
    }


def configuration(class_names: Sequence[str]) -> bytes:
    """The labelling configuration that fits the tasks."""
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


def answers_of(task: Any) -> list[tuple[str, str]]:
    """The answers of a task: an action and, for ``class``, the label; nothing for what cannot be read."""
    annotations = task.get("annotations") if isinstance(task, dict) else None
    found = []
    for annotation in annotations if isinstance(annotations, list) else []:
        if not isinstance(annotation, dict):
            continue
        if annotation.get("was_cancelled") is True:
            before = task.get("data", {}).get("aral_answer")
            known = ("skip", "unsure", "bad image", "none of these")
            found.append((before if before in known else "skip", ""))
            continue
        choices = [_one_choice(result) for result in annotation.get("result") or []]
        labels = [label for label in choices if label]
        if len(labels) == 1:
            found.append(("class", labels[0]))
    return found


def _one_choice(result: Any) -> str:
    value = result.get("value") if isinstance(result, dict) else None
    choices = value.get("choices") if isinstance(value, dict) else None
    one = isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str)
    return str(choices[0]) if one and choices else ""
