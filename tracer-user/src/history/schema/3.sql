-- What the agent has counted of all builds, and the builds that it stored since: together they are what its counters say, also after
-- it was killed (see counters.rs).

CREATE TABLE tally (
    number  INTEGER NOT NULL PRIMARY KEY CHECK (number = 1), -- there is one
    counted TEXT    NOT NULL
) STRICT;

CREATE TABLE uncounted (
    build_id TEXT NOT NULL PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE
) STRICT;
