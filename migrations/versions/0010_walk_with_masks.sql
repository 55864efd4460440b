-- The index that pages and counts walk, with the masks (0008). Frozen: change by a new migration. In a transaction of
-- its own: while it is made, everybody reads.
-- locks: writers of search rows wait while they are sorted
CREATE INDEX index_token_walk ON tl.index_token (hash, last_updated DESC, rid DESC)
  INCLUDE (patient, custodian, labels, clinical_from, clinical_to, type, open, co_subjects, code_mask);
DROP INDEX tl.index_token_page;
