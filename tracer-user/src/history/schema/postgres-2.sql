-- Executed actions and their cache keys: the tables and the view of 4.sql, and each row also belongs to a tenant.

-- Positions and IDs come from no sequence: its gaps would show the activity of other tenants.
CREATE TABLE gotrace.build_key (
    position  BIGINT           NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT,
    build_id  TEXT COLLATE "C" NOT NULL,
    packed    BYTEA            NOT NULL,
    tenant    TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, build_id),
    UNIQUE (tenant, position),
    FOREIGN KEY (tenant, build_id) REFERENCES gotrace.build (tenant, id) ON DELETE CASCADE
);

CREATE TABLE gotrace.unit (
    id        BIGINT           NOT NULL, -- a hash of the name
    name      TEXT COLLATE "C" NOT NULL, -- build linux/amd64 example.com/p
    tenant    TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, id)
);

CREATE TABLE gotrace.action_run (
    unit_id   BIGINT           NOT NULL,
    position  BIGINT           NOT NULL,
    action_id TEXT COLLATE "C",
    cpu_ns    BIGINT           NOT NULL,
    tenant    TEXT COLLATE "C" NOT NULL DEFAULT gotrace.tenant(),
    PRIMARY KEY (tenant, unit_id, position),
    FOREIGN KEY (tenant, unit_id) REFERENCES gotrace.unit (tenant, id),
    FOREIGN KEY (tenant, position) REFERENCES gotrace.build_key (tenant, position) ON DELETE CASCADE
);

CREATE INDEX action_run_by_position ON gotrace.action_run (tenant, position);

CREATE VIEW gotrace.executed_action AS
    SELECT build.id AS build_id, build.started_ns, build.project, build.host, unit.name AS unit, action_run.action_id, action_run.cpu_ns
    FROM gotrace.action_run
    JOIN gotrace.unit ON unit.tenant = action_run.tenant AND unit.id = action_run.unit_id
    JOIN gotrace.build_key ON build_key.tenant = action_run.tenant AND build_key.position = action_run.position
    JOIN gotrace.build ON build.tenant = build_key.tenant AND build.id = build_key.build_id;

ALTER TABLE gotrace.build_key  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.unit       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE gotrace.action_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON gotrace.build_key
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.unit
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));
CREATE POLICY own ON gotrace.action_run
    USING (tenant = coalesce((SELECT member.tenant FROM gotrace.member WHERE member.role = current_user), ''));

DO $$
DECLARE
    it RECORD;
BEGIN
    FOR it IN
        SELECT attrelid::regclass AS of, attname AS name FROM pg_attribute
        WHERE attrelid IN ('gotrace.build_key'::regclass, 'gotrace.unit'::regclass, 'gotrace.action_run'::regclass)
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
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gotrace.build_key, gotrace.unit, gotrace.action_run TO %I', it.role);
        EXECUTE format('GRANT SELECT ON gotrace.executed_action TO %I', it.role);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION gotrace.admit(new_role NAME, its_tenant TEXT) RETURNS VOID
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO gotrace.member (role, tenant) VALUES (new_role, its_tenant)
        ON CONFLICT (role) DO UPDATE SET tenant = excluded.tenant;
    EXECUTE format('GRANT USAGE ON SCHEMA gotrace TO %I', new_role);
    EXECUTE format('GRANT SELECT ON gotrace.form, gotrace.member, gotrace.executed_action TO %I', new_role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gotrace.build, gotrace.target, gotrace.detail, gotrace.build_key, '
        'gotrace.unit, gotrace.action_run TO %I', new_role);
END $$;

UPDATE gotrace.form SET number = 2;
