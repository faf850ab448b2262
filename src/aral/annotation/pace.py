"""How fast somebody labels."""

from __future__ import annotations

from aral.annotation.annotators import known_annotator
from aral.annotation.answer_records import Pace
from aral.annotation.database import ProjectDatabase, clock_now

WINDOW_SECONDS = 300.0
_LEAST_SECONDS = 10.0


def pace(database: ProjectDatabase, annotator: str, left: int, round_left: float) -> Pace:
    """Labels a minute over the last minutes, and the time the labels that are left would take.

    Args:
        database: the project's.
        annotator: the person.
        left: how many labels are still to be given.
        round_left: how many of them until the newest round's images are answered.
    """
    with database.moment() as connection:
        now = clock_now(connection)
        first, labels = connection.execute(
            """SELECT min(answered_clock), count(*) FROM answers a
            WHERE annotator_id = ? AND action = 'class' AND answered_clock > ?
                AND NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq)""",
            (known_annotator(connection, annotator), now - WINDOW_SECONDS),
        ).fetchone()
    if labels < 2:
        return Pace(0.0, left, None, None)
    per_minute = 60 * (labels - 1) / max(now - first, _LEAST_SECONDS)
    return Pace(per_minute, left, left * 60 / per_minute, min(left, round_left) * 60 / per_minute)
