"""What an installation brings along may be used by anybody: no licence of the core asks for the source."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

COPYLEFT = re.compile(r"\b(A?GPL|GNU (?!Lesser)|Affero|SSPL|EUPL|CDDL|CC-BY-SA)", re.IGNORECASE)
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|HPND|CMU|MPL|Mozilla|Zlib|Unlicense|Public Domain|0BSD)",
    re.IGNORECASE,
)
NVIDIA = re.compile(r"^(nvidia|cuda|triton)", re.IGNORECASE)
"""Builds of PyTorch for graphics cards bring NVIDIA's own packages; the guide shows the build without them."""


CORE = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["dependencies"]


def closure(requirements: list[str]) -> set[str]:
    """Packages and all that they need on this machine, without extras."""
    seen: set[str] = set()
    waiting = list(requirements)
    while waiting:
        needed = Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", needed.name).lower()
        if name in seen or (needed.marker is not None and not needed.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        waiting += metadata.requires(name) or ()
    return seen


PACKAGES = sorted(name for name in closure(CORE) if not NVIDIA.match(name))


def licence(name: str) -> str:
    """What a package says of its licence: the expression, the classifiers, or the first line of the text."""
    about = metadata.metadata(name)
    parts = [about.get("License-Expression") or ""]
    parts += [each for each in about.get_all("Classifier") or () if each.startswith("License")]
    if not any(parts):
        parts = [(about.get("License") or "").strip().partition("\n")[0]]
    if parts == ["UNKNOWN"]:
        found = [file for file in metadata.files(name) or () if file.name == "LICENSE"]
        parts = [file.read_text().strip().partition("\n")[0] for file in found]
    return " | ".join(part for part in parts if part)


def test_the_packages_were_found() -> None:
    assert {"torch", "numpy", "pillow", "fastapi", "starlette", "pydantic-core"} <= set(PACKAGES)
    assert "pytest" not in PACKAGES and "onnx" not in PACKAGES


def test_the_packages_of_the_core_are_permissive() -> None:
    found = {name: licence(name) for name in PACKAGES}
    assert {n: t for n, t in found.items() if not PERMISSIVE.search(t) or COPYLEFT.search(t)} == {}


def test_the_check_itself_finds_what_it_should() -> None:
    for text in (
        "GPL-3.0-or-later",
        "AGPL-3.0",
        "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
    ):
        assert COPYLEFT.search(text)
    for text in ("MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception", "MPL-2.0"):
        assert not COPYLEFT.search(text) and PERMISSIVE.search(text)
