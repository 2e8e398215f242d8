-- Executed actions and their cache keys (see keys.rs). Cached actions have no rows.

-- The keys of a build, compressed. `position` is the order of storing: clocks may go back.
CREATE TABLE build_key (
    position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    build_id TEXT    NOT NULL UNIQUE REFERENCES build (id) ON DELETE CASCADE,
    packed   BLOB    NOT NULL
) STRICT;

-- What a key is about. Rows grow with the number of distinct units only.
CREATE TABLE unit (
    id   INTEGER NOT NULL PRIMARY KEY, -- a hash of the name
    name TEXT    NOT NULL              -- build linux/amd64 example.com/p
) STRICT;

CREATE TABLE action_run (
    unit_id   INTEGER NOT NULL REFERENCES unit (id),
    position  INTEGER NOT NULL REFERENCES build_key (position) ON DELETE CASCADE,
    action_id TEXT,             -- as Go prints it
    cpu_ns    INTEGER NOT NULL,
    PRIMARY KEY (unit_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX action_run_by_position ON action_run (position);

-- One row for each executed action with a key, to be queried by people.
CREATE VIEW executed_action AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, unit.name AS unit, action_run.action_id, action_run.cpu_ns
    FROM action_run
    JOIN unit ON unit.id = action_run.unit_id
    JOIN build_key ON build_key.position = action_run.position
    JOIN build ON build.id = build_key.build_id;
