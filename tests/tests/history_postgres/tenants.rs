//! One tenant's role tries every kind of SQL statement on another tenant's builds.

use std::path::Path;
use tracer_core::finished::FinishedTrace;

use crate::harness::{listed, replayed, small_builds};
use crate::server::{Machine, Server, psql, wait_for};
use tracer_user::history::central::{self, CentralSettings};
use tracer_user::history::store_builds;
use tracer_user::log::Log;

/// A database with an owner of the tables, a team `a` with builds, and an attacking team `b`.
fn two_teams() -> (Server, Machine) {
    let server = Server::start();
    server.make_owner("owner");
    central::prepare(&server.address("owner")).unwrap();
    for (user, tenant) in [("team_a", "a"), ("team_b", "b")] {
        server.make_user(user);
        let admit = format!("SELECT gotrace.admit('{user}', '{tenant}')");
        let output = psql(&server.url("owner"), &admit);
        assert!(output.status.success(), "{output:?}");
    }
    let machine = Machine::new();
    store_builds(
        &FinishedTrace::of(replayed("build-go1.27")),
        &machine.path(),
    )
    .unwrap();
    let keys = FinishedTrace::of(replayed("cache-keys-go1.27"));
    store_builds(&keys, &machine.path()).unwrap();
    machine.finish(&small_builds(30));
    let settings = CentralSettings {
        tenant: Some("a".to_owned()),
        ..CentralSettings::default()
    };
    let forwarder = machine.forward_with(
        server.address("team_a"),
        settings,
        tracer_core::history::Limits::default(),
    );
    machine.wait_until_delivered();
    drop(forwarder);
    (server, machine)
}

#[test]
fn every_row_is_visible_to_its_tenant_only() {
    let (server, machine) = two_teams();
    assert_eq!(
        server.query("SELECT DISTINCT tenant FROM gotrace.build UNION SELECT tenant FROM gotrace.target UNION SELECT tenant FROM gotrace.detail \
             UNION SELECT tenant FROM gotrace.build_key UNION SELECT tenant FROM gotrace.unit UNION SELECT tenant FROM gotrace.action_run \
             UNION SELECT tenant FROM gotrace.rebuild_cause"),
        "a"
    );
    let ours = listed(&machine.path(), &[]);
    assert_eq!(listed(Path::new(&server.url("team_a")), &[]), ours);
    assert_eq!(listed(Path::new(&server.url("team_b")), &[]).len(), 0);
    // The owner belongs to no tenant and sees no builds.
    assert_eq!(listed(Path::new(&server.url("owner")), &[]).len(), 0);
    // Another tenant's copies of these builds are separate builds. They reveal nothing about the first ones.
    let other = Machine::new();
    other.finish(&small_builds(30));
    let counts = other.deliver(server.address("team_b"));
    assert_eq!((counts.refused, counts.failed), (0, 0));
    assert_eq!(listed(Path::new(&server.url("team_b")), &[]).len(), 30);
    assert_eq!(listed(Path::new(&server.url("team_a")), &[]), ours);
}

#[test]
fn an_agent_whose_tenant_differs_from_its_role_sends_nothing() {
    let (server, _) = two_teams();
    let machine = Machine::new();
    machine.finish(&small_builds(1));
    let settings = CentralSettings {
        tenant: Some("a".to_owned()),
        ..CentralSettings::default()
    };
    let (sender, received) = std::sync::mpsc::channel();
    let order = tracer_user::history::ForwardConfig {
        spool: machine.path(),
        limits: tracer_core::history::Limits::default(),
        address: server.address("team_b"),
        settings,
    };
    let forwarder = tracer_user::history::Forwarder::start(
        order,
        Log::to(move |it| sender.send(it.to_string()).unwrap()),
    )
    .unwrap();
    let printed = wait_for("it complains", || {
        received.try_recv().map_err(|it| it.to_string())
    });
    assert!(
        printed.contains("assigns this user to tenant \"b\", not to tenant \"a\""),
        "{printed}"
    );
    assert_eq!(forwarder.counts().sent, 0);
    assert_eq!(server.count("build WHERE tenant = 'b'"), 0);
}

