"""The layout of a project on a Postgres server: the tables of ``layout.py``, which describes them, with its numbers.

It begins with layout 4; a later migration of ``layout.py`` has its counterpart here, under the same number. What
statements expect of SQLite and Postgres lacks is made here: numbers that continue the highest one, without gaps
after a transaction that was rolled back, and ``json_extract``.
"""

from __future__ import annotations

from aral.loop.database import Migration

FIRST_LAYOUT = 4

_FUNCTIONS: Migration = (
    "CREATE TABLE project (identity TEXT NOT NULL, layout BIGINT NOT NULL)",
    """CREATE FUNCTION json_extract(body TEXT, path TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS
        $$ SELECT jsonb_path_query_first(body::jsonb, path::jsonpath) #>> '{}' $$""",
    # One transaction writes at a time, so the highest number is known; a sequence would leave gaps.
    """CREATE FUNCTION number_row() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE number BIGINT;
        BEGIN
            IF to_jsonb(NEW) ->> TG_ARGV[0] IS NOT NULL THEN RETURN NEW; END IF;
            EXECUTE format('SELECT coalesce(max(%1$I), 0) + 1 FROM %2$I.%3$I', TG_ARGV[0], TG_TABLE_SCHEMA,
                TG_TABLE_NAME) INTO number;
            RETURN jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], number));
        END $$""",
    """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'answers are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    """CREATE FUNCTION tally_state() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE tally SET images = images - 1 WHERE state = OLD.state AND estimate = OLD.estimate;
            IF NEW.state IS NOT NULL THEN
                INSERT INTO tally VALUES (NEW.state, NEW.estimate, 1)
                    ON CONFLICT (state, estimate) DO UPDATE SET images = tally.images + 1;
            END IF;
            RETURN NULL;
        END $$""",
    """CREATE FUNCTION follow_image() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE queue SET open = NEW.open WHERE image_id = NEW.id; RETURN NULL; END $$""",
)

_IMAGES: Migration = (
    """CREATE TABLE images (
        id BIGINT PRIMARY KEY CHECK (id >= 0),
        name BYTEA NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'missing', 'changed', 'unreadable')),
        file_size BIGINT NOT NULL,
        file_time BIGINT NOT NULL,
        shuffle DOUBLE PRECISION NOT NULL,
        width BIGINT NOT NULL DEFAULT 0,
        height BIGINT NOT NULL DEFAULT 0,
        format TEXT NOT NULL DEFAULT '',
        animated BIGINT NOT NULL DEFAULT 0,
        sha256 TEXT NOT NULL DEFAULT '',
        likeness BIGINT,
        duplicate_of BIGINT REFERENCES images (id),
        reason TEXT,
        detail TEXT,
        estimate BIGINT NOT NULL DEFAULT 0,
        verdicts BIGINT NOT NULL DEFAULT 0,
        state TEXT,
        open BIGINT NOT NULL DEFAULT 0,
        CHECK ((status = 'unreadable') = (reason IS NOT NULL)),
        CHECK (duplicate_of IS NULL OR duplicate_of <> id))""",
    # Names by a hash: an entry of an index is limited to 2,704 bytes, and a name or path is not.
    """CREATE UNIQUE INDEX images_present ON images (sha256(name))
        WHERE status IN ('pending', 'ready', 'unreadable')""",
    "CREATE INDEX images_by_content ON images (sha256) WHERE sha256 <> ''",
    "CREATE INDEX images_copies ON images (duplicate_of) WHERE duplicate_of IS NOT NULL",
    "CREATE INDEX images_labelable ON images (id) WHERE status = 'ready' AND duplicate_of IS NULL",
    "CREATE INDEX images_pending ON images (id) WHERE status = 'pending'",
    "CREATE INDEX images_unreadable ON images (id) WHERE status = 'unreadable'",
    "CREATE INDEX images_open ON images (estimate, shuffle) WHERE open = 1",
    "CREATE INDEX images_slice ON images (shuffle) WHERE estimate = 1",
    "CREATE INDEX images_conflicts ON images (id) WHERE state = 'conflict'",
    "CREATE INDEX images_of_several ON images (id) WHERE verdicts > 1",
    "CREATE TABLE left_out (path BYTEA NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value DOUBLE PRECISION NOT NULL)",
    "INSERT INTO counters VALUES ('changes', 0)",
)

_PEOPLE: Migration = (
    """CREATE TABLE annotators (
        id BIGINT PRIMARY KEY CHECK (id > 0), name TEXT NOT NULL CHECK (name <> ''))""",
    "CREATE UNIQUE INDEX annotator_names ON annotators (md5(name))",
    """CREATE TABLE classes (
        id BIGINT PRIMARY KEY CHECK (id >= 0),
        name TEXT NOT NULL CHECK (name <> ''),
        composed_name TEXT NOT NULL,
        key TEXT NOT NULL,
        guideline TEXT NOT NULL DEFAULT '',
        example_ids TEXT NOT NULL DEFAULT '[]',
        merged_into BIGINT REFERENCES classes (id),
        removed BIGINT NOT NULL DEFAULT 0)""",
    """CREATE UNIQUE INDEX live_class_names ON classes (md5(composed_name))
        WHERE merged_into IS NULL AND removed = 0""",
    """CREATE TABLE class_changes (
        seq BIGINT PRIMARY KEY,
        class_id BIGINT NOT NULL REFERENCES classes (id),
        change TEXT NOT NULL CHECK (change IN ('add', 'rename', 'merge', 'describe', 'remove')),
        detail TEXT NOT NULL,
        annotator TEXT NOT NULL,
        changed_at TEXT NOT NULL)""",
)

_ANSWERS: Migration = (
    """CREATE TABLE answers (
        seq BIGINT PRIMARY KEY,
        key TEXT COLLATE "C" NOT NULL UNIQUE CHECK (key <> ''),
        image_id BIGINT NOT NULL REFERENCES images (id),
        annotator_id BIGINT NOT NULL REFERENCES annotators (id),
        action TEXT NOT NULL
            CHECK (action IN ('class', 'skip', 'unsure', 'bad image', 'none of these', 'undo')),
        class_id BIGINT REFERENCES classes (id),
        cancels BIGINT UNIQUE REFERENCES answers (seq),
        suggestion_shown BIGINT NOT NULL,
        suggested_class BIGINT,
        suggested_probability DOUBLE PRECISION,
        suggested_by BIGINT,
        purpose TEXT NOT NULL,
        round BIGINT,
        seconds DOUBLE PRECISION,
        answered_at TEXT NOT NULL,
        answered_clock DOUBLE PRECISION NOT NULL,
        strategy TEXT NOT NULL DEFAULT '',
        score DOUBLE PRECISION,
        CHECK ((action = 'class') = (class_id IS NOT NULL)),
        CHECK ((action = 'undo') = (cancels IS NOT NULL)))""",
    "CREATE INDEX answers_by_image ON answers (image_id, annotator_id, seq)",
    "CREATE INDEX answers_by_annotator ON answers (annotator_id, seq)",
    "CREATE INDEX answers_by_time ON answers (annotator_id, answered_clock)",
    """CREATE TRIGGER answers_are_never_changed BEFORE UPDATE OR DELETE ON answers
        FOR EACH ROW EXECUTE FUNCTION refuse_change()""",
    """CREATE TRIGGER answers_are_never_emptied BEFORE TRUNCATE ON answers
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
    """CREATE TABLE standing (
        image_id BIGINT NOT NULL REFERENCES images (id),
        annotator_id BIGINT NOT NULL REFERENCES annotators (id),
        seq BIGINT NOT NULL REFERENCES answers (seq),
        action TEXT NOT NULL,
        class_id BIGINT,
        PRIMARY KEY (image_id, annotator_id))""",
    "CREATE INDEX standing_by_seq ON standing (seq)",
    "CREATE INDEX standing_put_off ON standing (annotator_id, seq) WHERE action IN ('skip', 'unsure')",
    """CREATE TABLE tally (
        state TEXT NOT NULL, estimate BIGINT NOT NULL, images BIGINT NOT NULL,
        PRIMARY KEY (state, estimate))""",
    """CREATE TRIGGER tally_states AFTER UPDATE OF state ON images
        FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tally_state()""",
)

