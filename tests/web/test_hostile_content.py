"""Hostile photos, names, keys and requests: pixels and text get through, and the server does not fail."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from aral.annotation import Project
from aral.web import Security, make_app
from tests.web.conftest import BASE, PAYLOADS, SECRET, every_route

CANARY = b"alert(1)"
SCRIPT = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def saved(kind: str, seed: int, **options: object) -> bytes:
    file = io.BytesIO()
    noise = Image.effect_noise((32, 24), 40 + seed)
    noise.convert("RGB").save(file, kind, **options)
    return file.getvalue()


def polyglots() -> dict[str, bytes]:
    """Files that are an image for Pillow, or for a browser that guesses, and something else for others."""
    text = PngInfo()
    text.add_text("Comment", SCRIPT.decode())
    exif = Image.Exif()
    exif[0x010E] = SVG.decode()
    gif = saved("GIF", 1)
    return {
        "comment.jpg": saved("JPEG", 2, comment=SCRIPT),
        "exif.jpg": saved("JPEG", 3, exif=exif),
        "after.jpg": saved("JPEG", 4) + SCRIPT,
        "text.png": saved("PNG", 5, pnginfo=text),
        "after.png": saved("PNG", 6) + SVG,
        "comment.gif": gif[:-1] + b"!\xfe" + bytes([len(SCRIPT)]) + SCRIPT + b"\0;",
        "page.html.png": saved("PNG", 7) + SCRIPT,
        "profile.webp": saved("WEBP", 8, icc_profile=SCRIPT),
    }


NO_IMAGES = {
    "vector.svg": SVG,
    "vector.png": SVG,
    "page.jpg": SCRIPT,
    "script.gif": b"GIF89a=alert(1)//;",
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[Project, TestClient]]:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, content in (polyglots() | NO_IMAGES).items():
        (photos / name).write_bytes(content)
    (photos / os.fsdecode(b"caf\xe9\xff.png")).write_bytes(saved("PNG", 9))
    rules = Security(SECRET, 8427)
    with (
        Project.create_or_open(photos, class_names=("a", "b")) as project,
        TestClient(make_app(project, rules), base_url=BASE, cookies={rules.cookie_name: SECRET}) as opened,
    ):
        project.images.sync()
        yield project, opened


def test_only_pixels_of_a_polyglot_reach_the_page(client: tuple[Project, TestClient]) -> None:
    project, page = client
    names = {
        project.images.get(image_id).name: image_id for image_id in project.images.labelable_ids().tolist()
    }
    assert polyglots().keys() <= names.keys() and not names.keys() & NO_IMAGES.keys()
    assert {bad.path for bad in project.images.unreadable()} == set(NO_IMAGES)
    for name in polyglots():
        assert CANARY in (project.photos / name).read_bytes()
        for kind in ("thumbnail", "stage", "full"):
            answer = page.get(f"/thumbnail/{names[name]}?size={kind}")
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.content.startswith(b"\xff\xd8") and answer.content.endswith(b"\xff\xd9")
            assert b"alert" not in answer.content and b"<" + b"script" not in answer.content
            Image.open(io.BytesIO(answer.content)).verify()


def test_names_that_are_no_text_reach_the_page_as_they_are(client: tuple[Project, TestClient]) -> None:
    project, page = client
    cards = page.get("/api/next", params={"annotator": "Ann", "count": 30}).content
    found = {os.fsencode(card["name"]) for card in json.loads(cards)["cards"]}
    assert b"caf\xe9\xff.png" in found and len(found) == project.images.count()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markup_as_a_key_stays_text(client: tuple[Project, TestClient], payload: str) -> None:
    """Label Studio ran what was kept as a hotkey (CVE-2026-22033); here it is a string in JSON, or refused."""
    _, page = client
    keys = page.get("/api/project").json()["settings"]["keys"]
    answer = page.post("/api/settings", json={"annotator": "Ann", "keys": {**keys, "skip": payload}})
    assert answer.status_code in (200, 400, 422) and answer.headers["content-type"] == "application/json"
    refused = page.post("/api/settings", json={"annotator": "Ann", "keys": {**keys, payload: "q"}})
    assert refused.status_code in (400, 422) and refused.headers["content-type"] == "application/json"
    assert payload not in page.get("/").text, "it never comes with the page itself"


WORDS = ("key", "events", "action", "class_id", "image_id", "annotator", "change", "name", "add", "class", "undo",
         "rename", "merge", "into_id", "tasks", "data", "task", "annotation", "result", "keys", "overlap", "Ann",
         "ANNOTATION_CREATED", "label_config", "image", "aral_id", "0")  # fmt: skip

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=20,
)
QUERY = st.dictionaries(
    st.sampled_from(
        ("annotator", "count", "holding", "tab", "before", "undoable", "group", "offset", "since", "v")
    ),
    st.one_of(
        st.text(max_size=12), st.integers().map(str), st.sampled_from(("near", "unlabelled", "1,2", "true"))
    ),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=JSON, query=QUERY)
def test_no_request_makes_the_server_fail(app: FastAPI, body: Any, query: dict[str, str]) -> None:
    client = TestClient(app, base_url=BASE, headers={"authorization": f"Bearer {SECRET}"})
    for method, address in every_route(app):
        if method == "POST":
            try:
                answer = client.post(address, json=body)
            except ValueError:  # not a number, or no text: no client can write that as JSON
                continue
        else:
            answer = client.request(method, address, params=query)
        assert answer.status_code < 500, (address, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.json()["problem"]
