-- A project of layout 4, as it was when that layout was new. Never regenerate it.
PRAGMA application_id = 1095913546;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE annotators (
        id INTEGER PRIMARY KEY CHECK (id > 0), name TEXT NOT NULL UNIQUE CHECK (name <> '')) STRICT;
INSERT INTO "annotators" VALUES(1,'Ann');
INSERT INTO "annotators" VALUES(2,'Bob');
INSERT INTO "annotators" VALUES(3,'Cyd');
CREATE TABLE answers (
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
        answered_clock REAL NOT NULL, strategy TEXT NOT NULL DEFAULT '', score REAL,
        CHECK ((action = 'class') = (class_id IS NOT NULL)),
        CHECK ((action = 'undo') = (cancels IS NOT NULL))) STRICT;
INSERT INTO "answers" VALUES(1,'a',0,1,'class',0,NULL,0,NULL,NULL,NULL,'random',NULL,NULL,'2026-11-23T00:35:45.486+00:00',1.79539414548641252517e+09,'by chance',NULL);
INSERT INTO "answers" VALUES(2,'b',0,2,'class',1,NULL,0,NULL,NULL,NULL,'random',NULL,NULL,'2026-11-23T00:35:45.487+00:00',1.79539414548740530012e+09,'by chance',NULL);
INSERT INTO "answers" VALUES(3,'c',1,1,'skip',NULL,NULL,0,NULL,NULL,NULL,'random',NULL,NULL,'2026-11-23T00:35:45.488+00:00',1.79539414548801469799e+09,'by chance',NULL);
INSERT INTO "answers" VALUES(4,'d',2,1,'class',1,NULL,0,NULL,NULL,NULL,'query',0,NULL,'2026-11-23T00:35:45.488+00:00',1.79539414548852872843e+09,'margin',0.25);
INSERT INTO "answers" VALUES(5,'e',2,1,'undo',NULL,4,0,NULL,NULL,NULL,'query',0,NULL,'2026-11-23T00:35:45.489+00:00',1.79539414548906230929e+09,'margin',0.25);
INSERT INTO "answers" VALUES(6,'f',2,1,'class',0,NULL,0,NULL,NULL,NULL,'query',0,NULL,'2026-11-23T00:35:45.489+00:00',1.79539414548957490923e+09,'margin',0.25);
CREATE TABLE asked (
        image_id INTEGER NOT NULL REFERENCES images (id),
        round INTEGER NOT NULL CHECK (round >= 0),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        acquisition TEXT NOT NULL,
        score REAL,
        reason TEXT NOT NULL,
        PRIMARY KEY (image_id, round)) STRICT, WITHOUT ROWID;
INSERT INTO "asked" VALUES(1,1,'reserve','margin',NULL,'');
INSERT INTO "asked" VALUES(3,1,'query','margin',0.5,'because');
CREATE TABLE class_changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        class_id INTEGER NOT NULL REFERENCES classes (id),
        change TEXT NOT NULL CHECK (change IN ('add', 'rename', 'merge', 'describe', 'remove')),
        detail TEXT NOT NULL,
        annotator TEXT NOT NULL,
        changed_at TEXT NOT NULL) STRICT;
