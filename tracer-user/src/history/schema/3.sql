-- The agent's counters over all builds, and the builds stored since then. From both, the agent restores its counters, even after a
-- crash (see counters.rs).

CREATE TABLE tally (
    number  INTEGER NOT NULL PRIMARY KEY CHECK (number = 1), -- there is one
    counted TEXT    NOT NULL
) STRICT;

CREATE TABLE uncounted (
    build_id TEXT NOT NULL PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE
) STRICT;
