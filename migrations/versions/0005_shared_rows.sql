-- Rows that are about several people, by each of the further ones. Frozen: change by a new migration.
-- Nearly no row is: without it, whether a survivor's grants may be compiled walked the whole table for each Consent.
-- locks: writers wait while the table is read once and hardly any row is filed
CREATE INDEX resource_co_subjects ON tl.resource USING gin (co_subjects) WITH (fastupdate = off)
  WHERE co_subjects IS NOT NULL;
