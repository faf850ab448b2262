"""The model card in Markdown: classes, accuracy and how it was estimated, labels, limits, usage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aral import __version__
from aral.annotation import (
    BROWSING,
    BY_CHANCE,
    ESTIMATE_SET,
    IMPORT,
    LABEL_STUDIO,
    ModelRecord,
    Project,
    Provenance,
)
from aral.annotation.advice import (
    Unknown,
    advise,
    estimate_sentence,
    interval_in_percent,
    percent,
    sampling_note,
)
from aral.annotation.classifier import Classifier, Description
from aral.annotation.portable import INPUT, ONNX_FILE, OUTPUT, TORCH_FILE, Portable
from aral.annotation.snippets import ONNX_SNIPPET, TORCH_SNIPPET
from aral.durable import Json
from aral.plural import counted

DEFAULT_LICENCE = "not stated; trained from random weights, without weights of others"
"""What the metadata of a classifier on pixels state about its licence where none is given."""

ALWAYS_A_CLASS = "It always predicts one of its classes, also for an image that shows none of them."

MODEL = "model"
"""The sealed folder of an exported classifier."""

METADATA_FILE = "classifier.json"
"""The metadata of an exported classifier; the graphs hold the same."""


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A classifier in an export.

    Attributes:
        record: its figures.
        classifier: the same, with the present names of its classes.
        files: names of the files it was written to.
        graphs: the graphs among them.
        licence: of the classifier.
        notes: what was not written and why, as sentences.
        measured_on: the images on which its accuracy was measured.
    """

    record: ModelRecord
    classifier: Classifier
    files: tuple[str, ...] = ()
    graphs: tuple[Portable, ...] = ()
    licence: str = DEFAULT_LICENCE
    notes: tuple[str, ...] = ()
    measured_on: Literal["estimate set", "test set"] = "estimate set"


def default_licence(description: Description) -> str:
    """What is stated about the licence of a classifier where none is given."""
    features = description.features_of
    if features is None:
        return DEFAULT_LICENCE
    return f"not stated; the weights of its backbone {features.backbone}: {features.licence}"


def model_card(project: Project, exported: ExportedModel | None = None) -> str:
    """``README.md`` of an export.

    Args:
        project: what was exported.
        exported: its classifier; None for the figures of the newest one, if there is one, without its use.

    Raises:
        BadInput: the project was damaged.
    """
    model = exported.record if exported else project.models.newest()
    counts, found = project.labels.counts(), project.images.status_counts()
    title = "Image classifier for" if model else "Labels of"
    lines = [*_header(project, model), f"# {title} {plain(project.photos.name)}", ""]
    if model is None:
        lines += ["No classifier has been trained yet; this export holds labels only.", ""]
    else:
        lines += _figures(project, model)
    lines += [
        "## Labels",
        "",
        f"- {counted(counts.labelled, 'image has', 'images have')} a class: {counts.for_training} for training, "
        f"{counts.for_estimate} in the estimate set.",
        *_origins(project),
        f"- {counted(counts.bad, 'bad image')}, {counts.none} with none of the classes, {counts.skipped} skipped, "
        f"{counts.unsure} unsure, {counts.conflicts} on which the annotators disagree.",
        f"- {counted(project.images.count(), 'different image')} in all; "
        f"{counted(len(project.images.unreadable()), 'file')} could not be read, "
        f"{counted(found.get('missing', 0), 'is', 'are')} missing and "
        f"{counted(found.get('changed', 0), 'has', 'have')} changed since they were read.",
        *_annotators(project),
        "",
    ]
    if model is not None:
        lines += _limits(project, model)
    if exported is not None:
        lines += use_of(exported)
    return "\n".join(lines).rstrip("\n") + "\n"


def use_of(exported: ExportedModel) -> list[str]:
    """The sections on backbone, use and licence of an exported classifier."""
    return [*_backbone(exported.classifier), *_use(exported), *_licence(exported)]


def _header(project: Project, model: ModelRecord | None) -> list[str]:
    names = class_names(project, model) if model else [each.name for each in project.classes.all()]
    return card_header(names, model is not None)


def card_header(names: Sequence[str], with_model: bool) -> list[str]:
    """YAML front matter, as model hubs read it; a JSON list is valid YAML."""
    kind = ["library_name: aral", "pipeline_tag: image-classification"] if with_model else []
    return ["---", *kind, f"classes: {json.dumps(list(names))}", "---", ""]


def class_names(project: Project, model: ModelRecord) -> list[str]:
    """The present names of a model's classes in the order of its outputs."""
    names = {each.id: each.name for each in project.classes.all()}
    return [names.get(class_id, f"class {class_id}") for class_id in model.class_ids]


