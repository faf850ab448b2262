"""The model card in Markdown: classes, accuracy and how it was estimated, labels, limits, usage."""

from __future__ import annotations

import json

from aral.annotation import Estimate, ModelRecord, Project
from aral.annotation.advice import Unknown, advise, sampling_note
from aral.plural import counted


def model_card(project: Project) -> str:
    """``README.md`` of an export.

    Raises:
        BadInput: the project was damaged.
    """
    models = project.models.all()
    counts, files = project.labels.counts(), project.images.status_counts()
    lines = [*_header(project), f"# Image classifier for {_plain(project.photos.name)}", ""]
    if not models:
        lines += ["No classifier has been trained yet; this export holds labels only.", ""]
    else:
        lines += _figures(project, models[-1])
    lines += [
        "## Labels",
        "",
        f"- {counted(counts.labelled, 'image has', 'images have')} a class: {counts.for_training} for training, "
        f"{counts.for_estimate} in the estimate set.",
        f"- {counted(counts.bad, 'bad image')}, {counts.none} with none of the classes, {counts.skipped} skipped, "
        f"{counts.unsure} unsure, {counts.conflicts} on which the annotators disagree.",
        f"- {counted(project.images.count(), 'different image')} in all; "
        f"{counted(len(project.images.unreadable()), 'file')} could not be read, "
        f"{counted(files.get('missing', 0), 'is', 'are')} missing and "
        f"{counted(files.get('changed', 0), 'has', 'have')} changed since they were read.",
        *_annotators(project),
        "",
        "## Limits",
        "",
        "- The training images were queried by an acquisition function: their class frequencies are not those of "
        "the folder.",
        "- The accuracy holds for images like those of the folder.",
        "- It always predicts one of its classes, also for an image that shows none of them.",
        "",
        *_usage(bool(models)),
    ]
    return "\n".join(lines) + "\n"


def _header(project: Project) -> list[str]:
    """YAML front matter, as model hubs read it; a JSON list is valid YAML."""
    names = [each.name for each in project.classes.all()]
    return [
        "---",
        "library_name: aral",
        "pipeline_tag: image-classification",
        f"classes: {json.dumps(names)}",
        "---",
        "",
    ]


def _figures(project: Project, model: ModelRecord) -> list[str]:
    names = {each.id: each.name for each in project.classes.all()}
    shown = [_plain(names.get(class_id, f"class {class_id}")) for class_id in model.class_ids]
    lines = [
        f"Round {model.round}, trained on {counted(model.trained_on, 'label')} in {model.seconds:.0f} s.",
        "",
        "## Accuracy",
        "",
        estimate_sentence(model.estimate),
        sampling_note(model.estimate),
        "",
        "| class | training labels | recall | estimated on |",
        "|---|---|---|---|",
    ]
    for name, figure in zip(shown, model.per_class, strict=True):
        recall = figure.recall
        interval = f"{_percent(recall)} ({_interval(recall)})" if recall else "unknown"
        lines.append(f"| {name} | {figure.labels} | {interval} | {recall.count if recall else 0} |")
    lines += ["", "Confusion matrix; rows: the true class, columns: the predicted class.", ""]
    lines += [f"| | {' | '.join(shown)} |", f"|---|{'---|' * len(shown)}"]
    for name, row in zip(shown, model.confusion, strict=True):
        lines.append(f"| {name} | {' | '.join(str(count) for count in row)} |")
    advice = advise(project.models.all(), 50)
    return [*lines, "", advice.reason if isinstance(advice, Unknown) else advice.sentence, ""]


def estimate_sentence(estimate: Estimate | None) -> str:
    """An accuracy with its confidence interval as a sentence; None is unknown."""
    if estimate is None:
        return "The accuracy is unknown: no image of the estimate set has been labelled."
    return (
        f"Accuracy {_percent(estimate)}, 95 % confidence interval {_interval(estimate)}, on "
        f"{counted(estimate.count, 'image')} drawn at random."
    )


def _annotators(project: Project) -> list[str]:
    agreement, anchoring = project.labels.agreement(), project.labels.anchoring()
    lines = [f"- Annotators: {len(project.annotators.all())}."]
    if agreement.kappa is not None:
        lines.append(
            f"- Agreement: {agreement.measure} kappa {agreement.kappa:.2f} on {counted(agreement.images, 'image')}."
        )
    if anchoring.shown and anchoring.hidden:
        lines.append(
            f"- Labels equal the suggestion on {anchoring.shown_equal} of "
            f"{counted(anchoring.shown, 'image')} where it was shown, and on "
            f"{anchoring.hidden_equal} of {anchoring.hidden} where it was hidden."
        )
    return lines


def _usage(trained: bool) -> list[str]:
    if not trained:
        return []
    return [
        "## Use",
        "",
        "    aral predict . NEW_PHOTOS --target predictions.csv",
        "    python load_model.py PHOTO.jpg",
        "",
        "Without this package, `model.pt2` maps pixels 0..255 (uint8, N×C×H×W) to probabilities:",
        "",
        '    program = torch.export.load("model.pt2").module()',
        "    probabilities = program(pixels)",
        "",
    ]


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.accuracy:.1f} %"


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


def _plain(name: str) -> str:
    """A name with Markdown and HTML escaped."""
    text = name.encode("utf-8", "replace").decode().replace("\n", " ").replace("\r", " ")
    for sign in "\\`*_{}[]<>#|":
        text = text.replace(sign, f"\\{sign}")
    return text
