"""Cards, answers and history: each answer is saved once and in order, and a refused one blocks no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from aral.annotation import BROWSING, BY_CHANCE, ESTIMATE_SET, Project, Provenance
from aral.annotation.predictions import hides_suggestion
from aral.errors import RunFailed
from aral.testing import project_database, project_rows
from aral.web.labelling import MOST_EVENTS
from tests.web.conftest import IMAGES, event, record_model


def cards(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/next", params={"annotator": "Ann", **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["cards"])


def test_a_card_says_what_the_page_needs(client: TestClient, project: Project) -> None:
    (card,) = cards(client, count=1)
    image = project.images.get(card["image_id"])
    assert card["name"] == image.name
    assert (card["width"], card["height"]) == (96, 72)
    assert card["thumbnail"] == f"/thumbnail/{image.id}?v={image.sha256[:16]}"
    assert card["stage"] == f"/thumbnail/{image.id}?v={image.sha256[:16]}&size=stage"
    assert client.get(card["thumbnail"]).headers["content-type"] == "image/jpeg"


def test_what_a_page_holds_is_not_given_again(client: TestClient) -> None:
    first = [card["image_id"] for card in cards(client, count=5, tab="one")]
    second = [
        card["image_id"] for card in cards(client, count=5, tab="one", holding=",".join(map(str, first)))
    ]
    assert len({*first, *second}) == 10
    assert [card["image_id"] for card in cards(client, count=5, tab="one")] == first


def test_two_tabs_and_two_annotators_never_hold_the_same_image(client: TestClient) -> None:
    held = [card["image_id"] for card in cards(client, count=6, tab="one")]
    held += [card["image_id"] for card in cards(client, count=6, tab="two")]
    held += [card["image_id"] for card in cards(client, count=6, annotator="Bob")]
    assert len(set(held)) == 18


def test_what_a_page_shows_stays_leased_with_the_status(client: TestClient, project: Project) -> None:
    held = [card["image_id"] for card in cards(client, count=6, tab="one")]
    query = {"group": "unlabelled", "annotator": "Ann", "tab": "one"}
    tiles = [cell["image_id"] for cell in client.get("/api/grid", params=query).json()["groups"][0]["cells"]]
    with project_database(project) as database, database.transaction() as connection:
        connection.execute("UPDATE leases SET ends = ends - 595")
    shown = {"annotator": "Ann", "tab": "one", "holding": ",".join(map(str, held))}
    client.get("/api/status", params={**shown, "tiles": ",".join(map(str, tiles))})
    ((first,),) = project_rows(
        project, "SELECT min(ends) - (SELECT value FROM counters WHERE name = 'clock') FROM leases"
    )
    assert first > 550
    client.get("/api/status", params={**shown, "tiles": ""})
    ((left,),) = project_rows(project, "SELECT count(*) FROM leases")
    assert left == len(held)


def test_cards_run_out(client: TestClient) -> None:
    seen = set()
    for count in (64, 64):
        batch = [card["image_id"] for card in cards(client, count=count)]
        client.post("/api/answers", json={"events": [event(image) for image in batch]})
        seen |= set(batch)
    assert len(seen) == IMAGES
    assert cards(client, count=64) == []


@pytest.mark.parametrize("holding", ["a", "1,b", "-1", "1.5", str(2**60), "²", ",".join(["1"] * 1001)])
def test_what_is_no_list_of_numbers_is_refused(reader: TestClient, holding: str) -> None:
    answer = reader.get("/api/next", params={"annotator": "Ann", "holding": holding})
    assert answer.status_code == 400
    assert "holding" in answer.json()["problem"]
    answer = reader.get("/api/status", params={"annotator": "Ann", "tiles": holding})
    assert answer.status_code == 400
    assert "tiles" in answer.json()["problem"]


@pytest.mark.parametrize(
    "query", [{}, {"annotator": ""}, {"annotator": "A", "count": 0}, {"annotator": "A", "count": 65}]
)
def test_a_request_that_cannot_be_read(reader: TestClient, query: dict[str, Any]) -> None:
    assert reader.get("/api/next", params=query).status_code == 422


def history(client: TestClient, **query: Any) -> list[tuple[int, str, bool]]:
    answers = client.get("/api/history", params={"annotator": "Ann", **query}).json()["answers"]
    return [
        (each["card"]["image_id"], each["answer"]["action"], each["answer"]["cancelled"]) for each in answers
    ]


def test_history_goes_back_page_by_page(client: TestClient) -> None:
    client.post("/api/answers", json={"events": [event(image) for image in range(7)]})
    first = client.get("/api/history", params={"annotator": "Ann", "count": 3}).json()["answers"]
    assert [each["card"]["image_id"] for each in first] == [6, 5, 4]
    assert first[0]["card"]["thumbnail"].startswith("/thumbnail/6?v=")
    assert history(client, count=3, before=first[-1]["answer"]["seq"]) == [
        (3, "class", False),
        (2, "class", False),
        (1, "class", False),
    ]
    assert history(client, annotator="Bob") == []


def test_what_was_taken_back_can_be_left_out(client: TestClient) -> None:
    client.post("/api/answers", json={"events": [event(0), event(1), event(1, "undo"), event(2, "unsure")]})
    assert history(client) == [(2, "unsure", False), (1, "class", True), (0, "class", False)]
    assert history(client, undoable=True) == [(2, "unsure", False), (0, "class", False)]
    assert history(client, undoable=True, count=1) == [(2, "unsure", False)]


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


def test_provenance_of_browsed_images_and_of_cards_is_recorded(client: TestClient, project: Project) -> None:
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


def test_a_full_disk_is_reported_and_nothing_is_acknowledged(
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