def metadata(exported: ExportedModel) -> dict[str, Json]:
    """What programs need to know about an exported classifier, as JSON; ``docs/formats.md`` explains it."""
    model, classifier = exported.record, exported.classifier
    estimate, names = model.estimate, list(classifier.description.class_names)
    measured_on = [figure.recall.count if figure.recall else 0 for figure in model.per_class]
    return {
        "format": 1,
        "aral": __version__,
        "classes": list[Json](names),
        "input": {
            "name": INPUT,
            "type": "uint8",
            "layout": "NHWC",
            "channels": "RGB",
            "lowest": 0,
            "highest": 255,
            "sizes": "any N, H and W",
        },
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "layout": "NK",
            "meaning": "probabilities of the classes",
        },
        "preprocessing": classifier.preprocessing.as_json(),
        "backbone": _backbone_as_json(classifier.description),
        "licence": exported.licence,
        "accuracy": None
        if estimate is None
        else {
            "estimate": estimate.accuracy,
            "low": estimate.low,
            "high": estimate.high,
            "confidence": 0.95,
            "images": estimate.count,
            "joined_late": estimate.late,
        },
        "labels": {
            "trained_on": model.trained_on,
            "training": dict(zip(names, (figure.labels for figure in model.per_class), strict=True)),
            exported.measured_on.replace(" ", "_"): dict(zip(names, measured_on, strict=True)),
        },
        "round": model.round,
    }


def _backbone_as_json(description: Description) -> dict[str, Json] | None:
    features = description.features_of
    if features is None:
        return None
    return {
        "name": features.backbone,
        "licence": features.licence,
        "source": features.source,
        "sha256": features.digest,
        "components": features.components,
    }


def _backbone(classifier: Classifier) -> list[str]:
    """What reads the images of a classifier on features."""
    features, projection = classifier.description.features_of, classifier.projection
    if features is None or projection is None:
        return []
    count, kept = projection.matrix.shape
    _, height, width = classifier.preprocessing.shape
    reduced = f"divided by their length; the leading {kept} principal components of the photos are kept"
    if len(projection.parts) > 1:
        sizes = " and ".join(map(str, projection.parts))
        reduced = (
            f"in parts of {sizes}, each divided by its length; {kept} principal components are kept in all"
        )
    elif not projection.parts:
        reduced = "each is standardised"
    return [
        "## Backbone",
        "",
        "The classifier reads features of a network that was trained on other images and is not changed.",
        "",
        f"- Name: {plain(features.backbone)}",
        f"- Licence of its weights: {plain(features.licence)}",
        f"- Source: {plain(features.source)}",
        f"- SHA-256 of its weights: {features.digest}",
        f"- Input: {height}×{width}; {classifier.preprocessing.in_words()}.",
        f"- Features: {count}, {reduced}.",
        "",
    ]


def _licence(exported: ExportedModel) -> list[str]:
    features = exported.classifier.description.features_of
    lines = ["## Licence", "", plain(exported.licence)]
    if features is not None and exported.graphs:
        graphs = " and ".join(f"`{graph.file}`" for graph in exported.graphs)
        lines += [
            "",
            f"{graphs} {'holds' if len(exported.graphs) == 1 else 'hold'} the weights of the backbone "
            f"{plain(features.backbone)}, licence {plain(features.licence)}.",
        ]
    return lines


def _origins(project: Project) -> list[str]:
    """Why the images with a label for training were shown, counted."""
    provenances = project.labels.provenance()
    counts = Counter(
        _origin(provenances[label.image_id])
        for label in project.labels.all()
        if label.use == "training" and not label.inherited
    )
    if not counts:
        return []
    return [
        f"- Labels for training: {', '.join(f'{count} {origin}' for origin, count in counts.most_common())}."
    ]


def _origin(provenance: Provenance) -> str:
    if provenance.round is not None:
        return f"queried by the acquisition function {plain(provenance.strategy or 'unknown')}"
    return {
        BY_CHANCE: "of images drawn at random",
        ESTIMATE_SET: "of images drawn for the estimate set",
        BROWSING: "of images that an annotator picked",
        IMPORT: "imported",
        LABEL_STUDIO: "from Label Studio",
        "": "of unrecorded origin",
    }.get(provenance.strategy, f"of the origin {plain(provenance.strategy)}")


def _limits(project: Project, model: ModelRecord) -> list[str]:
    queried = any(
        provenance.round is not None and provenance.strategy not in (BY_CHANCE, ESTIMATE_SET)
        for provenance in project.labels.provenance().values()
    )
    sampled = (
        "Training images were queried by an acquisition function: their class frequencies are not those of the folder."
        if queried
        else "No training image was queried by an acquisition function. Class frequencies of the labels are those of "
        "the folder only as far as the images were drawn at random."
    )
    measured = "The accuracy holds for images like those of the folder."
    return [
        "## Limits",
        "",
        f"- {sampled}",
        *([f"- {measured}"] if model.estimate else []),
        f"- {ALWAYS_A_CLASS}",
        "",
    ]


