"""What the browser gets: nothing from elsewhere, nothing inline, no string that becomes markup or code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import aral.web

HERE = Path(aral.web.__file__).parent
MODULES = sorted((HERE / "static").glob("*.js"))
DANGEROUS = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc",
    "createContextualFragment", "DOMParser", "setHTML", "postMessage(", "importScripts", "javascript:",
)  # fmt: skip
SVG = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_set_text_only(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert [word for word in DANGEROUS if word in text] == []
    assert "//" not in re.sub(r"(?m)(^|\s)//.*$", "", text.replace(SVG, ""))  # no address of another server
    for imported in re.findall(r'from "(.+?)"', text):
        assert (module.parent / imported).is_file()
    assert re.search(r'setTimeout\("|style=', text) is None


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(reader: TestClient) -> None:
    page = reader.get("/").text
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/static/page.js">']
    assert re.search(r"<style|\sstyle=|\son\w+=|https?://", page) is None
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert reader.get(address).status_code == 200
    assert {f"/static/{module.name}" for module in MODULES} <= set(re.findall(r'href="([^"]+)"', page))


def test_the_style_sheet_loads_nothing() -> None:
    text = (HERE / "static" / "page.css").read_text(encoding="utf-8")
    assert re.search(r"@import|url\(|https?:", text) is None
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion: reduce" in text


def test_modules_are_served_as_modules(reader: TestClient) -> None:
    answer = reader.get("/static/page.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
