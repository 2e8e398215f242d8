-- The central history (PostgreSQL 11 or later). Tables and columns are those of 1.sql, and each row also belongs to a tenant.
--
-- Access depends only on the name of the role, and on nothing that the role can set. A table that only the owner writes assigns each
-- role to a tenant. Row-level security applies to every role, including the owner. A role without a row in that table belongs to the
-- tenant ''. So a single role works without tenants. Superusers and roles with BYPASSRLS see everything.
--
-- Text is compared and sorted by its bytes (COLLATE "C"), as in SQLite.

CREATE SCHEMA gotrace;

CREATE TABLE gotrace.form (number BIGINT NOT NULL);
INSERT INTO gotrace.form (number) VALUES (1);

CREATE TABLE gotrace.member (
    role   NAME NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL
);

-- The tenant of the current role. The function ignores the caller's search path.
CREATE FUNCTION gotrace.tenant() RETURNS TEXT
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), '') $$;

CREATE TABLE gotrace.build (
    id                TEXT COLLATE "C" NOT NULL,
    parent_id         TEXT COLLATE "C", -- no foreign key: a parent ends after its children, and may be deleted before them
    state             TEXT COLLATE "C" NOT NULL, -- running, succeeded, failed, cut_off, unknown
    exit_code         BIGINT,
    exit_signal       BIGINT,
    failure           TEXT COLLATE "C",
    failed_package    TEXT COLLATE "C",
    project           TEXT COLLATE "C",
    command           TEXT COLLATE "C" NOT NULL,
    command_line      TEXT COLLATE "C" NOT NULL,
    dir               TEXT COLLATE "C",
    started_ns        BIGINT           NOT NULL,
    ended_ns          BIGINT,
    go_version        TEXT COLLATE "C",
    goroot            TEXT COLLATE "C",
    goos              TEXT COLLATE "C",
    goarch            TEXT COLLATE "C",
    goflags           TEXT COLLATE "C" NOT NULL,
    settings          TEXT COLLATE "C" NOT NULL, -- a JSON object
    packages_compiled BIGINT           NOT NULL,
    packages_failed   BIGINT           NOT NULL,
    packages_cached   BIGINT,
    cpu_user_ns       BIGINT           NOT NULL,
    cpu_system_ns     BIGINT           NOT NULL,
    max_rss_bytes     BIGINT           NOT NULL,
    lost              BIGINT           NOT NULL,
    anomalies         BIGINT           NOT NULL,
    repository        TEXT COLLATE "C",
    branch            TEXT COLLATE "C",
    base_branch       TEXT COLLATE "C",
    change            TEXT COLLATE "C",
    revision          TEXT COLLATE "C",
    ci_system         TEXT COLLATE "C",
    ci_pipeline       TEXT COLLATE "C",
    ci_job            TEXT COLLATE "C",
    ci_run            TEXT COLLATE "C",
    ci_attempt        TEXT COLLATE "C",
    ci_url            TEXT COLLATE "C",
    ci_runner         TEXT COLLATE "C",
    host              TEXT COLLATE "C",
    container         TEXT COLLATE "C",
    pod_uid           TEXT COLLATE "C",
    stored_bytes      BIGINT           NOT NULL, -- what deleting it frees, roughly
    tenant            TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, id)
);

CREATE INDEX build_by_start ON gotrace.build (tenant, started_ns, id);
CREATE INDEX build_by_project ON gotrace.build (tenant, project, started_ns);
CREATE INDEX build_by_parent ON gotrace.build (tenant, parent_id);

CREATE TABLE gotrace.target (
    build_id          TEXT COLLATE "C" NOT NULL,
    ordinal           BIGINT           NOT NULL,
    path              TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL, -- the last part of the path
    package           TEXT COLLATE "C",
    how               TEXT COLLATE "C" NOT NULL,
    size              BIGINT,
    sha256            TEXT COLLATE "C",
    go_version        TEXT COLLATE "C",
    module            TEXT COLLATE "C",
    module_version    TEXT COLLATE "C",
    baseline_id       TEXT COLLATE "C",
    baseline          TEXT COLLATE "C", -- a JSON object
    tenant            TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, build_id, ordinal),
    FOREIGN KEY (tenant, build_id) REFERENCES gotrace.build (tenant, id) ON DELETE CASCADE
);

CREATE INDEX target_by_baseline ON gotrace.target (tenant, baseline_id, build_id);

-- A separate table, so that a list of builds does not read it.
CREATE TABLE gotrace.detail (
    build_id          TEXT COLLATE "C" NOT NULL,
    packed            BYTEA            NOT NULL,
    tenant            TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, build_id),
    FOREIGN KEY (tenant, build_id) REFERENCES gotrace.build (tenant, id) ON DELETE CASCADE
);

-- Each role reads and writes the rows of its own tenant only, and cannot move them to another. The condition is fixed here: no
-- function, operator or setting of the role affects it.
ALTER TABLE gotrace.build  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.target ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.detail ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.build
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.target
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.detail
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));

-- The owner sees every row of this table, to change them; another role sees its own row.
ALTER TABLE gotrace.member ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.member FOR SELECT USING (role = current_user);

-- EXPLAIN shows row estimates, which come from samples of all tenants. Without samples, the estimates reveal nothing.
DO $$
DECLARE
    it RECORD;
BEGIN
    FOR it IN
        SELECT attrelid::regclass AS of, attname AS name FROM pg_attribute
        WHERE attrelid IN ('gotrace.build'::regclass, 'gotrace.target'::regclass, 'gotrace.detail'::regclass)
        AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', it.of, it.name);
    END LOOP;
END $$;

-- Grants a role access for a tenant: `SELECT gotrace.admit('team_a', 'a')`. Only the owner can call it.
CREATE FUNCTION gotrace.admit(new_role NAME, its_tenant TEXT) RETURNS VOID
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO gotrace.member (role, tenant) VALUES (new_role, its_tenant)
        ON CONFLICT (role) DO UPDATE SET tenant = excluded.tenant;
    EXECUTE format('GRANT USAGE ON SCHEMA gotrace TO %I', new_role);
    EXECUTE format('GRANT SELECT ON gotrace.form, gotrace.member TO %I', new_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gotrace.build, gotrace.target, gotrace.detail TO %I', new_role);
END $$;
REVOKE EXECUTE ON FUNCTION gotrace.admit FROM PUBLIC;