def _figures(project: Project, model: ModelRecord) -> list[str]:
    shown = [plain(name) for name in class_names(project, model)]
    lines = [
        f"Round {model.round}, trained on {counted(model.trained_on, 'label')} in {model.seconds:.0f} s.",
        "",
        "## Accuracy",
        "",
        estimate_sentence(model.estimate),
        *([sampling_note(model.estimate)] if model.estimate else []),
        *class_figures_table(shown, model),
    ]
    advice = advise(project.models.all(), 50)
    return [*lines, "", advice.reason if isinstance(advice, Unknown) else advice.sentence, ""]


def class_figures_table(shown: Sequence[str], model: ModelRecord) -> list[str]:
    """Labels and recall of each class, and the confusion matrix, in Markdown.

    Args:
        shown: names of the classes, escaped.
        model: its figures.
    """
    lines = [
        "",
        "| class | training labels | recall | estimated on |",
        "|---|---|---|---|",
    ]
    for name, figure in zip(shown, model.per_class, strict=True):
        recall = figure.recall
        interval = f"{percent(recall)} ({interval_in_percent(recall)})" if recall else "unknown"
        lines.append(f"| {name} | {figure.labels} | {interval} | {recall.count if recall else 0} |")
    lines += ["", "Confusion matrix; rows: the true class, columns: the predicted class.", ""]
    lines += [f"| | {' | '.join(shown)} |", f"|---|{'---|' * len(shown)}"]
    for name, row in zip(shown, model.confusion, strict=True):
        lines.append(f"| {name} | {' | '.join(str(count) for count in row)} |")
    return lines


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


def _use(exported: ExportedModel) -> list[str]:
    """How the exported files are used, with the code of their snippets."""
    lines = []
    if f"{MODEL}/" in exported.files:
        lines += [
            "### With aral",
            "",
            "    aral predict . NEW_PHOTOS --target predictions.csv",
            "    python load_model.py PHOTO [PHOTO ...]",
            "",
        ]
        if exported.classifier.description.features_of is not None:
            lines += [
                "The backbone is not in `model/`: it is loaded by its name, and its SHA-256 is compared. If its "
                "weights are missing, the message says where they come from; `--download` fetches them.",
                "",
            ]
    if exported.graphs:
        names = exported.classifier.description.class_names
        preprocessing = exported.classifier.preprocessing
        by = "one level" if preprocessing.resampling == "bilinear" else "some levels"
        then = "; then the backbone" if exported.classifier.projection else ""
        lines += [
            "### Input and output of the graphs",
            "",
            "- Input `pixels`: uint8, N×H×W×3, channels red, green, blue, 0..255; any N, H and W.",
            f"- Inside the graph: {preprocessing.in_words()}{then}. The classifier was trained with the "
            f"resize of Pillow; in the graph, single pixels differ from it by {by}.",
            "- Before the graph: the photo is decoded and turned upright by its EXIF orientation; more than eight bits "
            "are scaled to eight; a colour profile is converted to sRGB; transparency is laid over white; all modes "
            f"become RGB. {_reduction(exported.classifier)}The Python files do this.",
            f"- Output `probabilities`: float32, N×K, in the order of `classes` in `{METADATA_FILE}`: "
            f"{', '.join(plain(name) for name in names)}.",
            "",
        ]
    for graph in exported.graphs:
        versions, (file, snippet) = graph.versions, SNIPPETS[graph.file]
        stated = (
            f"ONNX opset {versions['opset']}, IR version {versions['ir']}; compared with the classifier in "
            f"onnxruntime {versions['onnxruntime']}."
            if graph.file == ONNX_FILE
            else f"Written by torch {versions['torch']}; older versions may not read it."
        )
        lines += [f"### {graph.file}", "", stated, "", f"    python {file} PHOTO [PHOTO ...]", ""]
        lines += ["```python", *snippet.rstrip("\n").split("\n"), "```", ""]
    return ["## Use", "", *lines] if lines else []


def _reduction(classifier: Classifier) -> str:
    enough = classifier.preprocessing.enough
    if enough is None:
        return ""
    side = "shorter" if enough[0] == enough[1] else "longer"
    return (
        "A large JPEG is decoded at the smallest of a half, a quarter and an eighth of its size at which its "
        f"{side} side has {enough[0]} pixels or more. "
    )


SNIPPETS = {
    ONNX_FILE: ("classify_onnx.py", ONNX_SNIPPET),
    TORCH_FILE: ("classify_torch.py", TORCH_SNIPPET),
}
"""Name and content of the Python file for each graph."""


def plain(name: str) -> str:
    """A name with Markdown and HTML escaped."""
    text = name.encode("utf-8", "replace").decode().replace("\n", " ").replace("\r", " ")
    for sign in "\\`*_{}[]<>#|":
        text = text.replace(sign, f"\\{sign}")
    return text
