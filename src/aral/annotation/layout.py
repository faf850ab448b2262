"""The layout of ``project.sqlite``, as numbered migrations from an empty file to the newest version.

A released migration is never edited: a change of layout is a new migration at the end.

Some tables and columns have older names than the code: ``standing`` holds each annotator's current answer to each
image; ``images.estimate`` marks the estimate set; ``images.verdicts`` counts the annotators who gave a decisive
answer; ``images.open`` is 1 while an image needs more answers; ``asked`` holds the queries of all rounds.
"""

from __future__ import annotations

from aral.loop.database import Migration, Schema

APPLICATION_ID = 0x4152504A
"""``ARPJ``: marks an SQLite file as that of a project."""

_IMAGES: Migration = (
    # Names are bytes: a file system knows no encoding.
    """CREATE TABLE images (
        id INTEGER PRIMARY KEY CHECK (id >= 0),
        name BLOB NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'missing', 'changed', 'unreadable')),
        file_size INTEGER NOT NULL,
        file_time INTEGER NOT NULL,
        shuffle REAL NOT NULL,
        width INTEGER NOT NULL DEFAULT 0,
        height INTEGER NOT NULL DEFAULT 0,
        format TEXT NOT NULL DEFAULT '',
        animated INTEGER NOT NULL DEFAULT 0,
        sha256 TEXT NOT NULL DEFAULT '',
        likeness INTEGER,
        duplicate_of INTEGER REFERENCES images (id),
        reason TEXT,
        detail TEXT,
        estimate INTEGER NOT NULL DEFAULT 0,
        verdicts INTEGER NOT NULL DEFAULT 0,
        state TEXT,
        open INTEGER NOT NULL DEFAULT 0,
        CHECK ((status = 'unreadable') = (reason IS NOT NULL)),
        CHECK (duplicate_of IS NULL OR duplicate_of <> id)) STRICT""",
    # One row for each file that is there; rows of what is gone keep their name beside it.
    """CREATE UNIQUE INDEX images_present ON images (name)
        WHERE status IN ('pending', 'ready', 'unreadable')""",
    "CREATE INDEX images_by_name ON images (name)",
    "CREATE INDEX images_by_content ON images (sha256) WHERE sha256 <> ''",
    "CREATE INDEX images_copies ON images (duplicate_of) WHERE duplicate_of IS NOT NULL",
    "CREATE INDEX images_labelable ON images (id) WHERE status = 'ready' AND duplicate_of IS NULL",
    "CREATE INDEX images_pending ON images (id) WHERE status = 'pending'",
    "CREATE INDEX images_unreadable ON images (id) WHERE status = 'unreadable'",
    "CREATE INDEX images_open ON images (estimate, shuffle) WHERE open = 1",
    "CREATE INDEX images_slice ON images (shuffle) WHERE estimate = 1",
    "CREATE INDEX images_conflicts ON images (id) WHERE state = 'conflict'",
    "CREATE INDEX images_of_several ON images (id) WHERE verdicts > 1",
    "CREATE TABLE left_out (path BLOB PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL) STRICT",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT",
    "INSERT INTO counters VALUES ('changes', 0)",
)

_PEOPLE: Migration = (
    """CREATE TABLE annotators (
        id INTEGER PRIMARY KEY CHECK (id > 0), name TEXT NOT NULL UNIQUE CHECK (name <> '')) STRICT""",
    """CREATE TABLE classes (
        id INTEGER PRIMARY KEY CHECK (id >= 0),
        name TEXT NOT NULL CHECK (name <> ''),
        composed_name TEXT NOT NULL,
        key TEXT NOT NULL,
        guideline TEXT NOT NULL DEFAULT '',
        example_ids TEXT NOT NULL DEFAULT '[]',
        merged_into INTEGER REFERENCES classes (id)) STRICT""",
    "CREATE UNIQUE INDEX live_class_names ON classes (composed_name) WHERE merged_into IS NULL",
    """CREATE TABLE class_changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        class_id INTEGER NOT NULL REFERENCES classes (id),
        change TEXT NOT NULL CHECK (change IN ('add', 'rename', 'merge', 'describe')),
        detail TEXT NOT NULL,
        annotator TEXT NOT NULL,
        changed_at TEXT NOT NULL) STRICT""",
)

