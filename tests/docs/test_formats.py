"""Every example in docs/formats.md is imported and gives the labels that the page says."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from aral.annotation import Project, import_labels
from aral.annotation.label_files import FILE_FORMATS, FOLDER_FORMATS
from aral.annotation.label_formats.exports import EXPORT
from aral.testing import save_noise

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text().partition("## Export formats")[0]
PHOTOS = ("a.jpg", "sub/b.jpg", "c.jpg")
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
RESULT = re.compile(r"^Result( of the folder)?: (.*?)(?:; (\d+) rows? is listed)?\.$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """Files, and what their import gives."""

    title: str
    files: tuple[tuple[str, str, str], ...]
    is_folder: bool
    labels: dict[str, str]
    listed: int


def examples() -> list[Example]:
    found = []
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        title, start = section.partition("\n")[0], 0
        for number, result in enumerate(RESULT.finditer(section)):
            files = tuple(
                (block[1], block[2], block[3]) for block in BLOCK.finditer(section, start, result.start())
            )
            start = result.end()
            labels = dict(re.findall(r"`([^`]+)` ([\w/]+)", result[2]))
            found.append(Example(f"{title} {number}", files, bool(result[1]), labels, int(result[3] or 0)))
    return found


def write(example: Example, folder: Path, photos: Path) -> Path:
    """Write the files of an example, with copies of the photos where it lists images; the source to import."""
    by_name = {Path(name).name: photos / name for name in PHOTOS}
    for language, title, content in example.files:
        if language != "text":
            target = folder / title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            continue
        for name in content.split():
            (folder / title / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(by_name[Path(name).name], folder / title / name)
    first = example.files[0][1]
    if not example.is_folder:
        return folder / first
    return folder / first if first.endswith("/") else folder


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_an_example_gives_its_labels(example: Example, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number, name in enumerate(PHOTOS):
        save_noise(photos / name, number)
    source = write(example, tmp_path / "source", photos)
    with Project.create_or_open(photos) as project:
        project.images.sync()
        done = import_labels(project, source)
        names = {each.id: each.name for each in project.classes.all()}
        labels = {
            project.images.get(label.image_id).name: names[label.class_id] for label in project.labels.all()
        }
        assert (labels, len(done.rejected)) == (example.labels, example.listed)
        assert import_labels(project, source).recorded == 0


def test_every_form_has_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognised by the first form that takes it, every form but the export folder."""
    from aral.annotation.label_formats.rows import LabelFile, LabelFolder

    photos, seen = tmp_path / "photos", set()
    for number, name in enumerate(PHOTOS):
        save_noise(photos / name, number)
    for number, example in enumerate(examples()):
        source = write(example, tmp_path / str(number), photos)
        if source.is_dir():
            seen.add(next(form.name for form in FOLDER_FORMATS if form.recognise(LabelFolder(source))))
            continue
        file = LabelFile.open(source)
        seen.add(next(form.name for form in FILE_FORMATS if form.recognise(file)))
    exported = {EXPORT.name, "images of an export"}
    one_file = {"LabelMe"}  # its example is the folder
    assert seen | exported | one_file == {form.name for form in (*FILE_FORMATS, *FOLDER_FORMATS)}
