"""Label Studio's JSON, of an export of Label Studio or of aral: a list of tasks with annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aral.annotation.label_formats.columns import find_image_column
from aral.annotation.label_formats.json_rows import image_of, texts
from aral.annotation.label_formats.rows import (
    NOT_STATED,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
    stated_provenance,
)
from aral.annotation.label_studio import TaskAnswer, answers_of

_OF_EXPORT = ("aral_id", "aral_answer", "aral_label", "aral_annotators", "aral_events", "aral_sha256")


def _recognise(file: LabelFile) -> bool:
    return file.rows is not None and all(isinstance(each.fields.get("data"), dict) for each in file.rows)


def _read(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    tasks = [each.fields for each in file.rows or ()]
    names = dict.fromkeys(str(name) for task in tasks for name in task["data"] if name not in _OF_EXPORT)
    image, notes = find_image_column(str(file.path), list(names), options)
    rows.notes += notes
    others: Counter[str] = Counter()
    for task in tasks:
        answers = answers_of(task, options.label_column)
        others.update(kind for each in answers for kind in each.others)
        _add_task(rows, task, image, answers)
    if others:
        kinds = ", ".join(f"{kind} {count}" for kind, count in others.most_common())
        rows.notes.append(f"Ignored: results that are no class of the whole image ({kinds}).")
    return rows.result(str(file.path))


def _add_task(rows: Rows, task: Mapping[str, Any], image: str, answers: list[TaskAnswer]) -> None:
    data, meta = task["data"], task.get("meta")
    found, content = image_of(data.get(image))
    path = found or ""
    meta = meta if isinstance(meta, dict) else {}
    stated = [meta.get(name) for name in ("round", "strategy", "score")]
    provenance = (
        stated_provenance(*("" if each is None else str(each) for each in stated))
        if any(stated)
        else NOT_STATED
    )
    sha256 = content or str(data.get("aral_sha256") or "").strip()
    if not answers:
        rows.ignore("task without an annotation", "tasks without an annotation")
    for each in answers:
        if each.problem:
            rows.reject(path, each.problem, each.detail)
        elif (each.action, each.label) == (data.get("aral_answer"), data.get("aral_label")):
            # It was not changed in Label Studio: these are the annotation events of the export.
            annotators, events = (
                texts(data.get(name) or [""]) for name in ("aral_annotators", "aral_events")
            )
            rows.add_answer(
                path, each.action, each.label, annotators, sha256=sha256, provenance=provenance, events=events
            )
        else:
            number = data.get("aral_id")
            rows.add_answer(
                path,
                each.action,
                each.label,
                [each.annotator],
                image_id=number if isinstance(number, int) else None,
                sha256=sha256,
                provenance=provenance,
            )


LABEL_STUDIO_TASKS = LabelFormat[LabelFile]("Label Studio", _recognise, _read)
