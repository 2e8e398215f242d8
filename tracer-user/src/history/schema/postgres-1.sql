-- The central history (PostgreSQL 11 or later). Tables and columns are those of 1.sql, and each row also belongs to a tenant.
--
-- Who may see what is decided by the name of the role that asks and by nothing that the role can set: a table that only the owner
-- writes says which tenant a role belongs to, and row-level security holds for everybody, the owner included. A role that is in no
-- line of it belongs to the tenant '': so one role and no tenants work without any of this. Superusers and roles with BYPASSRLS see
-- everything.
--
-- Text that is compared or sorted is compared by its bytes (COLLATE "C"), as SQLite does.

CREATE SCHEMA gotrace;

CREATE TABLE gotrace.form (number BIGINT NOT NULL);
INSERT INTO gotrace.form (number) VALUES (1);

CREATE TABLE gotrace.member (
    role   NAME NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL
);

-- Of whoever asks. Names are looked up where PostgreSQL's own are, whatever the caller's search path says.
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

-- Apart, so that a list of builds reads none of it.
CREATE TABLE gotrace.detail (
    build_id          TEXT COLLATE "C" NOT NULL,
    packed            BYTEA            NOT NULL,
    tenant            TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, build_id),
    FOREIGN KEY (tenant, build_id) REFERENCES gotrace.build (tenant, id) ON DELETE CASCADE
);

-- Each sees and writes what is of its own tenant, and cannot pass it to another. The condition is read once, here: no function,
-- operator or setting of the asking role takes part in it.
ALTER TABLE gotrace.build  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.target ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.detail ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.build
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.target
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.detail
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));

-- The owner sees every line of it, to be able to change them; a role its own.
ALTER TABLE gotrace.member ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.member FOR SELECT USING (role = current_user);

-- EXPLAIN shows how many rows the planner expects, which it knows from samples of everybody's: without samples it knows nothing.
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

-- Lets a role in, for this tenant: `SELECT gotrace.admit('team_a', 'a')`. For the owner alone.
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
