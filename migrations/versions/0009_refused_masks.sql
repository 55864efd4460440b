-- The codes that a residual refuses, in a bit each (0008). Frozen: change by a new migration.
-- A row with none of these bits meets the residual. Null where that cannot be told: unless each clause begins with codes
-- that it refuses. What is not of this form, or of no form at all, is asked as before (tl.residual).
CREATE FUNCTION tl.refused_mask(clauses jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN bool_and(r.refuses)
    THEN bit_or(tl.code_mask(translate(r.literal ->> 2, '[]', '{}')::bigint[])) FILTER (WHERE r.refuses) END
  FROM (
    SELECT c -> 0 AS literal, coalesce(c #> '{0,0}' = 'true' AND c #>> '{0,1}' = 'codes'
                                       AND jsonb_typeof(c #> '{0,2}') = 'array', false) AS refuses
    FROM jsonb_array_elements(clauses) AS c OFFSET 0
  ) AS r
$$;
-- locks: whoever asks for grants waits while they are written anew, a second for some hundred thousand
ALTER TABLE tl.consent_grant
  ADD COLUMN refused_mask bigint GENERATED ALWAYS AS (tl.refused_mask(residual)) STORED;