_QUEUE: Migration = (
    """CREATE TABLE queue (
        position BIGINT PRIMARY KEY CHECK (position >= 0),
        image_id BIGINT NOT NULL UNIQUE REFERENCES images (id),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        round BIGINT NOT NULL CHECK (round >= 0),
        score DOUBLE PRECISION,
        reason TEXT NOT NULL,
        acquisition TEXT NOT NULL,
        open BIGINT NOT NULL)""",
    "CREATE INDEX queue_open ON queue (purpose, position) WHERE open = 1",
    """CREATE TRIGGER queue_follows_images AFTER UPDATE OF open ON images
        FOR EACH ROW WHEN (OLD.open <> NEW.open) EXECUTE FUNCTION follow_image()""",
    """CREATE TABLE leases (
        image_id BIGINT NOT NULL REFERENCES images (id),
        annotator_id BIGINT NOT NULL REFERENCES annotators (id),
        tab TEXT NOT NULL,
        ends DOUBLE PRECISION NOT NULL,
        purpose TEXT NOT NULL,
        round BIGINT,
        reason TEXT NOT NULL,
        suggested_class BIGINT,
        suggested_probability DOUBLE PRECISION,
        suggested_by BIGINT,
        given BIGINT NOT NULL,
        strategy TEXT NOT NULL DEFAULT '',
        score DOUBLE PRECISION,
        PRIMARY KEY (image_id, annotator_id))""",
    "CREATE INDEX leases_by_end ON leases (ends)",
    "CREATE INDEX leases_by_annotator ON leases (annotator_id)",
    """CREATE TABLE asked (
        image_id BIGINT NOT NULL REFERENCES images (id),
        round BIGINT NOT NULL CHECK (round >= 0),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        acquisition TEXT NOT NULL,
        score DOUBLE PRECISION,
        reason TEXT NOT NULL,
        PRIMARY KEY (image_id, round))""",
)

