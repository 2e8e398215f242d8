-- Why actions ran, and whether their work had been done before (see causes.rs). All is NULL for builds that an earlier gotrace stored.
ALTER TABLE action_run ADD COLUMN failed INTEGER;     -- 0, 1
ALTER TABLE action_run ADD COLUMN ended_ns INTEGER;   -- NULL also if the end was not seen
ALTER TABLE action_run ADD COLUMN reason TEXT;        -- sources, toolchain ...
ALTER TABLE action_run ADD COLUMN place TEXT;         -- where it had been done before, as this machine can tell: same_cache ...; NULL: nowhere

CREATE INDEX action_run_by_action ON action_run (action_id);

-- The causes of a build's actions, dearest first. An action can have several.
CREATE TABLE rebuild_cause (
    position INTEGER NOT NULL REFERENCES build_key (position) ON DELETE CASCADE,
    ordinal  INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    cause    TEXT    NOT NULL, -- a JSON object
    actions  INTEGER NOT NULL, -- all that ran because of it
    cpu_ns   INTEGER NOT NULL, -- of these
    PRIMARY KEY (position, ordinal)
) STRICT, WITHOUT ROWID;

DROP VIEW executed_action;

-- One row for each executed action with a key, to be queried by people.
CREATE VIEW executed_action AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, unit.name AS unit, action_run.action_id, action_run.cpu_ns,
        action_run.failed, action_run.reason, action_run.place
    FROM action_run
    JOIN unit ON unit.id = action_run.unit_id
    JOIN build_key ON build_key.position = action_run.position
    JOIN build ON build.id = build_key.build_id;

-- One row for each cause in a build, to be queried by people.
CREATE VIEW build_cause AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, rebuild_cause.reason, rebuild_cause.cause,
        rebuild_cause.actions, rebuild_cause.cpu_ns
    FROM rebuild_cause
    JOIN build_key ON build_key.position = rebuild_cause.position
    JOIN build ON build.id = build_key.build_id;
