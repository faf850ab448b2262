"""Rules of the house that a machine can check: nothing is unpickled, no vague files, no star imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "aral"
FILES = sorted(SOURCE.rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml"}


def forbidden(tree: ast.AST) -> list[str]:
    """What a syntax tree does that could run code from a file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLING]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLING:
            found.append(str(node.module))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            found.append(f"from {node.module} import *")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("torch.load", "eval", "exec"):
                found.append(name)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if keywords.get("allow_pickle", "False") != "False":
                found.append(f"{name}(allow_pickle)")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_breaks_a_rule(path: Path) -> None:
    assert forbidden(ast.parse(path.read_text())) == []
    assert path.stem not in ("utils", "util", "helpers", "common", "misc")
    assert len(path.read_text().splitlines()) <= 300


def test_the_check_itself_finds_what_it_should() -> None:
    bad = "import pickle\nfrom os import *\ntorch.load('x')\nnumpy.load('x', allow_pickle=True)"
    assert len(forbidden(ast.parse(bad))) == 4
