"""Label files of other tools: one class of the whole image is a label, everything else is listed with its reason."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from aral.annotation.label_files import ReadLabels, ReadOptions, class_names_of, read_labels
from aral.annotation.label_formats.rows import SEVERAL_CLASSES, SHAPES
from aral.annotation.label_studio import NO_CLASS, NO_IMAGE_CLASS, SEVERAL_CHOICES, SEVERAL_CONTROLS
from aral.errors import BadInput
from aral.testing import save_noise


def read(tmp_path: Path, name: str, content: Any, **options: str) -> ReadLabels:
    path = tmp_path / name
    if name.endswith("l") and not isinstance(content, str):
        content = "".join(json.dumps(each) + "\n" for each in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_labels(path, ReadOptions((), **options))


def pairs(found: ReadLabels) -> list[tuple[str, str]]:
    return [(label.path, label.label) for label in found.labels]


def problems(found: ReadLabels) -> list[tuple[str, str]]:
    return [(each.path, each.reason) for each in found.rejected]


# Columns


@pytest.mark.parametrize(
    "image", ["id", "image_id", "Image Path", "filename", "file_name", "image", "name", "PATH"]
)
@pytest.mark.parametrize("label", ["label", "Class", "category", "class_name", "labels", "target", "breed"])
def test_columns_that_people_have(tmp_path: Path, image: str, label: str) -> None:
    rows = [("a.png", "cat"), ("b.png", "dog")]
    content = f"{image},split,{label}\n" + "".join(f"{path},train,{name}\n" for path, name in rows)
    assert pairs(read(tmp_path, "x.csv", content)) == rows
    assert (
        pairs(read(tmp_path, "x.jsonl", [{image: path, "split": 1, label: name} for path, name in rows]))
        == rows
    )


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("path,file,label", "--image-column path"),
        ("id,image_id,label", "--image-column id"),
        ("path,label,class", "--label-column label"),
        ("path,label,label", "--label-column label"),
        ("path,Class Name,category", '--label-column "Class Name"'),
        ("path,age,sex", "--label-column NAME"),
        ("path", "--label-column NAME"),
    ],
)
def test_undecided_columns_are_refused(tmp_path: Path, header: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        read(tmp_path, "x.csv", f"{header}\n" + ",".join("xyz"[: header.count(",") + 1]) + "\n")


def test_named_columns_are_read(tmp_path: Path) -> None:
    table = "path,file,label,class\n1.png,a.png,cat,dog\n"
    assert pairs(read(tmp_path, "x.csv", table, image_column="file", label_column="Class")) == [
        ("a.png", "dog")
    ]
    rows = [{"path": "1.png", "file": "a.png", "label": "cat", "class": "dog"}]
    assert pairs(read(tmp_path, "x.jsonl", rows, image_column="file", label_column="class")) == [
        ("a.png", "dog")
    ]
    with pytest.raises(
        BadInput, match=r"no column 'nope'\.\nName one with --label-column: path, file, label, class"
    ):
        read(tmp_path, "x.csv", table, image_column="file", label_column="nope")


def test_one_hot_columns(tmp_path: Path) -> None:
    table = "image,age,Cat,black dog\na,31,1,0\nb,9,0,1.0\nc,1,1,1\nd,1,0,\ne,0,true,false\n"
    found = read(tmp_path, "x.csv", table)
    assert pairs(found) == [("a", "Cat"), ("b", "black dog"), ("e", "Cat")]
    assert problems(found) == [("c", SEVERAL_CLASSES), ("d", "none of its class columns is 1")]
    assert found.rejected[0].detail == "Cat, black dog"
    assert found.notes == ("One column for each class: Cat, black dog. Ignored: age.",)
    table = "image,male,cat,dog\na,1,1,0\nb,0,2,0\n"
    found = read(tmp_path, "x.csv", table, label_column="cat,dog")
    assert pairs(found) == [("a", "cat")] and problems(found) == [
        ("b", "one of its class columns is neither 0 nor 1")
    ]
    rows = [{"image": "a", "cat": True, "dog": False}, {"image": "b", "cat": 1, "dog": 1}]
    found = read(tmp_path, "x.json", rows)
    assert pairs(found) == [("a", "cat")] and problems(found) == [("b", SEVERAL_CLASSES)]


def test_values_that_are_no_label(tmp_path: Path) -> None:
    content = '{"path": "a", "label": NaN}\n{"path": "b", "label": null}\n{"path": "c", "label": 3}\n{"path": "d"}\n'
    found = read(tmp_path, "x.jsonl", content)
    assert pairs(found) == [("c", "3")] and found.ignored == 3


def test_json_lines_in_a_json_file(tmp_path: Path) -> None:
    assert pairs(
        read(tmp_path, "x.json", '{"path": "a", "label": "cat"}\n{"path": "b", "label": "dog"}')
    ) == [
        ("a", "cat"),
        ("b", "dog"),
    ]


@pytest.mark.parametrize(
    ("name", "content"), [("x.json", "[]"), ("x.jsonl", "\n"), ("x.csv", "path,label\n")]
)
def test_a_file_without_rows_has_no_labels(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, name, content).labels == ()


def test_an_unknown_answer_is_listed(tmp_path: Path) -> None:
    found = read(tmp_path, "x.csv", "path,label,answer\na,cat,maybe\nb,,skip\nc,dog,class\nd,,class\n")
    assert [(each.path, each.action) for each in found.labels] == [("b", "skip"), ("c", "class")]
    assert [each.path for each in found.rejected] == ["a", "d"]


# Label Studio


def result(kind: str, value: object, control: str = "c", **fields: object) -> dict[str, object]:
    return {"from_name": control, "type": kind, "value": {kind: value, **fields}}


BOX = {"x": 1, "y": 1, "width": 5, "height": 5}
ANNOTATIONS: dict[str, tuple[list[dict[str, object]], str, str]] = {
    "one choice": ([result("choices", ["cat"])], "cat", ""),
    "a choice and a text": ([result("choices", ["cat"]), result("text", ["dark"], "n")], "cat", ""),
    "a choice and a box": (
        [result("rectanglelabels", ["x"], "b", **BOX), result("choices", ["cat"])],
        "cat",
        "",
    ),
    "a path of a taxonomy": ([result("taxonomy", [["animals", "cat"]])], "animals / cat", ""),
    "several choices": ([result("choices", ["cat", "dog"])], "", SEVERAL_CHOICES),
    "several paths": ([result("taxonomy", [["a", "b"], ["a", "c"]])], "", SEVERAL_CHOICES),
    "several controls": (
        [result("choices", ["cat"]), result("choices", ["dark"], "d")],
        "",
        SEVERAL_CONTROLS,
    ),
    "a box": ([result("rectanglelabels", ["cat"], **BOX)], "", NO_IMAGE_CLASS),
    "a choice for a box": ([result("choices", ["cat"], **BOX)], "", NO_IMAGE_CLASS),
    "a rating": ([result("rating", 4)], "", NO_IMAGE_CLASS),
    "a text": ([result("text", ["cat"])], "", NO_IMAGE_CLASS),
    "a relation": ([{"type": "relation", "from_id": "x", "to_id": "y"}], "", NO_IMAGE_CLASS),
    "nothing": ([], "", NO_CLASS),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_of_label_studio(tmp_path: Path, name: str) -> None:
    results, label, problem = ANNOTATIONS[name]
    found = read(tmp_path, "x.json", [{"data": {"image": "a.png"}, "annotations": [{"result": results}]}])
    assert pairs(found) == ([("a.png", label)] if label else [])
    assert problems(found) == ([("a.png", problem)] if problem else [])
    ignored = len(results) > 1 and label
    assert bool(ignored) == any("no class of the whole image" in note for note in found.notes)


@pytest.mark.parametrize(
    "name", [name for name in ANNOTATIONS if "control" not in name and "relation" not in name]
)
def test_short_forms_of_label_studio(tmp_path: Path, name: str) -> None:
    """The short form has a column for each control, and its CSV the same values as JSON in cells."""
    results, label, problem = ANNOTATIONS[name]
    values = [each["value"] for each in results if each["from_name"] == "c"]
    value: Any = values[0]["choices"][0] if name == "one choice" else values  # type: ignore[index]
    row = {
        "image": "a.png",
        "id": 5,
        "c": value if values else None,
        "annotator": 3,
        "annotation_id": 1,
        "lead_time": 2,
    }
    for found in (
        read(tmp_path, "x.json", [row]),
        read(
            tmp_path,
            "x.tsv",
            "\t".join(row) + "\n" + "\t".join(_cell(each) for each in row.values()) + "\n",
        ),
    ):
        assert pairs(found) == ([("a.png", label)] if label else []), name
        assert problems(found) == ([("a.png", problem)] if problem and values else [])
        assert {each.annotator for each in found.labels} <= {"Label Studio 3"}
        assert found.ignored == (not values)


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"'


def test_a_control_is_named(tmp_path: Path) -> None:
    results = [result("choices", ["cat"], "animal"), result("choices", ["dark"], "light")]
    tasks = [{"data": {"image": "a.png"}, "annotations": [{"result": results}]}]
    assert pairs(read(tmp_path, "x.json", tasks, label_column="light")) == [("a.png", "dark")]
    found = read(tmp_path, "x.json", tasks, label_column="other")
    assert problems(found) == [("a.png", f"{NO_CLASS} of the control other")]


def test_the_image_of_a_task_may_have_any_name(tmp_path: Path) -> None:
    annotations = [{"result": [result("choices", ["cat"])]}]
    assert pairs(read(tmp_path, "x.json", [{"data": {"scan": "a.png"}, "annotations": annotations}])) == [
        ("a.png", "cat")
    ]
    tasks = [{"data": {"left": "a.png", "right": "b.png"}, "annotations": annotations}]
    with pytest.raises(BadInput, match="--image-column"):
        read(tmp_path, "x.json", tasks)
    assert pairs(read(tmp_path, "x.json", tasks, image_column="right")) == [("b.png", "cat")]


# Other tools


def test_coco(tmp_path: Path) -> None:
    size = {"width": 20, "height": 16}
    images = [{"id": number, "file_name": f"{number}.png", **size} for number in range(1, 8)]
    annotations = [
        {"image_id": 1, "category_id": 1},
        {"image_id": 1, "category_id": 1, "bbox": []},
        {"image_id": 2, "category_id": 2, "bbox": [0, 0, 20, 16]},
        {"image_id": 3, "category_id": 1},
        {"image_id": 3, "category_id": 2},
        {"image_id": 4, "category_id": 1, "bbox": [1, 1, 5, 5]},
        {"image_id": 5, "category_id": 1, "segmentation": [[1, 1, 2, 2, 3, 3]]},
        {"image_id": 6, "category_id": 9},
        {"image_id": 99, "category_id": 1},
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    found = read(tmp_path, "x.json", document)
    assert pairs(found) == [("1.png", "cat"), ("2.png", "dog")]
    assert problems(found) == [
        ("3.png", SEVERAL_CLASSES),
        ("4.png", SHAPES),
        ("5.png", SHAPES),
        ("6.png", "its category is not among the categories"),
        ("", "its image is not among the images"),
    ]
    assert found.ignored == 1 and found.rejected[0].detail == "cat, dog"


def test_fiftyone(tmp_path: Path) -> None:
    def sample(path: str, **fields: object) -> dict[str, object]:
        return {"filepath": path, **fields}

    def one(label: str, confidence: float | None = None) -> dict[str, object]:
        return {"_cls": "Classification", "label": label, "confidence": confidence}

    several = {"_cls": "Classifications", "classifications": [one("cat"), one("dog")]}
    boxes = {"_cls": "Detections", "detections": [{"label": "cat"}]}
    samples = [
        sample("a.png", truth=one("cat"), guess=one("dog", 0.9)),
        sample("b.png", truth=None),
        sample("c.png", truth=several),
        sample("d.png", truth=boxes),
    ]
    found = read(tmp_path, "x.json", {"samples": samples})
    assert pairs(found) == [("a.png", "cat")] and found.ignored == 1
    assert problems(found) == [("c.png", SEVERAL_CLASSES), ("d.png", SHAPES)]
    assert pairs(read(tmp_path, "x.json", {"samples": samples[:1]}, label_column="guess")) == [
        ("a.png", "dog")
    ]
    two = {"samples": [sample("a.png", truth=one("cat"), other=one("dog"))]}
    with pytest.raises(BadInput, match="--label-column truth"):
        read(tmp_path, "x.json", two)
    with pytest.raises(BadInput, match=r"no prediction; it has truth \(Detections\)"):
        read(tmp_path, "x.json", {"samples": [sample("a.png", truth=boxes)]})
    document = {
        "classes": ["cat", "dog"],
        "labels": {"a": 1, "b": "owl", "c": 2, "d": None, "e": [{"label": 0}]},
    }
    found = read(tmp_path, "labels.json", document)
    assert pairs(found) == [("a", "dog"), ("b", "owl")] and [each.path for each in found.rejected] == [
        "c",
        "e",
    ]


def test_prodigy(tmp_path: Path) -> None:
    picture = b"the bytes of a picture"
    options = [{"id": 0, "text": "cat"}, {"id": 1, "text": "dog"}]
    encoded = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    rows = [
        {"image": "a.png", "label": "cat", "answer": "accept", "_session_id": "x-ann"},
        {"image": "b.png", "options": options, "accept": [1], "answer": "accept"},
        {"image": "c.png", "options": options, "accept": [0, 1], "answer": "accept"},
        {"image": "d.png", "options": options, "accept": [], "answer": "accept"},
        {"image": "e.png", "label": "cat", "answer": "reject"},
        {"image": "f.png", "label": "cat", "answer": "ignore"},
        {"image": encoded, "meta": {"file": "g.png"}, "label": "owl", "answer": "accept"},
        {"image": "h.png", "spans": [{"label": "cat", "points": [[1, 1]]}], "answer": "accept"},
    ]
    found = read(tmp_path, "x.jsonl", rows)
    assert [(each.path, each.action, each.label, each.annotator) for each in found.labels] == [
        ("a.png", "class", "cat", "x-ann"),
        ("b.png", "class", "dog", ""),
        ("f.png", "skip", "", ""),
        ("g.png", "class", "owl", ""),
    ]
    assert found.labels[-1].sha256 == hashlib.sha256(picture).hexdigest()
    assert problems(found) == [("c.png", SEVERAL_CLASSES), ("h.png", SHAPES)]
    assert found.notes == ("Ignored: 1 row without a label.", "Ignored: 1 row with the answer 'reject'.")


def labelme(path: str, *flags: str, shapes: int = 0) -> str:
    values = {name: name in flags for name in ("cat", "dog")}
    return json.dumps({"flags": values, "shapes": [{"label": "x"}] * shapes, "imagePath": path})


def test_labelme(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    (folder / "sub").mkdir(parents=True)
    for name, content in {
        "a.json": labelme("a.jpg", "cat"),
        "sub/b.json": labelme("b.jpg", "dog"),
        "c.json": labelme("..\\photos\\c.jpg", "cat", "dog"),
        "d.json": labelme("d.jpg", shapes=2),
        "e.json": labelme("e.jpg"),
        "f.json": "[]",
    }.items():
        (folder / name).write_text(content)
    save_noise(folder / "g.jpg", 1)
    found = read_labels(folder)
    assert pairs(found) == [("a.jpg", "cat"), ("sub/b.jpg", "dog")]
    assert problems(found) == [
        ("../photos/c.jpg", SEVERAL_CLASSES),
        ("d.jpg", SHAPES),
        ("f.json", "the file is not LabelMe's JSON"),
    ]
    assert found.ignored == 2
    assert pairs(read(tmp_path, "one.json", labelme("x.jpg", "dog"))) == [("x.jpg", "dog")]


def test_cvat(tmp_path: Path) -> None:
    images = {
        "a.jpg": '<tag label="cat"><attribute name="tag">x</attribute></tag>',
        "b &amp; c.jpg": '<tag label="dog"/><tag label="dog"/><box label="cat" xtl="1"/>',
        "d.jpg": '<tag label="dog"/><tag label="cat"/>',
        "e.jpg": '<polygon label="cat" points="1,1"/>',
        "f.jpg": "",
    }
    inside = "".join(f'<image id="1" name="{name}">{content}</image>' for name, content in images.items())
    meta = '<meta><task><labels><tag label="no"/></labels></task></meta>'
    document = f"<annotations>{meta}{inside}<track/></annotations>"
    found = read(tmp_path, "x.xml", document)
    assert pairs(found) == [("a.jpg", "cat"), ("b & c.jpg", "dog")]
    assert problems(found) == [("d.jpg", SEVERAL_CLASSES), ("e.jpg", SHAPES)]
    assert found.ignored == 1 and "Ignored: 1 track of a video." in found.notes


@pytest.mark.parametrize(
    "entity",
    ['<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">'],
)
def test_entities_in_xml_are_refused(tmp_path: Path, entity: str) -> None:
    document = (
        f'<!DOCTYPE x [{entity}]><annotations><image name="&a;"><tag label="&a;"/></image></annotations>'
    )
    with pytest.raises(BadInput, match="DOCTYPE"):
        read(tmp_path, "x.xml", document)


# Folders


def test_metadata_beside_images(tmp_path: Path) -> None:
    for number, name in enumerate(("train/x/1.png", "train/y/2.png", "test/3.png")):
        save_noise(tmp_path / name, number)
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\nx/1.png,cat\ny/2.png,dog\nx/1.png\n")
    (tmp_path / "test" / "metadata.jsonl").write_text('{"file_name": "3.png", "label": "owl"}\n')
    found = read_labels(tmp_path)
    assert pairs(found) == [("test/3.png", "owl"), ("train/x/1.png", "cat"), ("train/y/2.png", "dog")]
    assert [each.path for each in found.rejected] == ["train/x/1.png"]
    (tmp_path / "test" / "metadata.jsonl").unlink()
    (tmp_path / "train" / "metadata.csv").write_text("file_name,width,height\nx/1.png,5,5\n")
    found = read_labels(tmp_path)
    assert sorted(pairs(found)) == [("train/x/1.png", "x"), ("train/y/2.png", "y")]
    assert found.notes[0].startswith("Ignored: train/metadata.csv.")
    assert pairs(read_labels(tmp_path, ReadOptions(("x",)))) == [("train/x/1.png", "x")]


def classes_json(folder: Path, content: object) -> None:
    (folder / "classes.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_names_in_classes_json_are_those_of_the_classes(tmp_path: Path) -> None:
    names = {"a_b": "a/b", "a_b-2": "a:b", "_": ".."}
    for number, inside in enumerate(names):
        save_noise(tmp_path / inside / "x.png", number)
    save_noise(tmp_path / "new" / "x.png", 9)
    classes_json(tmp_path, {"classes": [{"folder": inside, "name": name} for inside, name in names.items()]})
    assert sorted(label for _, label in pairs(read_labels(tmp_path))) == ["..", "a/b", "a:b", "new"]
    assert class_names_of(tmp_path).names == ("..", "a/b", "a:b", "new")


@pytest.mark.parametrize("content", ["{", ["cat"], {"0": "cat"}, {"classes": ["cat", "dog"]}, {"classes": 3}])
def test_a_classes_json_of_another_program_is_ignored(tmp_path: Path, content: object) -> None:
    save_noise(tmp_path / "cat" / "x.png", 1)
    classes_json(tmp_path, content)
    assert pairs(read_labels(tmp_path)) == [("cat/x.png", "cat")]


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([{"folder": "cat"}], "without folder or name"),
        ([{"folder": "cat", "name": 3}], "without folder or name"),
        ([{"folder": "cat", "name": "x"}, {"folder": "cat", "name": "y"}], "twice"),
        ([{"folder": "cat", "name": "x"}, {"folder": "dog", "name": "x"}], "twice"),
    ],
)
def test_a_damaged_classes_json_is_refused(tmp_path: Path, classes: object, match: str) -> None:
    save_noise(tmp_path / "cat" / "x.png", 1)
    classes_json(tmp_path, {"classes": classes})
    with pytest.raises(BadInput, match=match):
        read_labels(tmp_path)


# Anything else

_KEYS = (
    "data annotations result value choices taxonomy type images categories image_id category_id file_name bbox id "
    "samples filepath ground_truth _cls label classes labels flags imagePath shapes image path answer accept options "
    "meta spans text aral_answer aral_events completed_by"
).split()
_LEAVES = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-2, 3)
    | strategies.sampled_from(["accept", "Classification", "a.png", "cat", "\udce9", "1-2"])
    | strategies.text(max_size=3)
)
_documents = strategies.recursive(
    _LEAVES,
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.sampled_from(_KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_documents)
def test_any_document_is_read_or_refused(tmp_path: Path, document: object) -> None:
    for name, content in (
        ("x.json", json.dumps(document)),
        ("x.jsonl", f"{json.dumps({'data': document})}\n"),
    ):
        (tmp_path / name).write_text(content)
        try:
            found = read_labels(tmp_path / name)
        except BadInput as refused:
            assert refused.problem
            continue
        assert all(label.label for label in found.labels if label.action == "class")
