"""Requests of Label Studio and their results."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from aral.annotation import AnswerEvent, Project, Provenance
from aral.annotation.predictions import hides_suggestion
from aral.web.label_studio import control_names
from tests.web.conftest import BASE, SECRET, record_model, suggest_zero_shot

CONFIG = """<View><Image name="picture" value="$image"/>
  <!-- <Choices name="no" toName="no"/> -->
  <Choices name="animal" toName="picture" choice="single-radio"><Choice value="cat"/></Choices></View>"""


@pytest.fixture
def studio(app: FastAPI) -> Any:
    """A Label Studio that was told the secret as password."""
    with TestClient(app, base_url=BASE) as client:
        client.auth = ("label-studio", SECRET)
        yield client


def predict(studio: TestClient, *data: dict[str, Any], config: str = CONFIG) -> list[dict[str, Any]]:
    tasks = [{"id": number, "data": each} for number, each in enumerate(data)]
    answer = studio.post(
        "/predict", json={"tasks": tasks, "label_config": config, "params": {}, "project": "1.2"}
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def test_it_needs_the_password(app: FastAPI) -> None:
    with TestClient(app, base_url=BASE) as client:
        client.auth = ("label-studio", "guess")
        assert client.get("/health").status_code == 401


def test_health_and_setup(studio: TestClient, project: Project) -> None:
    assert studio.get("/health").json() == {"status": "UP", "model_class": "aral"}
    body = {"project": "1.2", "schema": CONFIG, "extra_params": {}}
    assert studio.post("/setup", json=body).json() == {"model_version": "aral-0"}
    record_model(project)
    assert studio.post("/setup", json=body).json() == {"model_version": "aral-1"}


def test_zero_shot_suggestions_have_a_version_of_their_own(studio: TestClient, project: Project) -> None:
    suggest_zero_shot(project)
    answer = predict(studio, {"image": "IMG_071.png"})[0]
    assert (answer["model_version"], answer["score"]) == ("zero-shot-1", pytest.approx(0.6, abs=1e-3))
    record_model(project)
    assert predict(studio, {"image": "IMG_071.png"})[0]["model_version"] == "aral-1"


def test_a_prediction_is_named_after_the_configuration(studio: TestClient, project: Project) -> None:
    record_model(project)
    (answer,) = predict(studio, {"image": "IMG_071.png"})
    assert answer["model_version"] == "aral-1"
    assert answer["score"] == pytest.approx(0.95, abs=1e-3)
    (result,) = answer["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("animal", "picture", "choices")
    assert result["value"] == {"choices": ["bird"]}  # 71 mod 3 is class 2


@pytest.mark.parametrize(
    "data",
    [
        {"image": "IMG_004.png"},
        {"image": "/data/local-files/?d=some%20where/photos/IMG_004.png"},
        {"image": "http://studio.example/data/upload/3/IMG_004.png"},
        {"image": "/data/upload/3/0badcafe-IMG_004.png"},
        {"image": "/srv/photos/IMG_004.png?size=1"},
        {"aral_id": 4, "image": "IMG_004.png"},
        {"aral_id": 4},
    ],
    ids=str,
)
def test_images_are_found(studio: TestClient, project: Project, data: dict[str, Any]) -> None:
    record_model(project)
    assert predict(studio, data)[0]["result"][0]["value"]["choices"] == ["dog"]  # 4 mod 3


@pytest.mark.parametrize(
    "data",
    [
        {"image": "IMG_999.png"},
        {"image": "/photos/0badcafe-IMG_004.png"},
        {"image": "../../etc/passwd"},
        {"image": 4},
        {"aral_id": 10**9},
        {"aral_id": 4, "image": "elsewhere.png"},
        {"aral_id": 4, "image": "IMG_004.png", "aral_sha256": "0" * 64},
        {"aral_id": "4"},
        {},
    ],
    ids=str,
)
def test_what_is_not_known_gets_no_prediction(
    studio: TestClient, project: Project, data: dict[str, Any]
) -> None:
    record_model(project)
    assert predict(studio, data) == [{"model_version": "aral-1", "score": 0.0, "result": []}]


def test_a_second_path_that_ends_the_same_is_not_taken(studio: TestClient, project: Project) -> None:
    """Which of the two is the image cannot be told; a whole path can."""
    assert hook(studio, "ANNOTATION_CREATED", "a/IMG_004.png", result=choice("dog"))["recorded"] is True
    for image in ("b/IMG_004.png", "a/IMG_004.png"):
        answer = hook(studio, "ANNOTATION_CREATED", image, id=12, result=choice("cat"))
        assert (
            answer["recorded"] is False and "No image of the project fits" in answer["refused"][0]["problem"]
        )
    assert hook(studio, "ANNOTATION_CREATED", "IMG_004.png", id=13, result=choice("cat"))["recorded"] is True


def test_without_a_model_every_prediction_is_empty(studio: TestClient) -> None:
    assert [answer["result"] for answer in predict(studio, {"image": "IMG_004.png"}, {})] == [[], []]


def hook(studio: TestClient, action: str, image: str = "IMG_004.png", **annotation: Any) -> Any:
    body = {
        "action": action,
        "task": {"id": 1, "data": {"image": image}},
        "annotation": {
            "id": 11,
            "completed_by": 5,
            "updated_at": "2026-01-01",
            "lead_time": 4.2,
            **annotation,
        },
        "project": {"id": 1},
    }
    answer = studio.post("/webhook", json=body)
    assert answer.status_code == 201
    return answer.json()


def choice(name: str) -> list[dict[str, Any]]:
    return [
        {
            "id": "a",
            "from_name": "animal",
            "to_name": "picture",
            "type": "choices",
            "value": {"choices": [name]},
        }
    ]


def test_an_annotation_becomes_an_answer_once(studio: TestClient, project: Project) -> None:
    assert hook(studio, "ANNOTATION_CREATED", result=choice("dog"))["recorded"] is True
    assert hook(studio, "ANNOTATION_CREATED", result=choice("dog"))["recorded"] is True
    (answer,) = project.annotations.history("Label Studio 5")
    assert (answer.image_id, answer.action, answer.class_id) == (4, "class", 1)
    assert project.labels.provenance() == {4: Provenance(None, "label studio", None)}


def test_updated_cancelled_and_deleted_annotations(studio: TestClient, project: Project) -> None:
    hook(studio, "ANNOTATION_CREATED", result=choice("dog"))
    hook(studio, "ANNOTATION_UPDATED", result=choice("cat"), updated_at="2026-01-02")
    assert [label.class_id for label in project.labels.all()] == [0]
    hook(studio, "ANNOTATION_CREATED", image="IMG_005.png", id=12, was_cancelled=True, result=[])
    assert project.labels.counts().skipped == 1
    for _ in range(2):
        answer = studio.post("/webhook", json={"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}]})
        assert answer.status_code == 201
        assert project.labels.all() == [] and project.labels.counts().skipped == 1
    assert answer.json()["recorded"] is False, "there was nothing left to take back"


def test_a_deletion_takes_back_its_own_annotation_alone(studio: TestClient, project: Project) -> None:
    hook(studio, "ANNOTATION_CREATED", result=choice("dog"), id=11)
    hook(studio, "ANNOTATION_CREATED", result=choice("cat"), id=110, image="IMG_005.png")
    hook(studio, "ANNOTATION_CREATED", result=choice("bird"), id=12, image="IMG_006.png")
    project.annotations.append(AnswerEvent("of-the-page", 7, "Ann", "class", 2))
    body = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}, {"id": 12}, {"id": 99}, {}]}
    assert studio.post("/webhook", json=body).json()["recorded"] is True
    assert {label.image_id: label.class_id for label in project.labels.all()} == {5: 0, 7: 2}


def test_several_annotations_at_once_go_to_their_own_images(studio: TestClient, project: Project) -> None:
    tasks = [{"id": number, "data": {"image": f"IMG_{number:03d}.png"}} for number in (4, 5, 6)]
    annotations = [
        {
            "id": 20 + number,
            "task": number,
            "completed_by": {"id": 5, "email": "a@b.c"},
            "result": choice(name),
        }
        for number, name in ((6, "bird"), (4, "dog"), (9, "cat"))
    ]
    body = {"action": "ANNOTATIONS_CREATED", "task": tasks, "annotation": annotations}
    said = studio.post("/webhook", json=body).json()
    assert said["recorded"] is True
    assert [each["problem"] for each in said["refused"]] == ["No image of the project fits annotation 29."]
    assert {label.image_id: (label.class_id, label.annotators) for label in project.labels.all()} == {
        4: (1, ("Label Studio 5",)),
        6: (2, ("Label Studio 5",)),
    }


def test_an_annotation_that_is_not_recorded_is_reported(
    studio: TestClient, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    said = hook(studio, "ANNOTATION_CREATED", result=choice("elephant"))
    assert said["recorded"] is False and "no class 'elephant'" in said["refused"][0]["problem"]
    assert "elephant" in caplog.text, "Label Studio does not show the response to its users"
    said = hook(studio, "ANNOTATION_CREATED", image="unknown.png", result=choice("dog"))
    assert said["recorded"] is False and "annotation 11" in said["refused"][0]["problem"]
    project.classes.add("elephant", "Ann")
    assert hook(studio, "ANNOTATION_CREATED", result=choice("elephant"))["recorded"] is True


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("ANNOTATION_CREATED", {"result": choice("elephant")}),
        ("ANNOTATION_CREATED", {"result": [{"value": {"choices": ["cat", "dog"]}}]}),
        ("ANNOTATION_CREATED", {"result": [{"value": {"rectanglelabels": ["cat"]}}, None, 7]}),
        ("ANNOTATION_CREATED", {"result": "cat"}),
        ("ANNOTATION_CREATED", {"result": choice("cat"), "id": "x"}),
        ("START_TRAINING", {"result": choice("cat")}),
        ("PROJECT_UPDATED", {}),
    ],
)
def test_what_says_nothing_changes_nothing(
    studio: TestClient, project: Project, action: str, change: dict[str, Any]
) -> None:
    assert hook(studio, action, **change)["recorded"] is False
    assert project.labels.all() == []


def test_a_hook_without_annotation_is_acknowledged(studio: TestClient) -> None:
    assert studio.post("/webhook", json={"action": "START_TRAINING", "project": {}}).status_code == 201
    assert studio.post("/webhook", json={"project": {}}).status_code == 422


def test_configurations() -> None:
    assert control_names(CONFIG) == ("animal", "picture")
    assert control_names("") == ("choice", "image")
    assert control_names("<View><Choices/></View>") == ("choice", "image")
    assert control_names("<!DOCTYPE x [<!ENTITY a 'aaaa'>]><Choices name='&a;'") == ("choice", "image")


def test_the_estimate_set_gets_no_suggestion_and_the_model_is_looked_up_once(
    studio: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_model(project)
    read: list[int] = []
    newest_number = project.models.newest_number
    monkeypatch.setattr(project.models, "newest_number", lambda: read.append(1) or newest_number())
    images = project.images.labelable_ids().tolist()
    answers = predict(studio, *({"image": project.images.get(image).name} for image in images))
    assert read == [1]
    withheld = {image for image, answer in zip(images, answers, strict=True) if not answer["result"]}
    measuring = set(project.estimate.image_ids().tolist())
    assert measuring and withheld == measuring | {image for image in images if hides_suggestion([image])[0]}
    assert {answer["model_version"] for answer in answers} == {"aral-1"}
