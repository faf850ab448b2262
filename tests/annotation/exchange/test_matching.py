"""Which image an imported label belongs to: by content, by its whole path, or by a unique end of it."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from aral.annotation import import_labels
from aral.errors import BadInput
from aral.testing import save_noise
from tests.annotation.exchange.conftest import MakeProject, label_map, write_labels

FORMATS = ("csv", "jsonl", "json")


def test_class_folders_with_other_contents_add_nothing(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    for number in range(1, 5):
        save_noise(tmp_path / "theirs" / "cat" / f"{number}.jpg", 100 + number)
        save_noise(tmp_path / "theirs" / "dog" / f"{number}.jpg", 200 + number)
    with pytest.raises(BadInput, match=r"8 rows were not imported, because .* no image of this content"):
        import_labels(project, tmp_path / "theirs")
    assert label_map(project) == {} and project.classes.all() == ()
    # A copy of an image of the project among them is found, whatever its name.
    shutil.copy(tmp_path / "photos" / "3.jpg", tmp_path / "theirs" / "dog" / "1.jpg")
    done = import_labels(project, tmp_path / "theirs")
    assert label_map(project) == {"3.jpg": "dog"} and done.recorded == 1
    assert done.reasons == {"the project has no image of this content": 7}


@pytest.mark.parametrize("format", FORMATS)
def test_a_shortened_path_must_be_unique_on_both_sides(
    make_project: MakeProject, tmp_path: Path, format: str
) -> None:
    project = make_project(["1.jpg", "2.jpg", "a/3.jpg", "b/3.jpg", "c/4.jpg", "5.jpg", "d/6.jpg"])
    rows = [
        ("cat/1.jpg", "cat"),  # two paths of the import end in 1.jpg
        ("dog/1.jpg", "dog"),
        ("/mnt/x/2.jpg", "cat"),  # unique
        ("3.jpg", "cat"),  # two images of the project end so
        ("b/3.jpg", "dog"),  # the whole path
        ("4.jpg", "dog"),  # unique: the project knows a longer path
        ("5.jpg", "cat"),  # the whole path, though another path of the import ends so
        ("old/5.jpg", "dog"),
        ("e/6.jpg", "dog"),  # in another folder
    ]
    done = import_labels(project, write_labels(tmp_path / "elsewhere", rows, format))
    assert label_map(project) == {"2.jpg": "cat", "b/3.jpg": "dog", "c/4.jpg": "dog", "5.jpg": "cat"}
    assert {each.path for each in done.rejected} == {
        "cat/1.jpg",
        "dog/1.jpg",
        "3.jpg",
        "old/5.jpg",
        "e/6.jpg",
    }
    assert done.reasons["2 paths of the import end in '1.jpg'"] == 2
    assert done.reasons["2 images of the project end in '3.jpg'"] == 1


@pytest.mark.parametrize("format", FORMATS)
def test_the_content_of_a_file_beside_the_labels_decides(
    make_project: MakeProject, tmp_path: Path, format: str
) -> None:
    project = make_project(["1.jpg", "2.jpg", "3.jpg"])
    save_noise(tmp_path / "theirs" / "1.jpg", 77)  # the same path, another image
    shutil.copy(tmp_path / "photos" / "3.jpg", tmp_path / "theirs" / "2.jpg")  # another path, the same image
    source = write_labels(tmp_path / "theirs", [("1.jpg", "cat"), ("2.jpg", "dog")], format)
    done = import_labels(project, source)
    assert label_map(project) == {"3.jpg": "dog"}
    assert done.reasons == {"the image of this path has another content in the project": 1}


COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")


@pytest.mark.parametrize("here", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("there", [COMPOSED, DECOMPOSED])
def test_composed_and_decomposed_paths_match(
    make_project: MakeProject, tmp_path: Path, here: str, there: str
) -> None:
    project = make_project([f"a/{here}", "b.jpg"])
    import_labels(project, write_labels(tmp_path, [(f"a/{there}", "cat")]))
    assert label_map(project) == {f"a/{here}": "cat"}


def test_two_images_whose_names_differ_only_in_composition_are_not_confused(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project([COMPOSED, DECOMPOSED])
    import_labels(project, write_labels(tmp_path, [(COMPOSED, "cat"), (DECOMPOSED, "dog")]))
    assert label_map(project) == {COMPOSED: "cat", DECOMPOSED: "dog"}
    with pytest.raises(BadInput, match="2 images of the project end in"):
        import_labels(project, write_labels(tmp_path, [(f" {DECOMPOSED}", "owl")]))


def test_of_two_spellings_of_a_path_only_the_exact_one_matches(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project([COMPOSED])
    done = import_labels(project, write_labels(tmp_path, [(COMPOSED, "cat"), (DECOMPOSED, "dog")]))
    assert label_map(project) == {COMPOSED: "cat"} and [each.path for each in done.rejected] == [DECOMPOSED]


def test_paths_of_windows_match(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["a/1.jpg", "b/1.jpg", "c/2.jpg", "d/3.jpg", "d\\4.jpg"])
    rows = [("a\\1.jpg", "cat"), (".\\b\\1.jpg", "dog"), ("C:\\photos\\c\\2.jpg", "owl"), ("d\\4.jpg", "owl")]
    done = import_labels(project, write_labels(tmp_path, rows))
    assert done.rejected == ()
    assert label_map(project) == {"a/1.jpg": "cat", "b/1.jpg": "dog", "c/2.jpg": "owl", "d\\4.jpg": "owl"}


def test_a_file_beside_the_labels_is_found_by_its_windows_path(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["cat/1.jpg"])
    save_noise(tmp_path / "theirs" / "cat" / "1.jpg", 77)
    with pytest.raises(BadInput, match="another content"):
        import_labels(project, write_labels(tmp_path / "theirs", [("cat\\1.jpg", "cat")]))


def test_white_space_around_a_path_is_ignored(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["1.jpg", " 2.jpg"])
    import_labels(project, write_labels(tmp_path, [("  1.jpg ", " cat "), (" 2.jpg", "dog")]))
    assert label_map(project) == {"1.jpg": "cat", " 2.jpg": "dog"}


def test_an_upload_to_label_studio_is_found_by_its_original_name(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project([f"{number}.png" for number in range(4)])
    result = [{"type": "choices", "value": {"choices": ["one"]}}]
    tasks = [
        {"data": {"image": f"{folder}/0badcafe-{number}.png"}, "annotations": [{"result": result}]}
        for folder, number in (("/data/upload/7", 2), ("/data/elsewhere", 3))
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    done = import_labels(project, tmp_path / "tasks.json")
    assert done.recorded == 1 and len(done.rejected) == 1
    assert label_map(project) == {"2.png": "one"}


def test_absolute_paths_below_the_photos_and_unknown_ones(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["0.png", "1.png"])
    table = tmp_path / "elsewhere" / "theirs.csv"
    table.parent.mkdir()
    table.write_text(f"Filename,Class\n{project.photos}/0.png,cat\nelsewhere/1.png,dog\nunknown.png,cat\n")
    done = import_labels(project, table, "Zoe")
    assert (done.recorded, done.new_classes) == (2, ("cat", "dog"))
    assert [each.path for each in done.rejected] == ["unknown.png"]
    assert label_map(project) == {"0.png": "cat", "1.png": "dog"}


def test_names_without_ending_match_only_one_image(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(
        ["0001.jpg", "a/0002.JPG", "b/3.jpg", "b/3.png", "x.v2.jpg", "0012.jpg", "y.jpg.png"]
    )
    rows = [
        ("0001", "cat"),
        ("0002", "dog"),
        ("3", "cat"),  # two images have this name
        ("x.v2", "dog"),
        ("12", "cat"),  # no number is guessed
        ("0012.png", "cat"),  # another ending
        ("y.jpg", "cat"),  # it has an ending
    ]
    done = import_labels(project, write_labels(tmp_path / "elsewhere", rows))
    assert label_map(project) == {"0001.jpg": "cat", "a/0002.JPG": "dog", "x.v2.jpg": "dog"}
    assert [each.path for each in done.rejected] == ["3", "12", "0012.png", "y.jpg"]


def test_two_names_of_the_import_for_one_image_without_ending_are_rejected(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(["7.jpg"])
    with pytest.raises(BadInput, match=r"2 paths of the import end in '7'"):
        import_labels(project, write_labels(tmp_path / "elsewhere", [("7", "cat"), ("a/7", "dog")]))


def test_images_without_ending_in_the_folder_of_the_table(make_project: MakeProject, tmp_path: Path) -> None:
    """``train.csv`` beside ``train/``: the photos are that folder, or copies, or others of the same names."""
    project = make_project(["1.jpg", "2.jpg"], folder="data/train")
    table = tmp_path / "data" / "train.csv"
    table.write_text("id,label\n1,cat\n2,dog\n")
    import_labels(project, table)
    assert label_map(project) == {"1.jpg": "cat", "2.jpg": "dog"}
    save_noise(tmp_path / "theirs" / "train" / "1.jpg", 99)
    shutil.copy(tmp_path / "data" / "train" / "2.jpg", tmp_path / "theirs" / "train" / "3.jpg")
    theirs = tmp_path / "theirs" / "train.csv"
    theirs.write_text("id,label\n1,owl\n3,dog\n")
    done = import_labels(project, theirs)
    assert (done.recorded, done.repeated, [each.path for each in done.rejected]) == (0, 1, ["1"])


@pytest.mark.parametrize("format", FORMATS)
def test_addresses_match_by_their_path(make_project: MakeProject, tmp_path: Path, format: str) -> None:
    project = make_project(["sub/a b.jpg", "c.jpg", "d.jpg", "e#1.jpg", "f%20.jpg", "sub/g.jpg", "h.jpg"])
    rows = [
        ("https://example.org/x/sub/a%20b.jpg?token=1&d=c.jpg#x", "cat"),
        ("s3://bucket/c.jpg", "dog"),
        ("/data/local-files/?d=photos/d.jpg", "cat"),
        ("e#1.jpg", "dog"),
        ("f%20.jpg", "cat"),
        ("sub%5Cg.jpg", "dog"),
        ("h.jpg?v=2", "cat"),
        ("https://example.org/image?file=h.jpg", "dog"),
    ]
    done = import_labels(project, write_labels(tmp_path / "elsewhere", rows, format))
    assert label_map(project) == {
        "sub/a b.jpg": "cat",
        "c.jpg": "dog",
        "d.jpg": "cat",
        "e#1.jpg": "dog",
        "f%20.jpg": "cat",
        "sub/g.jpg": "dog",
        "h.jpg": "cat",
    }
    assert [each.path for each in done.rejected] == ["https://example.org/image?file=h.jpg"]


def test_two_addresses_with_one_end_are_rejected(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(["a b.jpg"])
    rows = [("https://x.org/1/a%20b.jpg?s=1", "cat"), ("s3://bucket/2/a b.jpg", "dog")]
    with pytest.raises(BadInput, match=r"2 paths of the import end in 'a b\.jpg'"):
        import_labels(project, write_labels(tmp_path / "elsewhere", rows))
