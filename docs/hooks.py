"""Docstrings name objects with roles, such as ``:func:`run```; the site shows only the name."""

import re
from typing import Any


def on_page_content(html: str, **_: Any) -> str:
    """Remove the roles before code."""
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html).replace("<code>~", "<code>")
