"""Answers are saved once, in order, and one that cannot be saved does not hold up the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from aral.annotation import BROWSING, BY_CHANCE, ESTIMATE_SET, Project, Provenance
from aral.annotation.predictions import hides_suggestion
from aral.errors import RunFailed
from aral.web.answers import MOST_EVENTS
from tests.web.events import event
from tests.web.models import record_model


def send(client: TestClient, *events: dict[str, Any]) -> Any:
    answer = client.post("/api/answers", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_answer_is_saved_once_however_often_it_is_sent(client: TestClient, project: Project) -> None:
    first, second = event(3, class_id=1), event(4, "skip")
    once = send(client, first, second)
    again = send(client, second, first)
    assert [receipt["repeated"] for receipt in once["receipts"]] == [False, False]
    assert [receipt["repeated"] for receipt in again["receipts"]] == [True, True]
    assert [receipt["seq"] for receipt in again["receipts"]] == [
        once["receipts"][1]["seq"],
        once["receipts"][0]["seq"],
    ]
    assert again["counts"]["labelled"] == 1
    assert again["counts"]["skipped"] == 1
    assert [(label.image_id, label.class_id) for label in project.labels.all()] == [(3, 1)]


def test_who_browses_is_noted_and_what_a_card_asked_for_is_too(client: TestClient, project: Project) -> None:
    project.queue.replace(
        2, np.array([3, 4]), np.array([0.5, -0.5]), ["", ""], "margin", np.empty(0, np.int64)
    )
    send(client, event(3, browsed=True), event(4), event(5, browsed=False))
    measured = 5 in project.estimate.image_ids()
    assert project.labels.provenance() == {
        3: Provenance(None, BROWSING, None),
        4: Provenance(2, "margin", -0.5),
        5: Provenance(None, ESTIMATE_SET if measured else BY_CHANCE, None),
    }


def test_the_five_answers_are_five_records(client: TestClient) -> None:
    actions = ["class", "skip", "unsure", "bad image", "none of these"]
    counts = send(client, *(event(image, action) for image, action in enumerate(actions)))["counts"]
    assert [counts[name] for name in ("labelled", "skipped", "unsure", "bad", "none")] == [1] * 5


def test_undo_takes_back_the_answer(client: TestClient, project: Project) -> None:
    answered = event(5, class_id=2)
    receipts = send(client, answered, event(5, "undo"))["receipts"]
    assert receipts[1]["cancels"] == receipts[0]["seq"]
    assert project.labels.all() == []


def test_one_refused_answer_does_not_hold_up_the_others(client: TestClient, project: Project) -> None:
    good, bad, late = event(1, class_id=0), event(2, class_id=99), event(3, class_id=1)
    saved = send(client, good, bad, late)
    assert [receipt["key"] for receipt in saved["receipts"]] == [good["key"], late["key"]]
    (refused,) = saved["refused"]
    assert refused["key"] == bad["key"]
    assert "99" in refused["problem"]
    assert sorted(label.image_id for label in project.labels.all()) == [1, 3]


def test_the_key_of_another_answer_is_refused(client: TestClient) -> None:
    first = event(1)
    send(client, first)
    assert send(client, {**first, "image_id": 2})["receipts"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_id": -1},
        {"image_id": 2**60},
        {"image_id": "3"},
        {"image_id": 1.5},
        {"image_id": True},
        {"action": "delete"},
        {"annotator": ""},
        {"annotator": "a" * 201},
        {"key": "short"},
        {"seconds": -1},
        {"seconds": "NaN"},
        {"path": "/etc/passwd"},
    ],
    ids=str,
)
def test_what_is_no_answer_is_refused(reader: TestClient, wrong: dict[str, Any]) -> None:
    answer = reader.post("/api/answers", json={"events": [{**event(1), **wrong}]})
    assert answer.status_code == 422
    assert set(answer.json()) == {"problem", "hint"}
    assert reader.get("/api/project").json()["counts"]["labelled"] == 0


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b'{"events": 1}', b'{"events":[{"seconds":NaN}]}', b"\xff"]
)
def test_what_is_no_request_is_refused(reader: TestClient, body: bytes) -> None:
    answer = reader.post("/api/answers", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"problem", "hint"}


def test_characters_that_are_no_text_are_refused(reader: TestClient) -> None:
    body = b'{"events":[{"key":"12345678","image_id":1,"annotator":"\\udcff","action":"skip"}]}'
    answer = reader.post("/api/answers", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_too_many_at_once_are_refused(reader: TestClient) -> None:
    answer = reader.post("/api/answers", json={"events": [event(1, "skip") for _ in range(MOST_EVENTS + 1)]})
    assert answer.status_code == 422


def test_a_full_disk_is_told_and_nothing_is_acknowledged(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(events: object) -> None:
        raise RunFailed("The disk is full: 0 bytes are free.", "Free some space.")

    monkeypatch.setattr(project.annotations, "append_many", full)
    answer = client.post("/api/answers", json={"events": [event(1)]})
    assert answer.status_code == 503
    assert answer.json() == {"problem": "The disk is full: 0 bytes are free.", "hint": "Free some space."}


def test_what_is_held_back_cannot_be_accepted(client: TestClient, project: Project) -> None:
    record_model(project)
    measuring = int(project.estimate.image_ids()[0])
    others = sorted(set(project.images.labelable_ids().tolist()) - set(project.estimate.image_ids().tolist()))
    hidden = next(image for image in others if hides_suggestion([image])[0])
    free = next(image for image in others if not hides_suggestion([image])[0])
    accepting = [
        event(image, accepted=True, suggestion_shown=True, browsed=True)
        for image in (measuring, hidden, free)
    ]
    unseen = event(free, accepted=True)
    skipped = event(free, "skip", accepted=True, suggestion_shown=True)
    answer = client.post("/api/answers", json={"events": [*accepting, unseen, skipped]}).json()
    assert [receipt["image_id"] for receipt in answer["receipts"]] == [free]
    refused = {each["key"]: each["problem"] for each in answer["refused"]}
    assert set(refused) == {each["key"] for each in (*accepting[:2], unseen, skipped)}
    assert f"image {measuring} is hidden" in refused[accepting[0]["key"]]
    assert [label.image_id for label in project.labels.all()] == [free]
    plain = event(measuring, suggestion_shown=False)
    assert len(client.post("/api/answers", json={"events": [plain]}).json()["receipts"]) == 1