_MODELS: Migration = (
    """CREATE TABLE models (
        number BIGINT PRIMARY KEY CHECK (number > 0), body TEXT NOT NULL, recorded_at TEXT NOT NULL)""",
    """CREATE TABLE predictions (
        model_number BIGINT NOT NULL,
        block BIGINT NOT NULL,
        ids BYTEA NOT NULL, top BYTEA NOT NULL, probability BYTEA NOT NULL, row_probabilities BYTEA NOT NULL,
        PRIMARY KEY (model_number, block))""",
    "CREATE TABLE pictures (model_number BIGINT PRIMARY KEY REFERENCES models (number), jpeg BYTEA NOT NULL)",
    """CREATE TABLE searches (
        number BIGINT PRIMARY KEY,
        words TEXT NOT NULL CHECK (words <> ''),
        ids BYTEA, similarities BYTEA,
        unread BIGINT NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT '')""",
)

_IMPORTS: Migration = (
    """CREATE TABLE label_imports (
        id BIGINT PRIMARY KEY,
        undoes BIGINT UNIQUE REFERENCES label_imports (id),
        source BYTEA NOT NULL,
        imported_at TEXT NOT NULL,
        counts TEXT NOT NULL)""",
    """CREATE TABLE label_import_events (
        seq BIGINT PRIMARY KEY REFERENCES answers (seq),
        import_id BIGINT NOT NULL REFERENCES label_imports (id))""",
    "CREATE INDEX events_by_import ON label_import_events (import_id)",
    """CREATE TABLE label_import_classes (
        class_id BIGINT PRIMARY KEY REFERENCES classes (id),
        import_id BIGINT NOT NULL REFERENCES label_imports (id))""",
)

_NUMBERED = (("annotators", "id"), ("class_changes", "seq"), ("answers", "seq"), ("searches", "number"))
"""Tables whose rows are numbered when the statement gives no number."""

_NUMBERS: Migration = tuple(
    f"CREATE TRIGGER number_rows BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION number_row('{column}')"
    for table, column in _NUMBERED
)

MIGRATIONS: tuple[Migration, ...] = (
    (*_FUNCTIONS, *_IMAGES, *_PEOPLE, *_ANSWERS, *_QUEUE, *_MODELS, *_IMPORTS, *_NUMBERS),
)
"""The first makes layout :data:`FIRST_LAYOUT` of an empty schema; each other one turns a layout into the next."""
