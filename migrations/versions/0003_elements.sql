-- Labelled elements (docs/decisions/0004-redaction.md). Frozen: change by a new migration.
-- The label masks of the elements of a resource that carry inline labels; null where none does.
ALTER TABLE tl.resource ADD COLUMN inline_masks bigint[];
ALTER TABLE tl.resource_history ADD COLUMN inline_masks bigint[];

-- Of a search row that comes from such an element: its mask. The row's labels hold it besides the resource's.
ALTER TABLE tl.index_token ADD COLUMN inline_mask bigint;
ALTER TABLE tl.index_date ADD COLUMN inline_mask bigint;
ALTER TABLE tl.index_string ADD COLUMN inline_mask bigint;
ALTER TABLE tl.index_number ADD COLUMN inline_mask bigint;
ALTER TABLE tl.link ADD COLUMN inline_mask bigint;

-- Words of labelled elements stand in rows of their own beside those of the resource.
ALTER TABLE tl.index_text ADD COLUMN inline_mask bigint;
-- contract: the release before writes one row a resource, as it did, and relies on no conflict
ALTER TABLE tl.index_text DROP CONSTRAINT index_text_pkey;
-- locks: writers wait while one entry a resource is sorted
CREATE INDEX index_text_rid ON tl.index_text (rid);

-- What a Consent says of its grantees is for no grantee (bit 53): neither by a Consent nor in an emergency.
UPDATE tl.consent_grant SET forbidden = forbidden | (1::bigint << 53)
  WHERE consent IS NOT NULL OR grantee = -1;

-- Rows are stored by functions of other names now (tl.store_resources and the like), which take the masks; those of
-- the release before stay for it, and may be dropped once it serves nowhere any more.
