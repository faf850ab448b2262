"""Numbers and nouns agree: every message writes a count and its noun with one function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from aral.plural import counted

SOURCE = Path(__file__).parents[1] / "src" / "aral"
WITH_MESSAGES = [
    path
    for part in ("annotation", "benchmarking", "cli", "loop", "reports", "web")
    for path in (SOURCE / part).rglob("*.py")
]
MODULES = sorted((SOURCE / "web" / "static").glob("*.js"))
NOUNS = "images|files|labels|rounds|units|seeds|panels|runs|copies|groups|answers|scores"
PLURAL = rf"(?: (?!holds)[a-z]+)? (?:{NOUNS})\b(?!\.)"


def test_one_and_many() -> None:
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(count, "class", "classes") for count in (1, 3)] == ["1 class", "3 classes"]
    assert [counted(count, "file is", "files are") for count in (1, 0)] == ["1 file is", "0 files are"]


def unguarded(tree: ast.AST) -> Iterator[str]:
    """Plural nouns right after a value that might be 1; names in capitals are constants above that."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                name = ast.unparse(value.value)
                if re.match(PLURAL, str(text.value)) and not name.isupper():
                    yield f"{name}{text.value}"


def test_no_sentence_says_one_images() -> None:
    assert WITH_MESSAGES
    found = {path: list(unguarded(ast.parse(path.read_text()))) for path in WITH_MESSAGES}
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_no_sentence_of_the_page_does() -> None:
    assert MODULES
    found = {path: re.findall(rf"\}}{PLURAL}", path.read_text()) for path in MODULES}
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_the_check_itself_finds_what_it_should() -> None:
    bad = "f'{count} images', f'{len(new)} new files, {MOST} rounds', f'{name} images'"
    assert len(list(unguarded(ast.parse(bad)))) == 3
