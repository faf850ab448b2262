"""Classes and settings through the server."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from aral.annotation import Project
from tests.web.conftest import event


def change(client: TestClient, **body: Any) -> Any:
    answer = client.post("/api/classes", json={"annotator": "Ann", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(whole: dict[str, Any]) -> list[str]:
    return [each["name"] for each in whole["classes"]]


def test_the_page_reads_everything_at_its_start(reader: TestClient) -> None:
    whole = reader.get("/api/project").json()
    assert names(whole) == ["cat", "dog", "bird"]
    assert [each["key"] for each in whole["classes"]] == ["1", "2", "3"]
    assert whole["settings"]["budget"] == 200
    assert whole["settings"]["shortcuts_on"] is True
    assert whole["annotator"] == "me"
    assert whole["name"] == "photos"


def test_classes_are_added_renamed_described_and_merged(client: TestClient, project: Project) -> None:
    before = client.get("/api/project").json()["revision"]
    assert names(change(client, change="add", name=" fish ")) == ["cat", "dog", "bird", "fish"]
    assert names(change(client, change="rename", class_id=0, name="lion"))[0] == "lion"
    whole = change(client, change="describe", class_id=1, guideline="Barks.\nWags.", example_ids=[4, 2])
    dog = whole["classes"][1]
    assert dog["guideline"] == "Barks.\nWags."
    assert [example["image_id"] for example in dog["examples"]] == [4, 2]
    assert dog["examples"][0]["thumbnail"].startswith("/thumbnail/4?v=")
    client.post("/api/answers", json={"events": [event(7, class_id=0)]})
    whole = change(client, change="merge", class_id=0, into_id=2)
    assert names(whole) == ["dog", "bird", "fish"]
    assert [(label.image_id, label.class_id) for label in project.labels.all()] == [(7, 2)]
    assert whole["revision"] != before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"change": "add", "name": "cat"}, 400),
        ({"change": "add", "name": "   "}, 400),
        ({"change": "add", "name": ""}, 422),
        ({"change": "add", "name": "x" * 201}, 422),
        ({"change": "rename", "class_id": 9, "name": "x"}, 400),
        ({"change": "merge", "class_id": 1, "into_id": 1}, 400),
        ({"change": "describe", "class_id": 1, "guideline": "", "example_ids": [999]}, 400),
        ({"change": "delete", "class_id": 1}, 422),
        ({"change": "add", "name": "x", "path": "/"}, 422),
        ({}, 422),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_a_reason(
    reader: TestClient, body: dict[str, Any], status: int
) -> None:
    answer = reader.post("/api/classes", json={"annotator": "Ann", **body})
    assert answer.status_code == status
    assert answer.json()["problem"]
    assert names(reader.get("/api/project").json()) == ["cat", "dog", "bird"]


def settings(client: TestClient, **body: Any) -> Any:
    return client.post("/api/settings", json={"annotator": "Ann", **body})


def test_settings_change_one_at_a_time(client: TestClient, project: Project) -> None:
    first = settings(client, shortcuts_on=False, budget=None).json()["settings"]
    assert first["shortcuts_on"] is False
    assert first["budget"] is None
    assert first["suggestions_on"] is True
    assert settings(client, overlap=2).json()["settings"]["shortcuts_on"] is False
    assert project.settings.get().overlap == 2


def test_keys_are_remapped_and_two_of_the_same_refused(client: TestClient) -> None:
    keys = client.get("/api/project").json()["settings"]["keys"]
    whole = settings(client, keys={**keys, "skip": "s", "class:0": "q"}).json()
    assert whole["settings"]["keys"]["skip"] == "s"
    assert whole["classes"][0]["key"] == "q"
    refused = settings(client, keys={**keys, "skip": "u"})
    assert refused.status_code == 400
    assert "key" in refused.json()["problem"]


def test_how_strict_near_duplicates_are_can_be_changed(client: TestClient, project: Project) -> None:
    answer = client.post("/api/settings", json={"annotator": "Ann", "near_duplicate_bits": 0})
    assert answer.json()["settings"]["near_duplicate_bits"] == 0
    assert project.settings.get().near_duplicate_bits == 0
    assert (
        client.post("/api/settings", json={"annotator": "Ann", "near_duplicate_bits": 9}).status_code == 422
    )
    empty = client.post("/api/settings", json={"annotator": "Ann", "near_duplicate_bits": None})
    assert empty.status_code == 400 and project.settings.get().near_duplicate_bits == 0


def test_the_key_of_a_merged_class_does_not_stop_later_settings(client: TestClient) -> None:
    keys = client.get("/api/project").json()["settings"]["keys"]
    assert settings(client, keys={**keys, "class:0": "q"}).status_code == 200
    change(client, change="merge", class_id=0, into_id=1)
    assert settings(client, overlap=2).status_code == 200
    assert (
        settings(client, keys={**keys, "class:0": "q", "skip": "s"}).json()["settings"]["keys"]["skip"] == "s"
    )


@pytest.mark.parametrize(
    "body",
    [{"overlap": 0}, {"overlap": None}, {"budget": 0}, {"keys": None}, {"keys": {"a": 1}}, {"secret": 1}],
)
def test_settings_that_cannot_be(reader: TestClient, body: dict[str, Any]) -> None:
    assert settings(reader, **body).status_code in (400, 422)
