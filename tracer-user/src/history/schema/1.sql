-- Every table is STRICT and uses only types of PostgreSQL, so that the statements in statement.rs and read.rs work in both.
-- Times are nanoseconds since 1970. IDs are UUIDv7 as text.

CREATE TABLE build (
    id                TEXT    NOT NULL PRIMARY KEY,
    parent_id         TEXT,             -- no foreign key: a parent ends after its children, and may be deleted before them
    state             TEXT    NOT NULL, -- running, succeeded, failed, cut_off, unknown
    exit_code         INTEGER,
    exit_signal       INTEGER,
    failure           TEXT,
    failed_package    TEXT,
    project           TEXT,
    command           TEXT    NOT NULL,
    command_line      TEXT    NOT NULL,
    dir               TEXT,
    started_ns        INTEGER NOT NULL,
    ended_ns          INTEGER,
    go_version        TEXT,
    goroot            TEXT,
    goos              TEXT,
    goarch            TEXT,
    goflags           TEXT    NOT NULL,
    settings          TEXT    NOT NULL, -- a JSON object
    packages_compiled INTEGER NOT NULL,
    packages_failed   INTEGER NOT NULL,
    packages_cached   INTEGER,
    cpu_user_ns       INTEGER NOT NULL,
    cpu_system_ns     INTEGER NOT NULL,
    max_rss_bytes     INTEGER NOT NULL,
    lost              INTEGER NOT NULL,
    anomalies         INTEGER NOT NULL,
    repository        TEXT,
    branch            TEXT,
    base_branch       TEXT,
    change            TEXT,
    revision          TEXT,
    ci_system         TEXT,
    ci_pipeline       TEXT,
    ci_job            TEXT,
    ci_run            TEXT,
    ci_attempt        TEXT,
    ci_url            TEXT,
    ci_runner         TEXT,
    host              TEXT,
    container         TEXT,
    pod_uid           TEXT,
    stored_bytes      INTEGER NOT NULL  -- what deleting it frees, roughly
) STRICT;

CREATE INDEX build_by_start ON build (started_ns, id);
CREATE INDEX build_by_project ON build (project, started_ns);
CREATE INDEX build_by_parent ON build (parent_id);

CREATE TABLE target (
    build_id       TEXT    NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    ordinal        INTEGER NOT NULL,
    path           TEXT    NOT NULL,
    name           TEXT    NOT NULL, -- the last part of the path
    package        TEXT,
    how            TEXT    NOT NULL,
    size           INTEGER,
    sha256         TEXT,
    go_version     TEXT,
    module         TEXT,
    module_version TEXT,
    baseline_id    TEXT,
    baseline       TEXT,             -- a JSON object
    PRIMARY KEY (build_id, ordinal)
) STRICT;

CREATE INDEX target_by_baseline ON target (baseline_id, build_id);

-- A separate table, so that a list of builds does not read it.
CREATE TABLE detail (
    build_id TEXT NOT NULL PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE,
    packed   BLOB NOT NULL
) STRICT;
