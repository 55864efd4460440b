-- A bit for each code: of what a row has, and of what a grant refuses. Frozen: change by a new migration.
-- Masks with no bit in common tell of nearly every row that it has none of the codes, without a look at them; where
-- bits meet, or a mask is missing (rows of the release before), the codes themselves are asked (tl.special).
CREATE FUNCTION tl.code_mask(codes bigint[]) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(bit_or(1::bigint << (c & 63)::integer), 0) FROM unnest(codes) AS c
$$;

-- A mask that lacked a bit would show what is refused: the database lets none be stored.
ALTER TABLE tl.resource
  ADD COLUMN code_mask bigint,
  ADD CONSTRAINT resource_code_mask CHECK (code_mask = tl.code_mask(codes)) NOT VALID;
ALTER TABLE tl.index_token ADD COLUMN code_mask bigint;
ALTER TABLE tl.index_date ADD COLUMN code_mask bigint;
ALTER TABLE tl.index_string ADD COLUMN code_mask bigint;
ALTER TABLE tl.index_number ADD COLUMN code_mask bigint;
ALTER TABLE tl.index_text ADD COLUMN code_mask bigint;
-- Empty: no Consent speaks of codes of the audit. It is one of the columns that the predicate asks of a row.
ALTER TABLE tl.audit_entry ADD COLUMN code_mask bigint;
