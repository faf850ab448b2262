"""Rules of the house that a machine can check: nothing is unpickled or unpacked, no vague files."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "aral"
FILES = sorted(SOURCE.rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml"}
MODULES = UNPICKLING | {"tarfile", "multiprocessing"}
CALLS = {"ZipFile", "extract", "extractall", "unpack_archive", "DataLoader"}
"""By the last part of their name. Archives can name files outside of the folder they are unpacked into: no command
unpacks one. Batches are made in the process that trains: no loader can die, or disturb their order."""
ALLOWED = {
    SOURCE / "representations" / "weights.py": ["torch.load"],
    # An archive of the package itself, into a folder of the user's.
    SOURCE / "data" / "photographs.py": ["zipfile.ZipFile", "files.extract"],
    # Members are read into memory as streams; `extract` and `extractall` stay forbidden.
    SOURCE / "data" / "shards.py": ["tarfile"],
    SOURCE / "testing" / "shards.py": ["tarfile"],
}
"""Weights of a package or a hub, after their SHA-256 has been checked, with ``weights_only``; once in one file."""


def forbidden(tree: ast.AST) -> list[str]:
    """What a syntax tree does that could run code from a file, or that the design does without."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            found.append(f"from {node.module} import *")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("torch.load", "eval", "exec") or name.rpartition(".")[2] in CALLS:
                found.append(name)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if keywords.get("allow_pickle", "False") != "False":
                found.append(f"{name}(allow_pickle)")
            if name == "torch.load" and keywords.get("weights_only") != "True":
                found.append("torch.load without weights_only")
    return found


def test_no_file_breaks_a_rule() -> None:
    assert len(FILES) > 100
    found = {path: forbidden(ast.parse(path.read_text())) for path in FILES}
    assert {path: calls for path, calls in found.items() if calls} == ALLOWED
    assert [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")] == []
    assert [path for path in FILES if len(path.read_text().splitlines()) > 700] == []


def test_the_check_itself_finds_what_it_should() -> None:
    bad = "import pickle\nfrom os import *\ntorch.load('x')\nnumpy.load('x', allow_pickle=True)"
    assert len(forbidden(ast.parse(bad))) == 5
    bad = (
        "import tarfile\nzipfile.ZipFile('x').extractall('y')\nshutil.unpack_archive('x')\ndata.DataLoader(x)"
    )
    assert len(forbidden(ast.parse(bad))) == 5
