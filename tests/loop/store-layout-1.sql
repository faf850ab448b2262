-- A store of layout 1, as it was when that layout was new. Never regenerate it.
PRAGMA application_id = 1095909708;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE answers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE CHECK (uuid <> ''),
        image_id INTEGER NOT NULL CHECK (image_id >= 0),
        round INTEGER NOT NULL CHECK (round >= 0),
        kind TEXT NOT NULL
            CHECK (kind IN ('class', 'skip', 'unsure', 'bad image', 'none of these', 'undo')),
        class_index INTEGER CHECK (class_index >= 0),
        cancels INTEGER UNIQUE REFERENCES answers (seq),
        annotator TEXT NOT NULL,
        created_at TEXT NOT NULL,
        CHECK ((kind = 'class') = (class_index IS NOT NULL)),
        CHECK ((kind = 'undo') = (cancels IS NOT NULL))) STRICT;
INSERT INTO "answers" VALUES(1,'first',0,0,'class',1,NULL,'ann','2026-11-22T18:14:57.855240+00:00');
INSERT INTO "answers" VALUES(2,'second',2,0,'bad image',NULL,NULL,'ann','2026-11-22T18:14:57.855442+00:00');
INSERT INTO "answers" VALUES(3,'third',1,0,'class',0,NULL,'ann','2026-11-22T18:14:57.855468+00:00');
INSERT INTO "answers" VALUES(4,'fourth',1,0,'undo',NULL,3,'ann','2026-11-22T18:14:57.855961+00:00');
CREATE TABLE checkpoints (
        folder TEXT PRIMARY KEY, round INTEGER NOT NULL, step INTEGER NOT NULL,
        created_at TEXT NOT NULL) STRICT;
INSERT INTO "checkpoints" VALUES('0-100',0,100,'2026-11-22T18:14:57.857789+00:00');
CREATE TABLE documents (
        round INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (round, name)) STRICT;
INSERT INTO "documents" VALUES(0,'confusion','[[1, 0], [0, 1]]');
CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, created_at TEXT NOT NULL,
        kind TEXT NOT NULL, message TEXT NOT NULL) STRICT;
INSERT INTO "events" VALUES(1,'2026-11-22T18:14:57.858111+00:00','checkpoint','damaged checkpoint skipped');
CREATE TABLE images (id INTEGER PRIMARY KEY CHECK (id >= 0), name ANY NOT NULL) STRICT;
INSERT INTO "images" VALUES(0,'a.png');
INSERT INTO "images" VALUES(1,X'636166E92E706E67');
INSERT INTO "images" VALUES(2,'c.png');
CREATE TABLE metrics (
        round INTEGER NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, value REAL,
        PRIMARY KEY (round, step, name)) STRICT;
INSERT INTO "metrics" VALUES(0,100,'accuracy',0.5);
INSERT INTO "metrics" VALUES(0,100,'kl',NULL);
CREATE TABLE queries (
        round INTEGER NOT NULL CHECK (round >= 0),
        position INTEGER NOT NULL CHECK (position >= 0),
        image_id INTEGER NOT NULL CHECK (image_id >= 0),
        score REAL NOT NULL,
        reason TEXT NOT NULL,
        acquisition TEXT NOT NULL,
        PRIMARY KEY (round, position),
        UNIQUE (round, image_id)) STRICT;
INSERT INTO "queries" VALUES(0,0,2,0.75,'close call','margin');
INSERT INTO "queries" VALUES(0,1,0,0.5,'close call','margin');
INSERT INTO "queries" VALUES(0,2,1,0.25,'close call','margin');
CREATE TABLE rounds (
        round INTEGER PRIMARY KEY CHECK (round >= 0),
        labelled INTEGER NOT NULL CHECK (labelled >= 0),
        trained_at TEXT,
        evaluated_at TEXT,
        CHECK (evaluated_at IS NULL OR trained_at IS NOT NULL)) STRICT;
INSERT INTO "rounds" VALUES(0,1,'2026-11-22T18:14:57.856745+00:00',NULL);
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "run" VALUES('seed','7');
CREATE INDEX answers_by_image ON answers (image_id, seq);
CREATE TRIGGER answers_are_never_changed BEFORE UPDATE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE TRIGGER answers_are_never_deleted BEFORE DELETE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE TRIGGER answers_are_never_replaced BEFORE INSERT ON answers
        WHEN EXISTS (SELECT 1 FROM answers
                     WHERE seq = NEW.seq OR uuid = NEW.uuid OR cancels = NEW.cancels)
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE VIEW valid_answers AS SELECT * FROM answers
        WHERE kind <> 'undo' AND seq NOT IN (SELECT cancels FROM answers WHERE cancels IS NOT NULL);
CREATE VIEW current_answers AS
        SELECT max(seq) AS seq, image_id, round, kind, class_index FROM valid_answers GROUP BY image_id;
CREATE VIEW open_queries AS SELECT round, position, image_id FROM queries AS query
        WHERE NOT EXISTS (SELECT 1 FROM valid_answers AS answer
                          WHERE answer.image_id = query.image_id AND answer.round >= query.round);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('answers',4);
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
