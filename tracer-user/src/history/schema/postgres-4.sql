-- Keys have another form now: the changes of 6.sql.

TRUNCATE gotrace.rebuild_cause, gotrace.action_run, gotrace.build_key, gotrace.unit;

-- The runs of an action are found by its unit. `action_id` has the first 9 of the 20 characters that Go prints.
DROP INDEX gotrace.action_run_by_action;

UPDATE gotrace.form SET number = 4;