_ANSWERS: Migration = (
    """CREATE TABLE answers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE CHECK (key <> ''),
        image_id INTEGER NOT NULL REFERENCES images (id),
        annotator_id INTEGER NOT NULL REFERENCES annotators (id),
        action TEXT NOT NULL
            CHECK (action IN ('class', 'skip', 'unsure', 'bad image', 'none of these', 'undo')),
        class_id INTEGER REFERENCES classes (id),
        cancels INTEGER UNIQUE REFERENCES answers (seq),
        suggestion_shown INTEGER NOT NULL,
        suggested_class INTEGER,
        suggested_probability REAL,
        suggested_by INTEGER,
        purpose TEXT NOT NULL,
        round INTEGER,
        seconds REAL,
        answered_at TEXT NOT NULL,
        answered_clock REAL NOT NULL,
        CHECK ((action = 'class') = (class_id IS NOT NULL)),
        CHECK ((action = 'undo') = (cancels IS NOT NULL))) STRICT""",
    "CREATE INDEX answers_by_image ON answers (image_id, annotator_id, seq)",
    "CREATE INDEX answers_by_annotator ON answers (annotator_id, seq)",
    "CREATE INDEX answers_by_time ON answers (annotator_id, answered_clock)",
    """CREATE TRIGGER answers_are_never_changed BEFORE UPDATE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    """CREATE TRIGGER answers_are_never_deleted BEFORE DELETE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    # INSERT OR REPLACE deletes the old row without asking the trigger above.
    """CREATE TRIGGER answers_are_never_replaced BEFORE INSERT ON answers
        WHEN EXISTS (SELECT 1 FROM answers
                     WHERE seq = NEW.seq OR key = NEW.key OR cancels = NEW.cancels)
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    # Each annotator's current answer to each image: the newest one that was not undone.
    """CREATE TABLE standing (
        image_id INTEGER NOT NULL REFERENCES images (id),
        annotator_id INTEGER NOT NULL REFERENCES annotators (id),
        seq INTEGER NOT NULL REFERENCES answers (seq),
        action TEXT NOT NULL,
        class_id INTEGER,
        PRIMARY KEY (image_id, annotator_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX standing_put_off ON standing (annotator_id, seq) WHERE action IN ('skip', 'unsure')",
    """CREATE TABLE tally (
        state TEXT NOT NULL, estimate INTEGER NOT NULL, images INTEGER NOT NULL,
        PRIMARY KEY (state, estimate)) STRICT, WITHOUT ROWID""",
    """CREATE TRIGGER tally_states AFTER UPDATE OF state ON images WHEN OLD.state IS NOT NEW.state BEGIN
        UPDATE tally SET images = images - 1 WHERE state = OLD.state AND estimate = OLD.estimate;
        INSERT INTO tally SELECT NEW.state, NEW.estimate, 1 WHERE NEW.state IS NOT NULL
            ON CONFLICT DO UPDATE SET images = images + 1;
    END""",
)

_QUEUE: Migration = (
    """CREATE TABLE queue (
        position INTEGER PRIMARY KEY CHECK (position >= 0),
        image_id INTEGER NOT NULL UNIQUE REFERENCES images (id),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        round INTEGER NOT NULL CHECK (round >= 0),
        score REAL,
        reason TEXT NOT NULL,
        acquisition TEXT NOT NULL,
        open INTEGER NOT NULL) STRICT""",
    "CREATE INDEX queue_open ON queue (purpose, position) WHERE open = 1",
    """CREATE TRIGGER queue_follows_images AFTER UPDATE OF open ON images WHEN OLD.open <> NEW.open
        BEGIN UPDATE queue SET open = NEW.open WHERE image_id = NEW.id; END""",
    """CREATE TABLE leases (
        image_id INTEGER NOT NULL REFERENCES images (id),
        annotator_id INTEGER NOT NULL REFERENCES annotators (id),
        tab TEXT NOT NULL,
        ends REAL NOT NULL,
        purpose TEXT NOT NULL,
        round INTEGER,
        reason TEXT NOT NULL,
        suggested_class INTEGER,
        suggested_probability REAL,
        suggested_by INTEGER,
        given INTEGER NOT NULL,
        PRIMARY KEY (image_id, annotator_id)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX leases_by_end ON leases (ends)",
    "CREATE INDEX leases_by_annotator ON leases (annotator_id)",
)

_MODELS: Migration = (
    """CREATE TABLE models (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        body TEXT NOT NULL, recorded_at TEXT NOT NULL) STRICT""",
    """CREATE TABLE predictions (
        model_number INTEGER NOT NULL REFERENCES models (number),
        block INTEGER NOT NULL,
        ids BLOB NOT NULL, top BLOB NOT NULL, probability BLOB NOT NULL, row_probabilities BLOB NOT NULL,
        PRIMARY KEY (model_number, block)) STRICT""",
    """CREATE TABLE pictures (
        model_number INTEGER PRIMARY KEY REFERENCES models (number), jpeg BLOB NOT NULL) STRICT""",
)

_ASKED: Migration = (
    # The queries of all rounds, kept when the queue is replaced: an answer may be given long after its round.
    """CREATE TABLE asked (
        image_id INTEGER NOT NULL REFERENCES images (id),
        round INTEGER NOT NULL CHECK (round >= 0),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        acquisition TEXT NOT NULL,
        score REAL,
        reason TEXT NOT NULL,
        PRIMARY KEY (image_id, round)) STRICT, WITHOUT ROWID""",
    "INSERT INTO asked SELECT image_id, round, purpose, acquisition, score, reason FROM queue",
    # Empty for earlier leases and answers, whose provenance was not recorded.
    "ALTER TABLE leases ADD COLUMN strategy TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE leases ADD COLUMN score REAL",
    "ALTER TABLE answers ADD COLUMN strategy TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE answers ADD COLUMN score REAL",
)

_IMPORTS: Migration = (
    # An import of labels, or the undo of one, is a unit.
    """CREATE TABLE label_imports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        undoes INTEGER UNIQUE REFERENCES label_imports (id),
        source BLOB NOT NULL,
        imported_at TEXT NOT NULL,
        counts TEXT NOT NULL) STRICT""",
    """CREATE TABLE label_import_events (
        seq INTEGER PRIMARY KEY REFERENCES answers (seq),
        import_id INTEGER NOT NULL REFERENCES label_imports (id)) STRICT""",
    "CREATE INDEX events_by_import ON label_import_events (import_id)",
    """CREATE TABLE label_import_classes (
        class_id INTEGER PRIMARY KEY REFERENCES classes (id),
        import_id INTEGER NOT NULL REFERENCES label_imports (id)) STRICT""",
    # A removed class stays as a row, because undone events refer to it.
    "ALTER TABLE classes ADD COLUMN removed INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX live_class_names",
    """CREATE UNIQUE INDEX live_class_names ON classes (composed_name)
        WHERE merged_into IS NULL AND removed = 0""",
    "ALTER TABLE class_changes RENAME TO class_changes_before",
    """CREATE TABLE class_changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        class_id INTEGER NOT NULL REFERENCES classes (id),
        change TEXT NOT NULL CHECK (change IN ('add', 'rename', 'merge', 'describe', 'remove')),
        detail TEXT NOT NULL,
        annotator TEXT NOT NULL,
        changed_at TEXT NOT NULL) STRICT""",
    "INSERT INTO class_changes SELECT * FROM class_changes_before",
    "DROP TABLE class_changes_before",
)

_TEXT: Migration = (
    # Zero-shot suggestions are of no model: their numbers are negative.
    "ALTER TABLE predictions RENAME TO predictions_before",
    """CREATE TABLE predictions (
        model_number INTEGER NOT NULL,
        block INTEGER NOT NULL,
        ids BLOB NOT NULL, top BLOB NOT NULL, probability BLOB NOT NULL, row_probabilities BLOB NOT NULL,
        PRIMARY KEY (model_number, block)) STRICT""",
    "INSERT INTO predictions SELECT * FROM predictions_before",
    "DROP TABLE predictions_before",
    # Searches by words: the training worker has the backbone, and answers them.
    """CREATE TABLE searches (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        words TEXT NOT NULL CHECK (words <> ''),
        ids BLOB, similarities BLOB,
        unread INTEGER NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT '') STRICT""",
)

MIGRATIONS: tuple[Migration, ...] = (
    (f"PRAGMA application_id = {APPLICATION_ID}", *_IMAGES, *_PEOPLE, *_ANSWERS, *_QUEUE, *_MODELS),
    _ASKED,
    _IMPORTS,
    _TEXT,
)
"""Migration number N, counted from 1, turns layout N-1 into layout N."""

TRACES = ("project.sqlite.backup-*", "session-*", "models/*", "pixels-*.u8")
"""Files that are made after the database: where there is one, the database held a project."""

SCHEMA = Schema(APPLICATION_ID, "project", MIGRATIONS, TRACES)
