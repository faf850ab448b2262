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
from urllib.parse import quote
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


@dataclass(frozen=True)
class TaskAnswer:
    """An annotation of a task.

    Attributes:
        action: ``class``, or an answer without a class for a cancelled annotation.
        label: the choice, for ``class``.
        annotator: ``Label Studio`` with the number of the user who completed it; empty if that is unknown.
        problem: why it cannot be read, as part of a sentence; empty if it can.
        detail: what only this annotation has, such as its choices.
        others: types of results beside the choice, which are ignored.
    """

    action: str = ""
    label: str = ""
    annotator: str = ""
    problem: str = ""
    detail: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellClass:
    """A cell of Label Studio's CSV, or a value of its short form of JSON.

    Attributes:
        label: its class, or its text as it is.
        problem: why it is no class, as part of a sentence; empty if it is one.
        detail: what only this cell has, such as its choices.
    """

    label: str = ""
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Results:
    """What an annotation says of the whole image.

    Attributes:
        classes: choices, and full paths of a taxonomy, by the control that they were made with.
        others: types of all other results.
    """

    classes: Mapping[str, Sequence[str]]
    others: tuple[str, ...]


PATH_SEPARATOR = " / "
"""Between the levels of a taxonomy, as Label Studio shows full paths; the last level alone may not be unique."""

NO_CLASS = "it has no choice"
SEVERAL_CHOICES = "it has several choices, and only one can be the label"
SEVERAL_CONTROLS = "it has choices of several controls; name one with --label-column"
NO_IMAGE_CLASS = "it has no choice for the whole image, only other results"
_REGION = frozenset(("x", "y", "width", "height", "points", "rle", "start", "end", "vertices", "sequence"))


def answers_of(task: Mapping[str, Any], control: str = "") -> list[TaskAnswer]:
    """The annotations of a task, one for each annotator who completed it.

    Args:
        task: of Label Studio's JSON.
        control: name of the control whose choice is the label; empty if there is one only.
    """
    annotations = task.get("annotations")
    return [
        _answer_of(task, annotation, control)
        for annotation in (annotations if isinstance(annotations, list) else [])
        if isinstance(annotation, dict)
    ]


def _answer_of(task: Mapping[str, Any], annotation: Mapping[str, Any], control: str) -> TaskAnswer:
    annotator = annotator_of(annotation)
    if annotation.get("was_cancelled") is True:
        data = task.get("data")
        before = data.get("aral_answer") if isinstance(data, dict) else None
        known = ("skip", "unsure", "bad image", "none of these")
        return TaskAnswer(before if before in known else "skip", "", annotator)
    results = _results_of(annotation)
    found = {name: choices for name, choices in results.classes.items() if control in ("", name)}
    if len(found) > 1:
        return TaskAnswer(problem=SEVERAL_CONTROLS, detail=", ".join(found))
    choices = next(iter(found.values()), ())
    if len(choices) > 1:
        return TaskAnswer(problem=SEVERAL_CHOICES, detail=", ".join(choices))
    ignored = tuple(name for name in results.classes if name not in found)
    if choices and choices[0].strip():
        return TaskAnswer("class", choices[0], annotator, others=(*results.others, *ignored))
    if results.others:
        return TaskAnswer(problem=NO_IMAGE_CLASS, detail=", ".join(dict.fromkeys(results.others)))
    return TaskAnswer(problem=f"{NO_CLASS} of the control {control}" if control else NO_CLASS)


def annotator_of(annotation: Mapping[str, Any]) -> str:
    """``Label Studio`` with the number of the user who completed an annotation; empty if that is unknown."""
    user = annotation.get("completed_by")
    return annotator_name(user.get("id") if isinstance(user, dict) else user)


def annotator_name(user: object) -> str:
    """``Label Studio`` with the number of a user; empty if that is unknown."""
    known = isinstance(user, int | str) and not isinstance(user, bool) and str(user).strip()
    return f"Label Studio {known}" if known else ""


def choices_of(annotation: Mapping[str, Any]) -> list[str]:
    """All choices for the whole image of an annotation; one that assigns a class has exactly one."""
    return [choice for choices in _results_of(annotation).classes.values() for choice in choices]


def class_in_cell(cell: object) -> CellClass:
    """The class in a cell: its text, or the single choice of the JSON that Label Studio writes into cells."""
    if isinstance(cell, str):
        if not cell.lstrip().startswith(("{", "[")):
            return CellClass(cell)
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return CellClass(cell)
    else:
        value = cell
    if not isinstance(value, list | dict):
        return CellClass(_text_of(value))
    results = [{"value": each} for each in (value if isinstance(value, list) else [value])]
    found = _results_of({"result": results})
    choices = [choice for each in found.classes.values() for choice in each]
    if len(choices) == 1 and choices[0].strip():
        return CellClass(choices[0])
    if choices:
        return CellClass(problem=SEVERAL_CHOICES, detail=", ".join(choices))
    if any(isinstance(each["value"], dict) and each["value"].keys() & _OTHER_VALUES for each in results):
        return CellClass(problem=NO_IMAGE_CLASS, detail=", ".join(dict.fromkeys(found.others)))
    return CellClass(problem="its label is JSON, not the name of one class", detail=json.dumps(value)[:60])


def _text_of(value: object) -> str:
    """A JSON value as text; nothing for null and for a number that is none (NaN)."""
    if value is None or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


_OTHER_VALUES = frozenset(
    "rectanglelabels polygonlabels ellipselabels keypointlabels brushlabels labels rating text number datetime "
    "taxonomy choices points rle x pairwise ranker items".split()
)


def _results_of(annotation: Mapping[str, Any]) -> _Results:
    classes: dict[str, list[str]] = {}
    others: list[str] = []
    results = annotation.get("result")
    for each in results if isinstance(results, list) else []:
        value = each.get("value") if isinstance(each, dict) else None
        if not isinstance(value, dict):
            others += [str(each["type"])] if isinstance(each, dict) and each.get("type") else []
            continue
        choices = _classes_of(value)
        if value.keys() & _REGION or not choices:
            others.append(_kind_of(each, value))
            continue
        classes.setdefault(str(each.get("from_name", "")), []).extend(choices)
    return _Results(classes, tuple(others))


def _classes_of(value: Mapping[str, Any]) -> list[str]:
    """The choices, or the full paths of a taxonomy."""
    choices, taxonomy = value.get("choices"), value.get("taxonomy")
    if isinstance(choices, str):
        return [choices]
    if isinstance(choices, list):
        return [str(choice) for choice in choices]
    if isinstance(taxonomy, list):
        paths = [path if isinstance(path, list) else [path] for path in taxonomy]
        return [PATH_SEPARATOR.join(map(str, path)) for path in paths if path]
    return []


def _kind_of(result: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """The type of a result, as Label Studio names it; a choice for a region says so."""
    kind = str(result.get("type") or next((name for name in value if name in _OTHER_VALUES - {"x"}), "shape"))
    is_choice = kind in ("choices", "taxonomy")
    return f"{kind} of a region" if is_choice and value.keys() & _REGION else kind
