"""Whatever is sent, the server answers with a sentence and does not fail."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.web.conftest import BASE, SECRET
from tests.web.routes import every_route

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
