"""Names that a spreadsheet has changed: leading zeros that are gone, numbers with a fraction, dates, truth values.

A changed name looks like a new class. It is recognised by the classes that are known, or by its form as a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

_MONTHS = tuple(
    names.split()
    for names in (
        "january januar janvier gennaio enero",
        "february februar février febbraio febrero",
        "march märz mrz mars marzo",
        "april avril aprile abril",
        "may mai maggio mayo",
        "june juni juin giugno junio",
        "july juli juillet luglio julio",
        "august août agosto",
        "september septembre settembre septiembre",
        "october oktober octobre ottobre octubre",
        "november novembre noviembre",
        "december dezember décembre dicembre diciembre",
    )
)
_DAY_AND_MONTH = re.compile(
    r"(?P<first>\d{1,2}|[a-zäéû]{3,10})\.?[\s./-]+(?P<second>\d{1,2}|[a-zäéû]{3,10})\.?"
)
_WORD_AND_NUMBER = re.compile(r"(?P<first>[a-zäéû]{3,10})(?P<second>\d{1,2})")
_ISO_DATE = re.compile(r"\d{4}-(?P<first>\d{2})-(?P<second>\d{2})(?: 00:00(?::00)?)?")
_LONG_DATE = re.compile(r"(?P<first>\d{1,2})[./-](?P<second>\d{1,2})[./-](?:\d{2}|\d{4})")
_TRUTH = {"true": ("wahr", "vrai", "vero"), "false": ("falsch", "faux", "falso")}


def unaltered(name: str, known: Iterable[str]) -> str | None:
    """The known name that a spreadsheet may have changed into another; None if there is none.

    Args:
        name: not one of the known ones.
        known: names of classes.
    """
    if number_in(name) is None and _day_and_month(name) is None and not name.isupper():
        return None
    return next((each for each in known if each != name and _may_become(each, name)), None)


def is_spreadsheet_date(name: str) -> bool:
    """Whether a name is a day and a month in letters, as a spreadsheet writes ``1-2`` or ``MAR1``."""
    found = _DAY_AND_MONTH.fullmatch(name.strip().casefold())
    if not found:
        return False
    numbers = [part.isdecimal() for part in found.groups()]
    months = [_month(part) is not None for part in found.groups()]
    return any(numbers) and any(months)


def _month(word: str) -> int | None:
    """The number of a month by its name or the first three letters or more of it."""
    numbers = (
        number for number, names in enumerate(_MONTHS, 1) if any(each.startswith(word) for each in names)
    )
    return next(numbers, None) if len(word) >= 3 else None


def _may_become(name: str, changed: str) -> bool:
    number = number_in(name)
    if number is not None and number == number_in(changed):
        return True
    plain, lower = name.strip().casefold(), changed.strip().casefold()
    if plain in _TRUTH:
        return changed.isupper() and lower in (plain, *_TRUTH[plain])
    date = _day_and_month(changed)
    return date is not None and date == _day_and_month(name)


def number_in(text: str) -> Decimal | None:
    """The number that a name is, however it is written; None if it is none."""
    text = text.strip().replace(",", ".")
    if not re.fullmatch(r"[+-]?\d{1,20}(?:\.\d{1,5})?(?:[eE][+-]?\d{1,3})?", text, re.ASCII):
        return None
    return Decimal(text).normalize()


def _day_and_month(name: str) -> frozenset[int] | None:
    """The day and the month of a name, in any order; None if it is no date."""
    plain = name.strip().casefold()
    for form in (
        _ISO_DATE,
        _LONG_DATE,
        _DAY_AND_MONTH,
        _WORD_AND_NUMBER,
    ):
        found = form.fullmatch(plain)
        if found:
            parts = [int(part) if part.isdecimal() else _month(part) or 0 for part in found.groups()]
            return frozenset(parts) if all(0 < part <= 31 for part in parts) else None
    return None