INSERT INTO "class_changes" VALUES(1,0,'add','{"name": "cat"}','aral label','2026-11-23T00:35:45.369+00:00');
INSERT INTO "class_changes" VALUES(2,1,'add','{"name": "dog"}','aral label','2026-11-23T00:35:45.369+00:00');
INSERT INTO "class_changes" VALUES(3,0,'rename','{"from": "cat", "to": "Katze"}','Ann','2026-11-23T00:35:45.484+00:00');
INSERT INTO "class_changes" VALUES(4,1,'describe','{"guideline": "Barks.", "examples": "[2]"}','Bob','2026-11-23T00:35:45.484+00:00');
INSERT INTO "class_changes" VALUES(5,2,'add','{"name": "fish"}','Ann','2026-11-23T00:35:45.485+00:00');
INSERT INTO "class_changes" VALUES(6,2,'merge','{"name": "fish", "into": 1, "into_name": "dog"}','Ann','2026-11-23T00:35:45.485+00:00');
CREATE TABLE classes (
        id INTEGER PRIMARY KEY CHECK (id >= 0),
        name TEXT NOT NULL CHECK (name <> ''),
        composed_name TEXT NOT NULL,
        key TEXT NOT NULL,
        guideline TEXT NOT NULL DEFAULT '',
        example_ids TEXT NOT NULL DEFAULT '[]',
        merged_into INTEGER REFERENCES classes (id), removed INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "classes" VALUES(0,'Katze','Katze','1','','[]',NULL,0);
INSERT INTO "classes" VALUES(1,'dog','dog','2','Barks.','[2]',NULL,0);
INSERT INTO "classes" VALUES(2,'fish','fish','3','','[]',1,0);
CREATE TABLE counters (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT;
INSERT INTO "counters" VALUES('changes',24.0);
INSERT INTO "counters" VALUES('clock',1.79539414549288582796e+09);
INSERT INTO "counters" VALUES('wall',1.7953941454929039478e+09);
CREATE TABLE images (
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
        CHECK (duplicate_of IS NULL OR duplicate_of <> id)) STRICT;
INSERT INTO "images" VALUES(0,X'3030302E706E67','ready',162,1795394145332392558,2.84911830522376230412e-01,20,16,'PNG',0,'f1703159f93d9e0e5fe281af890428bc93ef69a66bbe936d5c11bfd073a3f5d6',7378585039594200606,NULL,NULL,NULL,0,2,'conflict',0);
INSERT INTO "images" VALUES(1,X'3030312E706E67','ready',166,1795394145332806113,2.50221514416116064261e-01,20,16,'PNG',0,'9e939a411f32749a54f6a5699ce6dab944485176cf0263c47d33f05c0e88f14e',434147004381665304,NULL,NULL,NULL,0,0,'skip',1);
INSERT INTO "images" VALUES(2,X'3030322E706E67','ready',165,1795394145332969954,0.782247604995978,20,16,'PNG',0,'bd665ff9d62da7561766eccce9d46ba34c48fa9424e69c7cac51bf00740293e6',2170198561898528382,NULL,NULL,NULL,0,1,'class',1);
INSERT INTO "images" VALUES(3,X'3030332E706E67','ready',165,1795394145333117054,4.63650607430425742983e-01,20,16,'PNG',0,'3e6ea4d3c31be1f658b23596e49ad1df5dd52b437a8dbee5e06422bad60187fc',434060907063025182,NULL,NULL,NULL,0,0,NULL,1);
INSERT INTO "images" VALUES(4,X'6261642E706E67','unreadable',2,1795394145333245863,8.99177611337223736676e-01,0,0,'',0,'',NULL,NULL,'not_an_image','not one of JPEG, PNG, WEBP, BMP, GIF, TIFF',0,0,NULL,0);
INSERT INTO "images" VALUES(5,X'636166E92E706E67','ready',167,1795394145333285290,1.26664430097993552237e-02,20,16,'PNG',0,'c4e99b53cfea3da525de5ffd7c120c02db8ba1ea343e34538a10bb57c30b179e',434147004381665304,NULL,NULL,NULL,0,0,NULL,1);
INSERT INTO "images" VALUES(6,X'7A7A2E706E67','ready',162,1795394145333204288,7.4670886149008153243e-01,20,16,'PNG',0,'f1703159f93d9e0e5fe281af890428bc93ef69a66bbe936d5c11bfd073a3f5d6',7378585039594200606,0,NULL,NULL,0,0,NULL,0);
CREATE TABLE label_import_classes (
        class_id INTEGER PRIMARY KEY REFERENCES classes (id),
        import_id INTEGER NOT NULL REFERENCES label_imports (id)) STRICT;
CREATE TABLE label_import_events (
        seq INTEGER PRIMARY KEY REFERENCES answers (seq),
        import_id INTEGER NOT NULL REFERENCES label_imports (id)) STRICT;
CREATE TABLE label_imports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        undoes INTEGER UNIQUE REFERENCES label_imports (id),
        source BLOB NOT NULL,
        imported_at TEXT NOT NULL,
        counts TEXT NOT NULL) STRICT;
CREATE TABLE leases (
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
        given INTEGER NOT NULL, strategy TEXT NOT NULL DEFAULT '', score REAL,
        PRIMARY KEY (image_id, annotator_id)) STRICT, WITHOUT ROWID;
INSERT INTO "leases" VALUES(3,3,'',1.79539474549288582795e+09,'query',1,'because',0,0.5,1,1,'',NULL);
CREATE TABLE left_out (path BLOB PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TABLE models (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        body TEXT NOT NULL, recorded_at TEXT NOT NULL) STRICT;
INSERT INTO "models" VALUES(1,'{"round": 0, "folder": "models/01-0000", "trained_on": 2, "seconds": 1.5, "class_ids": [0, 1], "estimate": {"accuracy": 0.75, "low": 0.5, "high": 0.9, "count": 12}, "per_class": [], "confusion": [], "curve_point": null, "newest_answer": 0, "number": 0, "recorded_at": ""}','2026-11-23T00:35:45.490+00:00');
CREATE TABLE pictures (
        model_number INTEGER PRIMARY KEY REFERENCES models (number), jpeg BLOB NOT NULL) STRICT;
INSERT INTO "pictures" VALUES(1,X'FFD82070696374757265');
CREATE TABLE predictions (
        model_number INTEGER NOT NULL,
        block INTEGER NOT NULL,
        ids BLOB NOT NULL, top BLOB NOT NULL, probability BLOB NOT NULL, row_probabilities BLOB NOT NULL,
        PRIMARY KEY (model_number, block)) STRICT;
INSERT INTO "predictions" VALUES(1,0,X'0000000000000000010000000000000002000000000000000300000000000000',X'0000000000000000010000000000000000000000000000000000000000000000',X'6666663FCDCC4C3F9A99193F0000003F',X'333B662E6632663ACD38663600380038');
CREATE TABLE queue (
        position INTEGER PRIMARY KEY CHECK (position >= 0),
        image_id INTEGER NOT NULL UNIQUE REFERENCES images (id),
        purpose TEXT NOT NULL CHECK (purpose IN ('query', 'reserve')),
        round INTEGER NOT NULL CHECK (round >= 0),
        score REAL,
        reason TEXT NOT NULL,
        acquisition TEXT NOT NULL,
        open INTEGER NOT NULL) STRICT;
INSERT INTO "queue" VALUES(0,3,'query',1,0.5,'because','margin',1);
INSERT INTO "queue" VALUES(1,1,'reserve',1,NULL,'','margin',1);
CREATE TABLE searches (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        words TEXT NOT NULL CHECK (words <> ''),
        ids BLOB, similarities BLOB,
        unread INTEGER NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "settings" VALUES('page','{"keys": {"skip": " ", "unsure": "u", "bad image": "x", "none of these": "n", "undo": "Backspace", "previous": "ArrowLeft", "next": "ArrowRight", "accept": "Enter", "hide": "h", "zoom": "z", "grid": "g", "search": "/", "help": "?"}, "shortcuts_on": true, "suggestions_on": true, "budget": 40, "overlap": 2, "estimate_share": 0.0}');
INSERT INTO "settings" VALUES('pixels','[28, 3]');
INSERT INTO "settings" VALUES('predictions','1');
INSERT INTO "settings" VALUES('training','{"phase": "idle", "round": 1, "fraction": 0.0, "message": "Waiting.", "updated": "2026-11-23T00:35:45.492+00:00"}');
INSERT INTO "settings" VALUES('advice','{"next_labels": 50, "gain": 0.8, "low": 0.4, "high": 1.2, "sentence": "Some more."}');
CREATE TABLE standing (
        image_id INTEGER NOT NULL REFERENCES images (id),
        annotator_id INTEGER NOT NULL REFERENCES annotators (id),
        seq INTEGER NOT NULL REFERENCES answers (seq),
        action TEXT NOT NULL,
        class_id INTEGER,
        PRIMARY KEY (image_id, annotator_id)) STRICT, WITHOUT ROWID;
INSERT INTO "standing" VALUES(0,1,1,'class',0);
INSERT INTO "standing" VALUES(0,2,2,'class',1);
INSERT INTO "standing" VALUES(1,1,3,'skip',NULL);
INSERT INTO "standing" VALUES(2,1,6,'class',0);
CREATE TABLE tally (
        state TEXT NOT NULL, estimate INTEGER NOT NULL, images INTEGER NOT NULL,
        PRIMARY KEY (state, estimate)) STRICT, WITHOUT ROWID;
INSERT INTO "tally" VALUES('class',0,1);
INSERT INTO "tally" VALUES('conflict',0,1);
INSERT INTO "tally" VALUES('skip',0,1);
CREATE UNIQUE INDEX images_present ON images (name)
        WHERE status IN ('pending', 'ready', 'unreadable');
CREATE INDEX images_by_name ON images (name);
CREATE INDEX images_by_content ON images (sha256) WHERE sha256 <> '';
CREATE INDEX images_copies ON images (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX images_labelable ON images (id) WHERE status = 'ready' AND duplicate_of IS NULL;
CREATE INDEX images_pending ON images (id) WHERE status = 'pending';
CREATE INDEX images_unreadable ON images (id) WHERE status = 'unreadable';
CREATE INDEX images_open ON images (estimate, shuffle) WHERE open = 1;
CREATE INDEX images_slice ON images (shuffle) WHERE estimate = 1;
CREATE INDEX images_conflicts ON images (id) WHERE state = 'conflict';
CREATE INDEX images_of_several ON images (id) WHERE verdicts > 1;
CREATE INDEX answers_by_image ON answers (image_id, annotator_id, seq);
CREATE INDEX answers_by_annotator ON answers (annotator_id, seq);
CREATE INDEX answers_by_time ON answers (annotator_id, answered_clock);
CREATE TRIGGER answers_are_never_deleted BEFORE DELETE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE TRIGGER answers_are_never_replaced BEFORE INSERT ON answers
        WHEN EXISTS (SELECT 1 FROM answers
                     WHERE seq = NEW.seq OR key = NEW.key OR cancels = NEW.cancels)
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE INDEX standing_put_off ON standing (annotator_id, seq) WHERE action IN ('skip', 'unsure');
CREATE TRIGGER tally_states AFTER UPDATE OF state ON images WHEN OLD.state IS NOT NEW.state BEGIN
        UPDATE tally SET images = images - 1 WHERE state = OLD.state AND estimate = OLD.estimate;
        INSERT INTO tally SELECT NEW.state, NEW.estimate, 1 WHERE NEW.state IS NOT NULL
            ON CONFLICT DO UPDATE SET images = images + 1;
    END;
CREATE INDEX queue_open ON queue (purpose, position) WHERE open = 1;
CREATE TRIGGER queue_follows_images AFTER UPDATE OF open ON images WHEN OLD.open <> NEW.open
        BEGIN UPDATE queue SET open = NEW.open WHERE image_id = NEW.id; END;
CREATE INDEX leases_by_end ON leases (ends);
CREATE INDEX leases_by_annotator ON leases (annotator_id);
CREATE TRIGGER answers_are_never_changed BEFORE UPDATE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END;
CREATE INDEX events_by_import ON label_import_events (import_id);
CREATE UNIQUE INDEX live_class_names ON classes (composed_name)
        WHERE merged_into IS NULL AND removed = 0;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('answers',6);
INSERT INTO "sqlite_sequence" VALUES('class_changes',6);
COMMIT;
