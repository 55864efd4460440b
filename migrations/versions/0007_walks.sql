-- All grants that a caller holds, for joining them with very many rows (app/storage/predicate.py, a walk). Frozen:
-- change by a new migration. Without those for one's own rows, of which there is one a survivor.
-- locks: whoever compiles grants waits while they are sorted
CREATE INDEX consent_grant_grantee ON tl.consent_grant (grantee, patient) WHERE custodian IS DISTINCT FROM -2;

-- Nearly every grantee is a survivor with a few grants in the own record; who counts is one of the few with many.
-- By the average the planner would take a caller's grants to be a handful, and look each of them over for each row.
-- locks: a setting of the next ANALYZE, made in an instant
ALTER TABLE tl.consent_grant ALTER COLUMN grantee SET (n_distinct = 20);
