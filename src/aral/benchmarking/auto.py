"""What ``auto``, the default method of every command, resolves to; loads no network library."""

from __future__ import annotations

AUTO = "auto"
AUTO_METHOD = "graph-ssl+aral-graph"
AUTO_REASON = "the most accurate method with few labels in the measurements of docs/benchmarks.md"


def auto_text() -> str:
    """The method and the reason, for the terminal."""
    return f"Method: {AUTO_METHOD} (auto: {AUTO_REASON})."
