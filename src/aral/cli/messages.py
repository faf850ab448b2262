"""Messages of the labelling commands: imported images, imported labels, and the estimate set."""

from __future__ import annotations

from pathlib import Path

from aral.annotation import ImportResult, Project, import_labels
from aral.errors import BadInput
from aral.words import counted


def import_message(result: ImportResult) -> str:
    """The result of an import of images."""
    copies = counted(result.duplicates, "of them a copy", "of them copies")
    unreadable = f"{counted(result.unreadable, 'file')} could not be read."
    animated = counted(len(result.first_frames), "animation")
    frames = f" Of {animated} the first frame is used." if result.first_frames else ""
    return f"{counted(result.readable, 'image')}, {copies}; {unreadable}{frames}"


def estimate_set_message(project: Project) -> str:
    """The size of the estimate set, and how to change it."""
    measuring, budget = project.estimate_slice().size, project.settings().budget
    if not measuring:
        return "There is no estimate set, so the accuracy of the classifier will be unknown (--estimate-share 0.2)."
    spent = min(budget or project.image_count(), project.image_count())
    return (
        f"{measuring} of {counted(spent, 'label')} are for the estimate set: images drawn at random that only "
        "estimate the accuracy of the classifier and never train it (--estimate-share changes the number)."
    )


def check_images(project: Project) -> None:
    """Refuse a project without a readable image.

    Raises:
        BadInput: no image could be read; names the first files and why.
    """
    if project.image_count():
        return
    shown = "; ".join(f"{bad.path!r}: {bad.reason}" for bad in project.unreadable()[:3])
    raise BadInput(
        f"{project.photos} holds no readable image{f'; skipped: {shown}' if shown else ''}.",
        "Give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files.",
    )


def import_labels_message(project: Project, source: Path, annotator: str = "import") -> str:
    """Import labels and describe the result."""
    done = import_labels(project, source, annotator)
    parts = [
        f"{counted(done.recorded, 'label is', 'labels are')} imported; "
        f"{counted(done.repeated, 'was', 'were')} already there."
    ]
    if done.new_classes:
        parts.append(f"New classes: {', '.join(done.new_classes)}.")
    if done.unknown:
        shown = ", ".join(repr(path) for path in done.unknown[:3])
        parts.append(
            f"{counted(len(done.unknown), 'image is', 'images are')} not in the project, such as {shown}."
        )
    return " ".join(parts)
