-- Why actions ran, and whether their work had been done before: the tables and views of 5.sql, and each row also belongs to a tenant.

ALTER TABLE gotrace.action_run
    ADD COLUMN failed     BIGINT,
    ADD COLUMN ended_ns   BIGINT,
    ADD COLUMN reason     TEXT COLLATE "C",
    ADD COLUMN place      TEXT COLLATE "C";

CREATE INDEX action_run_by_action ON gotrace.action_run (tenant, action_id);

CREATE TABLE gotrace.rebuild_cause (
    position  BIGINT           NOT NULL,
    ordinal   BIGINT           NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,
    cause     TEXT COLLATE "C" NOT NULL, -- a JSON object
    actions   BIGINT           NOT NULL,
    cpu_ns    BIGINT           NOT NULL,
    tenant    TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, position, ordinal),
    FOREIGN KEY (tenant, position) REFERENCES gotrace.build_key (tenant, position) ON DELETE CASCADE
);

CREATE OR REPLACE VIEW gotrace.executed_action AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, unit.name AS unit, action_run.action_id, action_run.cpu_ns,
        action_run.failed, action_run.reason, action_run.place
    FROM gotrace.action_run
    JOIN gotrace.unit ON unit.tenant = action_run.tenant AND unit.id = action_run.unit_id
    JOIN gotrace.build_key ON build_key.tenant = action_run.tenant AND build_key.position = action_run.position
    JOIN gotrace.build ON build.tenant = build_key.tenant AND build.id = build_key.build_id;

CREATE VIEW gotrace.build_cause AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, rebuild_cause.reason, rebuild_cause.cause,
        rebuild_cause.actions, rebuild_cause.cpu_ns
    FROM gotrace.rebuild_cause
    JOIN gotrace.build_key ON build_key.tenant = rebuild_cause.tenant AND build_key.position = rebuild_cause.position
    JOIN gotrace.build ON build.tenant = build_key.tenant AND build.id = build_key.build_id;

ALTER TABLE gotrace.rebuild_cause ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.rebuild_cause
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));

DO $$
DECLARE
    it RECORD;
BEGIN
    FOR it IN
        SELECT attrelid::regclass AS of, attname AS name FROM pg_attribute
        WHERE attrelid IN ('gotrace.rebuild_cause'::regclass, 'gotrace.action_run'::regclass)
        AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', it.of, it.name);
    END LOOP;
END $$;

-- Rights on the new tables, for the roles that have access already.
DO $$
DECLARE
    it RECORD;
BEGIN
    FOR it IN SELECT role FROM gotrace.member JOIN pg_roles ON pg_roles.rolname = member.role
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gotrace.rebuild_cause TO %I', it.role);
        EXECUTE format('GRANT SELECT ON gotrace.executed_action, gotrace.build_cause TO %I', it.role);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION gotrace.admit(new_role NAME, its_tenant TEXT) RETURNS VOID
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO gotrace.member (role, tenant) VALUES (new_role, its_tenant)
        ON CONFLICT (role) DO UPDATE SET tenant = excluded.tenant;
    EXECUTE format('GRANT USAGE ON SCHEMA gotrace TO %I', new_role);
    EXECUTE format('GRANT SELECT ON gotrace.form, gotrace.member, gotrace.executed_action, gotrace.build_cause TO %I', new_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gotrace.build, gotrace.target, gotrace.detail, gotrace.build_key, '
        'gotrace.unit, gotrace.action_run, gotrace.rebuild_cause TO %I', new_role);
END $$;

UPDATE gotrace.form SET number = 3;
