-- Changes that have not been delivered to another database yet (see forward.rs). One row for each build that began, ended or was cut
-- off. The row is deleted when the change has arrived, or with the build.

CREATE TABLE undelivered (
    build_id TEXT    NOT NULL PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE,
    change   INTEGER NOT NULL -- rises with every change of a build, so that none is taken for an earlier one
) STRICT;

CREATE INDEX undelivered_by_change ON undelivered (change);

INSERT INTO undelivered (build_id, change)
    SELECT id, row_number() OVER (ORDER BY started_ns, id) FROM build;
