"""Names that try to become markup or code."""

PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)<&script>",
    "<svg onload=alert(1)>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "{{7*7}} {% raw %} ${alert(1)}",
    "<iframe srcdoc='<script>alert(1)<&script>'>",
    "<style>*{display:none}<&style>",
    "<a href=javascript:alert(1)>x<&a>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "\u202egnp.exe",
    "line\nbreak\ttab",
    "<!-- <base href=http:&&evil.example>",
    "constructor",
    "__proto__",
)  # fmt: skip