/// Each statement must return nothing or fail. Its output must contain no data of the other tenant.
#[test]
fn no_statement_shows_or_changes_another_tenants_builds() {
    let (server, _) = two_teams();
    let before =
        server.query("SELECT md5(string_agg(b::text, '' ORDER BY id)) FROM gotrace.build b");
    let id = server.query("SELECT id FROM gotrace.build ORDER BY id DESC LIMIT 1");
    let project = "example.com";
    assert!(server.count(&format!("build WHERE project LIKE '{project}%'")) > 0);
    // Team `b` can create objects of its own, which must give it no further access.
    server.query(
        "CREATE SCHEMA mine AUTHORIZATION team_b; GRANT TEMPORARY ON DATABASE history TO team_b",
    );
    let attempts = [
        "SELECT * FROM gotrace.build".to_owned(),
        "TABLE gotrace.target".to_owned(),
        "SELECT * FROM gotrace.detail".to_owned(),
        "SELECT * FROM gotrace.build_key".to_owned(),
        "SELECT * FROM gotrace.unit".to_owned(),
        "SELECT * FROM gotrace.action_run".to_owned(),
        "SELECT * FROM gotrace.executed_action".to_owned(),
        "SELECT * FROM gotrace.rebuild_cause".to_owned(),
        "SELECT * FROM gotrace.build_cause".to_owned(),
        "SELECT * FROM gotrace.member WHERE tenant = 'a'".to_owned(),
        "SELECT max(started_ns) FROM gotrace.build HAVING count(*) > 0".to_owned(),
        format!("SELECT tenant FROM gotrace.build WHERE id = '{id}'"),
        "SET gotrace.tenant = 'a'; SELECT * FROM gotrace.build".to_owned(),
        "SELECT set_config('gotrace.tenant', 'a', false) WHERE false; SELECT * FROM gotrace.build".to_owned(),
        "SET row_security = off; SELECT * FROM gotrace.build".to_owned(),
        "SET ROLE team_a; SELECT * FROM gotrace.build".to_owned(),
        "SET ROLE owner; SELECT * FROM gotrace.member".to_owned(),
        "SET SESSION AUTHORIZATION team_a; SELECT * FROM gotrace.build".to_owned(),
        "COPY gotrace.build TO STDOUT".to_owned(),
        "COPY (SELECT * FROM gotrace.build) TO STDOUT".to_owned(),
        "COPY gotrace.build TO PROGRAM 'cat'".to_owned(),
        "UPDATE gotrace.build SET tenant = 'b' RETURNING *".to_owned(),
        "UPDATE gotrace.build SET state = 'failed' WHERE tenant = 'a' RETURNING *".to_owned(),
        "DELETE FROM gotrace.build RETURNING *".to_owned(),
        "TRUNCATE gotrace.build CASCADE".to_owned(),
        "UPDATE gotrace.member SET tenant = 'a' RETURNING *".to_owned(),
        "INSERT INTO gotrace.member VALUES ('team_b', 'a') ON CONFLICT (role) DO UPDATE SET tenant = 'a'".to_owned(),
        "SELECT gotrace.admit('team_b', 'a'); SELECT * FROM gotrace.build".to_owned(),
        format!("INSERT INTO gotrace.detail (build_id, packed, tenant) VALUES ('{id}', '', 'a')"),
        "CREATE VIEW mine.v AS SELECT * FROM gotrace.build; SELECT * FROM mine.v".to_owned(),
        "CREATE FUNCTION mine.peek(TEXT) RETURNS BOOLEAN LANGUAGE plpgsql COST 0.0000001 AS \
         $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$; SELECT id FROM gotrace.build WHERE mine.peek(project)".to_owned(),
        "SELECT id FROM gotrace.build WHERE 1 / (started_ns - started_ns) > 0".to_owned(),
        "CREATE FUNCTION mine.yes(NAME, NAME) RETURNS BOOLEAN LANGUAGE sql AS 'SELECT true'; \
         CREATE OPERATOR mine.= (LEFTARG = NAME, RIGHTARG = NAME, FUNCTION = mine.yes); \
         SET search_path = mine, gotrace, pg_catalog; SELECT * FROM build; \
         SELECT gotrace.tenant() WHERE gotrace.tenant() <> 'b'".to_owned(),
        "CREATE FUNCTION mine.same(TEXT, TEXT) RETURNS BOOLEAN LANGUAGE sql AS 'SELECT true'; \
         CREATE OPERATOR mine.= (LEFTARG = TEXT, RIGHTARG = TEXT, FUNCTION = mine.same); \
         SET search_path = mine, gotrace, pg_catalog; SELECT * FROM build".to_owned(),
        "CREATE TEMPORARY TABLE member (role NAME, tenant TEXT); INSERT INTO member VALUES ('team_b', 'a'); \
         SET search_path = pg_temp, gotrace; SELECT * FROM build".to_owned(),
        "ALTER TABLE gotrace.build DISABLE ROW LEVEL SECURITY".to_owned(),
        "DROP POLICY own ON gotrace.build".to_owned(),
        "CREATE POLICY more ON gotrace.build USING (true)".to_owned(),
        "CREATE TABLE mine.child () INHERITS (gotrace.build)".to_owned(),
        "CREATE TABLE mine.t (tenant TEXT, id TEXT, FOREIGN KEY (tenant, id) REFERENCES gotrace.build)".to_owned(),
        "CREATE TRIGGER t BEFORE INSERT ON gotrace.build FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()".to_owned(),
        "GRANT team_a TO team_b".to_owned(),
        "ALTER ROLE team_b BYPASSRLS".to_owned(),
        "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname = 'gotrace' \
         AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL)".to_owned(),
        "SELECT * FROM pg_catalog.pg_statistic".to_owned(),
        "SELECT lo_import('/etc/passwd')".to_owned(),
        "SELECT pg_read_file('global/pg_control')".to_owned(),
        "BEGIN; DECLARE c CURSOR FOR SELECT * FROM gotrace.build FOR UPDATE; FETCH ALL FROM c; ROLLBACK".to_owned(),
        "LOCK TABLE gotrace.member; SELECT * FROM gotrace.build".to_owned(),
        "MERGE INTO gotrace.build USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE".to_owned(),
    ];
    server.query("ANALYZE gotrace.build; ANALYZE gotrace.target");
    for attempt in attempts {
        let output = psql(&server.url("team_b"), &attempt);
        let shown = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert_eq!(shown, "", "{attempt}: {output:?}");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(
            !printed.contains("seen") && !printed.contains(project),
            "{attempt}: {printed}"
        );
        assert!(
            !printed.contains("division by zero"),
            "{attempt}: {printed}"
        );
    }
    let after =
        server.query("SELECT md5(string_agg(b::text, '' ORDER BY id)) FROM gotrace.build b");
    assert_eq!(after, before);
    assert_eq!(
        server.query("SELECT count(*) FROM gotrace.member WHERE tenant = 'a'"),
        "1"
    );
}

/// The planner expects the same number of rows whether or not a row exists.
#[test]
fn explain_does_not_reveal_rows_of_another_tenant() {
    let (server, _) = two_teams();
    server.query("ANALYZE gotrace.build; ANALYZE gotrace.target");
    let project =
        server.query("SELECT project FROM gotrace.build WHERE project IS NOT NULL LIMIT 1");
    let (first, last) = (
        server.query("SELECT min(started_ns) FROM gotrace.build"),
        server.query("SELECT max(started_ns) + 1 FROM gotrace.build"),
    );
    let explain = |condition: &str| {
        let output = psql(
            &server.url("team_b"),
            &format!("EXPLAIN SELECT * FROM gotrace.build WHERE {condition}"),
        );
        assert!(output.status.success(), "{output:?}");
        let plan = String::from_utf8(output.stdout).unwrap();
        // The plan contains the condition itself.
        plan.lines()
            .filter(|it| it.contains("rows="))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        explain(&format!("project = '{project}'")),
        explain("project = 'example.com/nobody-has-this'")
    );
    assert_eq!(
        explain(&format!("started_ns < {first}")),
        explain(&format!("started_ns < {last}"))
    );
    assert_eq!(explain("tenant = 'a'"), explain("tenant = 'z'"));
}
