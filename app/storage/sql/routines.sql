-- Functions of the spine; re-created by every `throughline migrate` whose text differs.
-- «keeper» may not log in; it owns the functions through which the service writes.

-- Why and what, as `consent_grant.withheld` has them; the highest bit, which every grant withholds, where there is
-- no purpose. In SQL, to be inlined.
CREATE OR REPLACE FUNCTION tl.need(purpose bigint, action integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN purpose = 0 THEN (-9223372036854775808)::bigint ELSE purpose END | (action::bigint << 60)
$$;

CREATE OR REPLACE FUNCTION tl.enter(
  closure bigint[], deny_closure bigint[], purpose bigint, organization bigint, action integer, epoch bigint
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM set_config('tl.closure', closure::text, true),
          set_config('tl.deny_closure', deny_closure::text, true),
          set_config('tl.need', tl.need(purpose, action)::text, true),
          set_config('tl.organization', coalesce(organization::text, ''), true);
  -- A closure computed before the last change of memberships must not be used.
  -- Nor one in which somebody's period of membership has begun or ended since.
  RETURN (SELECT enter.epoch = e.epoch AND statement_timestamp() < e.next_change FROM tl.directory_epoch e);
END $$;

-- The clauses of a residual (app/consent/residual.py): exact, for what no column can carry.
-- row_codes, row_refs, row_authors: what a superseded version carried; null for what stands now.
-- Nothing here but simple expressions: a query within, or a loop over one, took ten times as long as all the rest.
CREATE OR REPLACE FUNCTION tl.residual(
  clauses jsonb, row_rid bigint, row_type smallint, row_labels bigint, row_custodian bigint,
  clinical_from timestamptz, clinical_to timestamptz, closure bigint[], deny_closure bigint[],
  purpose bigint, action integer, row_codes bigint[], row_refs bigint[], row_authors bigint[]
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  clause jsonb; literal jsonb; args bigint[]; operator text; verdict boolean; satisfied boolean;
  low timestamptz; high timestamptz;
BEGIN
  -- Codes alone, refused or asked for, are nearly all there are: past the loop, because each expression is made anew
  -- in each transaction that comes to it, and these are three of a dozen.
  IF clauses #>> '{0,0,1}' = 'codes' AND clauses -> 0 -> 1 IS NULL AND clauses -> 1 IS NULL THEN
    args := coalesce(translate(clauses #>> '{0,0,2}', '[]', '{}')::bigint[], '{}');
    RETURN (clauses #>> '{0,0,0}')::boolean
      <> CASE WHEN row_codes IS NOT NULL THEN row_codes && args ELSE tl.has_code(row_rid, args) END;
  END IF;
  FOR c IN 0 .. jsonb_array_length(clauses) - 1 LOOP
    clause := clauses -> c;
    satisfied := false;
    FOR l IN 0 .. jsonb_array_length(clause) - 1 LOOP
      literal := clause -> l;
      operator := literal ->> 1;
      args := coalesce(translate((literal -> 2)::text, '[]', '{}')::bigint[], '{}');
      IF operator IN ('valid', 'inside') THEN
        -- Only here are the arguments instants; elsewhere they may be hashes, far beyond any calendar.
        low := coalesce(to_timestamp(args[1] / 1000000) + make_interval(secs => (args[1] % 1000000) / 1000000.0), '-infinity');
        high := coalesce(to_timestamp(args[2] / 1000000) + make_interval(secs => (args[2] % 1000000) / 1000000.0), 'infinity');
      END IF;
      verdict := CASE operator
        WHEN 'actor' THEN coalesce(closure, {closure_here}) && args
        WHEN 'deny_actor' THEN coalesce(deny_closure, {deny_closure_here}) && args
        WHEN 'purpose' THEN coalesce(purpose, {purpose_here}) & args[1] <> 0
        WHEN 'valid' THEN statement_timestamp() >= low AND statement_timestamp() < high
        WHEN 'types' THEN row_type = ANY (args)
        WHEN 'labels' THEN row_labels & args[1] <> 0
        WHEN 'inside' THEN coalesce(clinical_from >= low AND clinical_to <= high, false)
        WHEN 'codes' THEN CASE WHEN row_codes IS NOT NULL THEN row_codes && args
          ELSE tl.has_code(row_rid, args) END
        WHEN 'instance' THEN row_rid = ANY (args)
        WHEN 'related' THEN row_rid = ANY (args) OR tl.is_referred_to(row_rid, args)
        WHEN 'dependents' THEN row_rid = ANY (args) OR CASE WHEN row_refs IS NOT NULL THEN row_refs && args
          ELSE tl.refers_to(row_rid, args) END
        WHEN 'author' THEN CASE WHEN row_authors IS NOT NULL THEN row_authors && args
          ELSE tl.has_author(row_rid, args) END
        WHEN 'action' THEN coalesce(action, {action_here}) & args[1] <> 0
        ELSE NULL
      END;
      -- An operator this database does not know must not be read as "not denied".
      IF verdict IS NULL THEN RETURN false; END IF;
      IF verdict <> (literal ->> 0)::boolean THEN satisfied := true; EXIT; END IF;
    END LOOP;
    IF NOT satisfied THEN RETURN false; END IF;
  END LOOP;
  RETURN true;
END $$;

-- What a residual asks of the present row beyond its columns, whoever the caller is. Schemas and operators are
-- named in full instead of by a search path: to set one took longer than the look. Searches run where each statement
-- is planned for its values, and so would be the query of each call: planning it took four times as long as the rest.
CREATE OR REPLACE FUNCTION tl.has_code(row_rid bigint, wanted bigint[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM tl.resource r
    WHERE r.rid OPERATOR(pg_catalog.=) row_rid AND r.codes OPERATOR(pg_catalog.&&) wanted);
END $$;

CREATE OR REPLACE FUNCTION tl.is_referred_to(row_rid bigint, sources bigint[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM tl.link l
    WHERE l.target OPERATOR(pg_catalog.=) row_rid AND l.parameter OPERATOR(pg_catalog.=) 0
      AND l.source OPERATOR(pg_catalog.=) ANY (sources));
END $$;

CREATE OR REPLACE FUNCTION tl.refers_to(row_rid bigint, targets bigint[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM tl.link l
    WHERE l.source OPERATOR(pg_catalog.=) row_rid AND l.parameter OPERATOR(pg_catalog.=) 0
      AND l.target OPERATOR(pg_catalog.=) ANY (targets));
END $$;

CREATE OR REPLACE FUNCTION tl.has_author(row_rid bigint, authors bigint[]) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM tl.link l
    WHERE l.source OPERATOR(pg_catalog.=) row_rid AND l.author AND l.target OPERATOR(pg_catalog.=) ANY (authors));
END $$;

-- A row of no survivor: an open directory entry is read by every caller, and corrected by its custodian alone (an
-- organization by itself too); for nobody where no caller is set.
CREATE OR REPLACE FUNCTION tl.open_to(open boolean, custodian bigint, rid bigint)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN NULLIF(current_setting('tl.closure', true), '') IS NOT NULL
    AND coalesce((open AND NULLIF(current_setting('tl.need', true), '')::bigint >> 60 & 3 = 1)
      OR NULLIF(current_setting('tl.organization', true), '')::bigint IN (custodian, rid), false);
END $$;

-- What a grant that is not plain asks besides (app/storage/predicate.py). Where the caller is not told (null) it is
-- the one of the settings; as in tl.residual they are read only where they are needed. Not the keeper's, as the next: what it reads is policed as in the statement that calls it.
-- These name their schema themselves: to set a search path for a call took longer than the call.
CREATE OR REPLACE FUNCTION tl.special(
  g tl.consent_grant, rid bigint, type smallint, labels bigint, custodian bigint, clinical_from timestamptz,
  clinical_to timestamptz, code_mask bigint, closure bigint[], deny_closure bigint[], purpose bigint,
  organization bigint, action integer, codes bigint[], refs bigint[], authors bigint[]
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  {special}
END $$;

-- The same of a row that stands now, for the statement's own caller: each input costs every statement its making.
CREATE OR REPLACE FUNCTION tl.special(
  g tl.consent_grant, rid bigint, type smallint, labels bigint, custodian bigint, clinical_from timestamptz,
  clinical_to timestamptz, code_mask bigint, closure bigint[], deny_closure bigint[], need bigint,
  organization bigint
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  {special_told}
END $$;

-- The same for the caller of the settings.
CREATE OR REPLACE FUNCTION tl.special(
  g tl.consent_grant, rid bigint, type smallint, labels bigint, custodian bigint, clinical_from timestamptz,
  clinical_to timestamptz, code_mask bigint
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  {special_here}
END $$;

-- The predicate for a row's further data subjects.
CREATE OR REPLACE FUNCTION tl.co_granted(
  subjects bigint[], rid bigint, type smallint, labels bigint, custodian bigint, clinical_from timestamptz,
  clinical_to timestamptz, closure bigint[], deny_closure bigint[], purpose bigint, organization bigint,
  action integer, codes bigint[], refs bigint[], authors bigint[]
) RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  {here}
  RETURN ({co_granted});
END $$;

-- Of the masks of a row's labelled elements those that the caller may not see; null where all may be seen. An
-- element is judged as a resource with its labels besides the row's would be. Not the keeper's either.
CREATE OR REPLACE FUNCTION tl.hidden_elements(
  masks bigint[], rid bigint, type smallint, patient bigint, co_subjects bigint[], open boolean, labels bigint,
  custodian bigint, clinical_from timestamptz, clinical_to timestamptz, closure bigint[], deny_closure bigint[],
  purpose bigint, organization bigint, action integer, codes bigint[], refs bigint[], authors bigint[]
) RETURNS bigint[] LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  {here}
  RETURN ({hidden_elements});
END $$;

-- Whether the caller may follow a reference that stands in a labelled element. A grantee of a Consent sees that
-- it is one.
CREATE OR REPLACE FUNCTION tl.link_seen(
  source bigint, target bigint, mask bigint, closure bigint[], deny_closure bigint[], purpose bigint,
  organization bigint, action integer
) RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  {here}
  RETURN (mask = {grantees} AND target = ANY (closure)) OR ({link_seen});
END $$;

-- Whether the caller may see a resource, asked of a search row that an element of it gave.
CREATE OR REPLACE FUNCTION tl.row_seen(
  rid bigint, closure bigint[], deny_closure bigint[], purpose bigint, organization bigint, action integer
) RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  {here}
  RETURN EXISTS (SELECT FROM tl.resource e WHERE e.rid = row_seen.rid AND {row_seen});
END $$;

-- What resources that the caller may see refer to: rids, which are still to be judged. The policy of tl.link
-- asks for the source once a link, which took longer than all else where there are thousands.
CREATE OR REPLACE FUNCTION tl.targets_of(sources bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT coalesce(array_agg(DISTINCT l.target), '{}')
  FROM (SELECT s.rid FROM unnest(sources) AS s(rid)
        WHERE tl.row_seen(s.rid, NULL, NULL, NULL, NULL, NULL) OFFSET 0) AS seen
  JOIN link l ON l.source = seen.rid AND l.parameter = 0 AND {followed}
$$;

-- Who the caller is, among those whom a Consent refers to: literal references. targets: of a superseded version.
CREATE OR REPLACE FUNCTION tl.own_references(consent bigint, targets bigint[]) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT coalesce(array_agg(DISTINCT n.name || '/' || t.id), '{}')
  FROM resource t JOIN resource_type n ON n.code = t.type
  WHERE t.rid = ANY (NULLIF(current_setting('tl.closure', true), '')::bigint[])
    AND CASE WHEN targets IS NULL
             THEN EXISTS (SELECT FROM link l WHERE l.source = consent AND l.target = t.rid AND l.parameter = 0)
             ELSE t.rid = ANY (targets) END
$$;

-- A Consent, for telling its scope to whom one of its grants is for.
CREATE OR REPLACE FUNCTION tl.consent_of_grant(wanted bigint) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT r.content FROM resource r WHERE r.rid = wanted AND NOT r.deleted AND EXISTS (
    SELECT FROM consent_grant g WHERE g.patient = r.patient AND g.consent = r.rid
      AND g.grantee = ANY (NULLIF(current_setting('tl.closure', true), '')::bigint[]))
$$;

-- Words of several rows of one resource together.
CREATE OR REPLACE AGGREGATE tl.words(tsvector) (SFUNC = tsvector_concat, STYPE = tsvector);

-- The organization that writes, from the settings of tl.enter; an error where nobody is set.
CREATE OR REPLACE FUNCTION tl.writer() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE organization bigint := NULLIF(current_setting('tl.organization', true), '')::bigint;
BEGIN
  IF organization IS NULL THEN
    RAISE EXCEPTION 'no writer is set' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN organization;
END $$;

-- Insert or replace resources; the superseded version goes to history in the same statement's transaction.
CREATE OR REPLACE FUNCTION tl.store_resources(
  rids bigint[], types smallint[], ids text[], versions integer[], stamps timestamptz[], gone boolean[],
  opens boolean[], patients bigint[], others text[], custodians bigint[], masks bigint[],
  times_from timestamptz[], times_to timestamptz[], code_lists text[], inlines text[], contents bytea[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE me bigint := tl.writer(); refused bigint;
BEGIN
  -- A new row belongs to its writer; an existing one keeps its custodian and needs the right to correct.
  SELECT count(*) INTO refused
    FROM unnest(rids, custodians) AS n(rid, custodian) LEFT JOIN resource x ON x.rid = n.rid
    WHERE CASE WHEN x.rid IS NULL THEN n.custodian <> me AND n.custodian <> n.rid
               ELSE x.custodian <> n.custodian OR NOT coalesce(x.custodian = me OR {correctable}, false)
                 -- Who does not see all of it cannot replace it.
                 OR {elements_unread} IS NOT NULL OR (x.custodian <> me AND {elements_not_corrected} IS NOT NULL) END;
  IF refused > 0 THEN
    RAISE EXCEPTION 'the writer may not write this row' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO resource_history (rid, type, version, last_updated, deleted, open, patient, co_subjects, custodian,
           labels, clinical_from, clinical_to, codes, refs, authors, content, inline_masks)
    SELECT x.rid, x.type, x.version, x.last_updated, x.deleted, x.open, x.patient, x.co_subjects, x.custodian,
           x.labels, x.clinical_from, x.clinical_to, x.codes,
           array(SELECT DISTINCT l.target FROM link l WHERE l.source = x.rid AND l.parameter = 0),
           array(SELECT DISTINCT l.target FROM link l WHERE l.source = x.rid AND l.author),
           x.content, x.inline_masks
    FROM resource x WHERE x.rid = ANY (rids);
  INSERT INTO resource AS r (rid, type, id, version, last_updated, deleted, open, patient, co_subjects, custodian,
           labels, clinical_from, clinical_to, codes, code_mask, content, inline_masks)
    SELECT u.rid, u.type, u.id, u.version, u.stamp, u.gone, u.open, u.patient, u.other::bigint[], u.custodian,
           u.mask, u.time_from, u.time_to, u.code_list::bigint[], code_mask(u.code_list::bigint[]), u.content,
           u.inlined::bigint[]
    FROM unnest(rids, types, ids, versions, stamps, gone, opens, patients, others, custodians, masks,
                times_from, times_to, code_lists, inlines, contents)
      AS u(rid, type, id, version, stamp, gone, open, patient, other, custodian, mask,
           time_from, time_to, code_list, inlined, content)
    ON CONFLICT (rid) DO UPDATE SET
      version = excluded.version, last_updated = excluded.last_updated, deleted = excluded.deleted,
      open = excluded.open, patient = excluded.patient, co_subjects = excluded.co_subjects,
      labels = excluded.labels, clinical_from = excluded.clinical_from, clinical_to = excluded.clinical_to,
      codes = excluded.codes, code_mask = excluded.code_mask, content = excluded.content,
      inline_masks = excluded.inline_masks;
END $$;

-- True where the row was written by this very transaction: what the doors below ask first.
CREATE OR REPLACE FUNCTION tl.written_now(row_rid bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT EXISTS (SELECT FROM resource r WHERE r.rid = row_rid AND r.xmin = pg_current_xact_id()::xid)
$$;

-- Replace the index rows and links of resources written in this transaction.
CREATE OR REPLACE FUNCTION tl.store_index(
  rids bigint[], token_rids bigint[], token_hashes bigint[], token_items smallint[], token_masks bigint[],
  date_rids bigint[], date_hashes bigint[], lows timestamptz[], highs timestamptz[], date_items smallint[],
  date_masks bigint[], string_rids bigint[], string_hashes bigint[], normals text[], exacts text[],
  string_items smallint[], string_masks bigint[], number_rids bigint[], number_hashes bigint[],
  number_lows float8[], number_highs float8[], number_items smallint[], number_masks bigint[],
  text_rids bigint[], narratives text[], contents text[], text_masks bigint[],
  link_sources bigint[], link_targets bigint[], link_parameters bigint[], link_climbs boolean[], link_authors boolean[],
  link_masks bigint[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(rids) AS n(rid) WHERE NOT tl.written_now(n.rid)) THEN
    RAISE EXCEPTION 'only rows of this transaction can be indexed' USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM tl.store_search(rids, token_rids, token_hashes, token_items, token_masks,
    date_rids, date_hashes, lows, highs, date_items, date_masks,
    string_rids, string_hashes, normals, exacts, string_items, string_masks,
    number_rids, number_hashes, number_lows, number_highs, number_items, number_masks,
    text_rids, narratives, contents, text_masks);
  DELETE FROM link WHERE source = ANY (rids);
  INSERT INTO link
    SELECT u.source, u.target, u.parameter, u.climbs, u.author, u.mask
    FROM unnest(link_sources, link_targets, link_parameters, link_climbs, link_authors, link_masks)
      AS u(source, target, parameter, climbs, author, mask)
    WHERE u.source = ANY (rids);
END $$;

-- Replace the search rows of resources, whose consent columns they take from the resource itself. Not for the
-- service: store_index calls it for rows just written, re-indexing for rows of old.
CREATE OR REPLACE FUNCTION tl.store_search(
  rids bigint[], token_rids bigint[], token_hashes bigint[], token_items smallint[], token_masks bigint[],
  date_rids bigint[], date_hashes bigint[], lows timestamptz[], highs timestamptz[], date_items smallint[],
  date_masks bigint[], string_rids bigint[], string_hashes bigint[], normals text[], exacts text[],
  string_items smallint[], string_masks bigint[], number_rids bigint[], number_hashes bigint[],
  number_lows float8[], number_highs float8[], number_items smallint[], number_masks bigint[],
  text_rids bigint[], narratives text[], contents text[], text_masks bigint[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  DELETE FROM index_token WHERE rid = ANY (rids);
  DELETE FROM index_date WHERE rid = ANY (rids);
  DELETE FROM index_string WHERE rid = ANY (rids);
  DELETE FROM index_number WHERE rid = ANY (rids);
  DELETE FROM index_text WHERE rid = ANY (rids);
  INSERT INTO index_token (hash, last_updated, rid, patient, custodian, labels,
      clinical_from, clinical_to, type, item, open, co_subjects, code_mask, inline_mask)
    SELECT u.hash, r.last_updated, r.rid, r.patient, r.custodian,
           element_labels(r.labels, u.mask),
           r.clinical_from, r.clinical_to, r.type, u.item, element_open(r.open, u.mask), r.co_subjects, r.code_mask,
           u.mask
    FROM unnest(token_rids, token_hashes, token_items, token_masks) AS u(rid, hash, item, mask)
    JOIN resource r ON r.rid = u.rid AND r.rid = ANY (rids);
  INSERT INTO index_date (hash, low, high, last_updated, rid, patient, custodian, labels,
      clinical_from, clinical_to, type, item, open, co_subjects, code_mask, inline_mask)
    SELECT u.hash, coalesce(u.low, '-infinity'), coalesce(u.high, 'infinity'), r.last_updated, r.rid, r.patient, r.custodian,
           element_labels(r.labels, u.mask),
           r.clinical_from, r.clinical_to, r.type, u.item, element_open(r.open, u.mask), r.co_subjects, r.code_mask,
           u.mask
    FROM unnest(date_rids, date_hashes, lows, highs, date_items, date_masks) AS u(rid, hash, low, high, item, mask)
    JOIN resource r ON r.rid = u.rid AND r.rid = ANY (rids);
  INSERT INTO index_string (hash, normalized, exact, last_updated, rid, patient, custodian, labels,
      clinical_from, clinical_to, type, item, open, co_subjects, code_mask, inline_mask)
    SELECT u.hash, u.normal, u.exact, r.last_updated, r.rid, r.patient, r.custodian,
           element_labels(r.labels, u.mask),
           r.clinical_from, r.clinical_to, r.type, u.item, element_open(r.open, u.mask), r.co_subjects, r.code_mask,
           u.mask
    FROM unnest(string_rids, string_hashes, normals, exacts, string_items, string_masks) AS u(rid, hash, normal, exact, item, mask)
    JOIN resource r ON r.rid = u.rid AND r.rid = ANY (rids);
  INSERT INTO index_number (hash, low, high, last_updated, rid, patient, custodian, labels,
      clinical_from, clinical_to, type, item, open, co_subjects, code_mask, inline_mask)
    SELECT u.hash, u.low, u.high, r.last_updated, r.rid, r.patient, r.custodian,
           element_labels(r.labels, u.mask),
           r.clinical_from, r.clinical_to, r.type, u.item, element_open(r.open, u.mask), r.co_subjects, r.code_mask,
           u.mask
    FROM unnest(number_rids, number_hashes, number_lows, number_highs, number_items, number_masks) AS u(rid, hash, low, high, item, mask)
    JOIN resource r ON r.rid = u.rid AND r.rid = ANY (rids);
  INSERT INTO index_text (rid, narrative, content, last_updated, patient, custodian, labels,
      clinical_from, clinical_to, type, open, co_subjects, code_mask, inline_mask)
    SELECT r.rid, to_tsvector('simple', u.narrative), to_tsvector('simple', u.content), r.last_updated, r.patient,
           r.custodian, element_labels(r.labels, u.mask), r.clinical_from, r.clinical_to, r.type,
           element_open(r.open, u.mask), r.co_subjects, r.code_mask,
           u.mask
    FROM unnest(text_rids, narratives, contents, text_masks) AS u(rid, narrative, content, mask)
    JOIN resource r ON r.rid = u.rid AND r.rid = ANY (rids);
END $$;

-- A label mask with its highest confidentiality bit alone (app/consent/labels.py, one_confidentiality).
CREATE OR REPLACE FUNCTION tl.one_confidentiality(mask bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT (mask & ~{confidentiality}::bigint) | CASE
    WHEN mask & 64 <> 0 THEN 64 WHEN mask & 32 <> 0 THEN 32 WHEN mask & 16 <> 0 THEN 16
    WHEN mask & 8 <> 0 THEN 8 WHEN mask & 4 <> 0 THEN 4 WHEN mask & 2 <> 0 THEN 2 ELSE {unstated} END
$$;

-- The labels of a search row: those of its resource, and of the element that it comes from where that has its own.
CREATE OR REPLACE FUNCTION tl.element_labels(labels bigint, mask bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN mask IS NULL THEN labels ELSE tl.one_confidentiality(labels | mask | {element}) END
$$;

-- Whether everybody may read what comes from an element of a directory entry.
CREATE OR REPLACE FUNCTION tl.element_open(open boolean, mask bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT open AND coalesce(mask, 0) & {closed} = 0
$$;

-- Search rows take over what has changed of their resources: data subjects, labels, whether they are open.
CREATE OR REPLACE FUNCTION tl.spread_columns(changed bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  UPDATE index_token i SET patient = r.patient, co_subjects = r.co_subjects,
      labels = element_labels(r.labels, i.inline_mask), open = element_open(r.open, i.inline_mask)
    FROM resource r WHERE r.rid = i.rid AND r.rid = ANY (changed);
  UPDATE index_date i SET patient = r.patient, co_subjects = r.co_subjects,
      labels = element_labels(r.labels, i.inline_mask), open = element_open(r.open, i.inline_mask)
    FROM resource r WHERE r.rid = i.rid AND r.rid = ANY (changed);
  UPDATE index_string i SET patient = r.patient, co_subjects = r.co_subjects,
      labels = element_labels(r.labels, i.inline_mask), open = element_open(r.open, i.inline_mask)
    FROM resource r WHERE r.rid = i.rid AND r.rid = ANY (changed);
  UPDATE index_number i SET patient = r.patient, co_subjects = r.co_subjects,
      labels = element_labels(r.labels, i.inline_mask), open = element_open(r.open, i.inline_mask)
    FROM resource r WHERE r.rid = i.rid AND r.rid = ANY (changed);
  UPDATE index_text i SET patient = r.patient, co_subjects = r.co_subjects,
      labels = element_labels(r.labels, i.inline_mask), open = element_open(r.open, i.inline_mask)
    FROM resource r WHERE r.rid = i.rid AND r.rid = ANY (changed);
END $$;

-- Labels of a row of a type, with those that climb into it (app/consent/labelling.py, computed_labels). A row
-- that states no confidentiality counts as N: a lower one that climbs must not take its place.
CREATE OR REPLACE FUNCTION tl.climbed(row_type smallint, own bigint, gained bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT tl.one_confidentiality(CASE
    WHEN row_type = ANY ('{{definitional}}'::smallint[]) THEN own | (gained & {sensitivity_mask})
    ELSE own | (gained & {climbing} & ~CASE WHEN own & {unstated} <> 0 THEN {below_normal} ELSE 0 END)
      | CASE WHEN gained & {restricting} <> 0 THEN {restricted} ELSE 0 END END)
$$;

-- When a row's data subjects or labels changed, whatever references it follows, so that no row is less
-- protected than what it speaks of. Monotone: subjects and climbing labels are added here, never taken away.
-- Each row that follows is locked as its own writer would lock it, so that whoever is just writing a reference
-- to it is waited for, and is then found.
CREATE OR REPLACE FUNCTION tl.propagate(changed bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE frontier bigint[] := changed; total integer := 0;
BEGIN
  LOOP
    PERFORM pg_advisory_xact_lock(k.key) FROM (
      SELECT DISTINCT hashtextextended(s.id, s.type::bigint) AS key
      FROM link l JOIN resource s ON s.rid = l.source
      WHERE l.parameter = 0 AND l.target = ANY (frontier) ORDER BY 1 OFFSET 0) AS k;
    WITH gained AS (
      SELECT s.rid,
             array(SELECT DISTINCT v FROM unnest(array_agg(t.patient) || s.patient || coalesce(s.co_subjects, '{}')
                     || (SELECT array_agg(o) FROM resource t2, unnest(t2.co_subjects) o
                         WHERE t2.rid = ANY (array_agg(t.rid)))) v
                   WHERE v IS NOT NULL ORDER BY v) AS subjects,
             climbed(s.type, s.labels, bit_or(CASE WHEN l.climbs THEN t.labels ELSE 0 END)) AS labels
      FROM link l JOIN resource s ON s.rid = l.source JOIN resource t ON t.rid = l.target
      WHERE l.parameter = 0 AND l.target = ANY (frontier) AND (t.patient IS NOT NULL OR l.climbs)
      GROUP BY s.rid
    ), moved AS (
      UPDATE resource r SET
        patient = CASE WHEN r.patient = ANY (g.subjects) THEN r.patient ELSE g.subjects[1] END,
        co_subjects = NULLIF(array(SELECT v FROM unnest(g.subjects) v
          WHERE v <> CASE WHEN r.patient = ANY (g.subjects) THEN r.patient ELSE g.subjects[1] END), '{}'),
        labels = g.labels, open = r.open AND cardinality(g.subjects) = 0 AND g.labels & {closed} = 0
      FROM gained g WHERE g.rid = r.rid
        AND (g.labels <> r.labels OR cardinality(g.subjects) <>
             (r.patient IS NOT NULL)::int + coalesce(cardinality(r.co_subjects), 0))
      RETURNING r.rid
    ) SELECT array_agg(rid) INTO frontier FROM moved;
    EXIT WHEN frontier IS NULL;
    total := total + cardinality(frontier);
    PERFORM tl.spread_columns(frontier);
  END LOOP;
  RETURN total;
END $$;

-- Lock what is written (exclusively) and what it will refer to (shared), in one order for all writers, so that
-- no label and no data subject changes between being read and being relied on. Returns the program bits of the
-- writer's organization: whatever a 42 CFR Part 2 program or a victim-service provider writes is marked so.
CREATE OR REPLACE FUNCTION tl.begin_write(lock_types smallint[], lock_ids text[], exclusive boolean[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE each record;
BEGIN
  FOR each IN
    SELECT hashtextextended(u.id, u.type::bigint) AS key, bool_or(u.exclusive) AS exclusive
    FROM unnest(lock_types, lock_ids, exclusive) AS u(type, id, exclusive) GROUP BY 1 ORDER BY 1
  LOOP
    IF each.exclusive THEN PERFORM pg_advisory_xact_lock(each.key);
    ELSE PERFORM pg_advisory_xact_lock_shared(each.key); END IF;
  END LOOP;
  RETURN coalesce((SELECT r.labels & {programs} FROM resource r WHERE r.rid = tl.writer()), 0);
END $$;

-- True inside a transaction that has just written a row about the survivor, or a policy for all survivors:
-- what compiling asks first, so that it is no way to read.
CREATE OR REPLACE FUNCTION tl.may_compile(survivor bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  -- One question for each index: an OR of the two would walk the table; and for each type, because PostgreSQL 15
  -- takes two types for a filter over the whole record. That is walked last, and seldom: what one compiles for is a
  -- Consent, of which there are few, or the Patient.
  SELECT EXISTS (SELECT FROM resource r WHERE r.patient = survivor AND r.type = {consent_type}
                 AND r.xmin = pg_current_xact_id()::xid)
      OR EXISTS (SELECT FROM resource r WHERE r.patient = survivor AND r.type = {patient_type}
                 AND r.xmin = pg_current_xact_id()::xid)
      OR EXISTS (SELECT FROM consent_authority a JOIN resource r ON r.rid = a.consent
                 WHERE a.officer AND r.patient IS NULL AND r.xmin = pg_current_xact_id()::xid)
      OR EXISTS (SELECT FROM resource r WHERE r.co_subjects @> ARRAY[survivor] AND r.xmin = pg_current_xact_id()::xid)
      OR EXISTS (SELECT FROM resource r WHERE r.patient = survivor AND r.xmin = pg_current_xact_id()::xid)
$$;

-- A Patient and everybody who is the same person, over any number of links.
CREATE OR REPLACE FUNCTION tl.same_person_of(patient bigint) RETURNS TABLE (rid bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  WITH RECURSIVE person(rid) AS (
    SELECT patient
    UNION
    SELECT CASE WHEN s.one = p.rid THEN s.other ELSE s.one END
    FROM person p JOIN same_person s ON s.one = p.rid OR s.other = p.rid
  ) SELECT p.rid FROM person p ORDER BY 1
$$;

CREATE OR REPLACE FUNCTION tl.is_linked(a bigint, b bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT EXISTS (SELECT FROM same_person s WHERE s.one = least(a, b) AND s.other = greatest(a, b))
$$;

-- True where the writer may correct both Patients: then both count as written in this transaction, also where
-- nothing of them had to change (who links twice, or parts those whose link somebody took away by hand).
CREATE OR REPLACE FUNCTION tl.take_in_hand(a bigint, b bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE me bigint := tl.writer();
BEGIN
  IF (SELECT count(*) FROM resource x WHERE x.rid IN (a, b)
      AND (written_now(x.rid) OR x.custodian = me OR coalesce({correctable}, false))) < 2 THEN
    RETURN false;
  END IF;
  UPDATE resource x SET version = x.version WHERE x.rid IN (a, b) AND NOT written_now(x.rid);
  RETURN true;
END $$;

-- Two Patients become one person: their writer may correct both, and each links the other. Returns everybody whose
-- grants change.
CREATE OR REPLACE FUNCTION tl.link_person(a bigint, b bigint) RETURNS TABLE (rid bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF NOT take_in_hand(a, b)
     OR NOT EXISTS (SELECT FROM link l WHERE l.source = a AND l.target = b AND l.parameter = 0)
     OR NOT EXISTS (SELECT FROM link l WHERE l.source = b AND l.target = a AND l.parameter = 0) THEN
    RAISE EXCEPTION 'only Patients that their writer may correct and that link each other become one person'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO same_person VALUES (least(a, b), greatest(a, b)) ON CONFLICT DO NOTHING;
  RETURN QUERY SELECT s.rid FROM same_person_of(a) s;
END $$;

-- Two persons again: whatever was about both only by their link is about whom it was about before.
CREATE OR REPLACE FUNCTION tl.unlink_person(a bigint, b bigint) RETURNS TABLE (rid bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE affected bigint[]; everybody bigint[]; moved integer;
BEGIN
  IF NOT take_in_hand(a, b) THEN
    RAISE EXCEPTION 'only who may correct both Patients can part them' USING ERRCODE = 'insufficient_privilege';
  END IF;
  everybody := array(SELECT s.rid FROM same_person_of(a) s);
  DELETE FROM same_person s WHERE s.one = least(a, b) AND s.other = greatest(a, b);
  affected := array(
    SELECT r.rid FROM resource r
    WHERE r.patient = ANY (everybody) AND r.co_subjects && everybody ORDER BY r.rid);
  -- From nothing, subjects grow along the links again, now without the one that was taken away.
  CREATE TEMPORARY TABLE IF NOT EXISTS regrown (rid bigint PRIMARY KEY, subjects bigint[]) ON COMMIT DROP;
  TRUNCATE regrown;
  INSERT INTO regrown SELECT u, CASE WHEN u = ANY (everybody) THEN ARRAY[u] ELSE '{}' END FROM unnest(affected) u;
  LOOP
    WITH gained AS (
      SELECT g.rid, array(
        SELECT DISTINCT v FROM (
          SELECT unnest(g.subjects) AS v
          UNION ALL
          SELECT unnest(coalesce(t2.subjects, array_remove(t.patient || coalesce(t.co_subjects, '{}'), NULL)))
          FROM link l JOIN resource t ON t.rid = l.target LEFT JOIN regrown t2 ON t2.rid = t.rid
          WHERE l.source = g.rid AND l.parameter = 0
        ) AS reached ORDER BY v) AS subjects
      FROM regrown g
    ), changed AS (
      UPDATE regrown g SET subjects = n.subjects FROM gained n
      WHERE n.rid = g.rid AND n.subjects <> g.subjects RETURNING g.rid
    ) SELECT count(*) INTO moved FROM changed;
    EXIT WHEN moved = 0;
  END LOOP;
  UPDATE resource r SET
    patient = CASE WHEN r.patient = ANY (g.subjects) THEN r.patient ELSE g.subjects[1] END,
    co_subjects = NULLIF(array(SELECT v FROM unnest(g.subjects) v
      WHERE v <> CASE WHEN r.patient = ANY (g.subjects) THEN r.patient ELSE g.subjects[1] END), '{}')
  FROM regrown g WHERE g.rid = r.rid AND cardinality(g.subjects) > 0;
  PERFORM tl.spread_columns(affected);
  RETURN QUERY SELECT unnest(everybody);
END $$;

-- The Consents about a survivor, for compiling. Two writers of one survivor's Consents wait for each other here,
-- or the later commit would put back what the earlier one has taken away.
CREATE OR REPLACE FUNCTION tl.consents_of(survivor bigint, consent_type smallint, consent_patient bigint)
RETURNS TABLE (rid bigint, recorder bigint, patient_custodian bigint, officer boolean, content bytea, refs jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF NOT may_compile(survivor) THEN
    RAISE EXCEPTION 'nothing was written about this survivor' USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('grants', survivor));
  -- A deny of an organization holds when its directory entry is deleted: its clients are still there.
  RETURN QUERY
    SELECT c.rid, c.custodian, p.custodian, coalesce(a.officer, false), c.content,
      (SELECT coalesce(jsonb_object_agg(n.name || '/' || t.id, t.rid), '{}')
       FROM link k JOIN resource t ON t.rid = k.target JOIN resource_type n ON n.code = t.type
       WHERE k.source = c.rid AND k.parameter = 0)
    FROM same_person_of(survivor) s JOIN link l ON l.target = s.rid
    JOIN resource c ON c.rid = l.source JOIN resource p ON p.rid = s.rid
    LEFT JOIN consent_authority a ON a.consent = c.rid
    WHERE l.parameter = consent_patient AND c.type = consent_type AND NOT c.deleted
    ORDER BY c.rid;
END $$;

-- True inside a transaction that has just written a Consent about the survivor, or has taken up the end of one.
CREATE OR REPLACE FUNCTION tl.in_doubt(survivor bigint, consent_type smallint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  WITH person AS (SELECT array(SELECT s.rid FROM same_person_of(survivor) s) AS rids)
  SELECT EXISTS (
    SELECT FROM consent_end e WHERE e.patient = survivor AND e.taken_up AND e.xmin = pg_current_xact_id()::xid)
  -- A deleted one has no links left, but its data subjects; and one may be about somebody whom it does not name.
  OR EXISTS (
    SELECT FROM resource r
    WHERE r.patient = ANY (p.rids) AND r.type = consent_type AND r.xmin = pg_current_xact_id()::xid)
  OR EXISTS (
    SELECT FROM resource r
    WHERE r.co_subjects && p.rids AND r.type = consent_type AND r.xmin = pg_current_xact_id()::xid)
  -- Last, because a record has as many links as rows.
  OR EXISTS (
    SELECT FROM link l JOIN resource r ON r.rid = l.source
    WHERE l.target = ANY (p.rids) AND l.parameter = 0
      AND r.type = consent_type AND r.xmin = pg_current_xact_id()::xid)
  FROM person p
$$;

-- The Tasks about a survivor, or about somebody who is the same person. By their data subjects: a record may have
-- as many links as rows, and whom a Task names is a data subject of it.
CREATE OR REPLACE FUNCTION tl.tasks_about(survivor bigint, task_type smallint) RETURNS SETOF tl.resource
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  WITH person AS (SELECT array(SELECT s.rid FROM same_person_of(survivor) s) AS rids)
  SELECT t.* FROM resource t WHERE t.type = task_type AND NOT t.deleted AND t.rid IN (
    SELECT r.rid FROM resource r, person p WHERE r.patient = ANY (p.rids) AND r.type = task_type
    UNION
    SELECT r.rid FROM resource r, person p WHERE r.co_subjects && p.rids AND r.type = task_type)
  ORDER BY t.rid
$$;

-- Which Tasks about a survivor there are, whoever wrote them, so that those who wait are told when a receiver has
-- lost sight. Each is locked as its own writer would lock it, so that no answer of the receiver's is written over.
CREATE OR REPLACE FUNCTION tl.tasks_in_doubt(survivor bigint, task_type smallint, consent_type smallint)
RETURNS TABLE (rid bigint, custodian bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF NOT in_doubt(survivor, consent_type) THEN
    RAISE EXCEPTION 'no Consent was written about this survivor' USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM pg_advisory_xact_lock(k.key) FROM (
    SELECT DISTINCT hashtextextended(t.id, t.type::bigint) AS key FROM tasks_about(survivor, task_type) t
    ORDER BY 1 OFFSET 0) AS k;
  RETURN QUERY SELECT t.rid, t.custodian FROM tasks_about(survivor, task_type) t;
END $$;

-- One version more of Tasks that differs in a note alone: labels, data subjects and what finds them stay. Of the
-- writer's own Tasks, in a transaction such as above, and of the version that was read.
CREATE OR REPLACE FUNCTION tl.note_tasks(
  rids bigint[], versions integer[], stamp timestamptz, contents bytea[], task_type smallint, consent_type smallint
) RETURNS TABLE (rid bigint, id text, custodian bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE me bigint := tl.writer();
BEGIN
  IF EXISTS (
    SELECT FROM unnest(rids, versions) AS n(rid, version) LEFT JOIN resource x ON x.rid = n.rid
    WHERE x.version IS DISTINCT FROM n.version OR x.type <> task_type OR x.deleted OR x.custodian <> me
      OR NOT EXISTS (SELECT FROM unnest(x.patient || coalesce(x.co_subjects, '{}')) AS s(rid)
                     WHERE in_doubt(s.rid, consent_type))
  ) THEN
    RAISE EXCEPTION 'the writer may not note this' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO resource_history (rid, type, version, last_updated, deleted, open, patient, co_subjects, custodian,
           labels, clinical_from, clinical_to, codes, refs, authors, content, inline_masks)
    SELECT x.rid, x.type, x.version, x.last_updated, x.deleted, x.open, x.patient, x.co_subjects, x.custodian,
           x.labels, x.clinical_from, x.clinical_to, x.codes,
           array(SELECT DISTINCT l.target FROM link l WHERE l.source = x.rid AND l.parameter = 0),
           array(SELECT DISTINCT l.target FROM link l WHERE l.source = x.rid AND l.author),
           x.content, x.inline_masks
    FROM resource x WHERE x.rid = ANY (rids);
  UPDATE resource x SET version = x.version + 1, last_updated = stamp, content = n.content
    FROM unnest(rids, contents) AS n(rid, content) WHERE x.rid = n.rid;
  UPDATE index_token i SET last_updated = stamp WHERE i.rid = ANY (rids);
  UPDATE index_date i SET last_updated = stamp WHERE i.rid = ANY (rids);
  UPDATE index_string i SET last_updated = stamp WHERE i.rid = ANY (rids);
  UPDATE index_number i SET last_updated = stamp WHERE i.rid = ANY (rids);
  UPDATE index_text i SET last_updated = stamp WHERE i.rid = ANY (rids);
  RETURN QUERY SELECT x.rid, x.id, x.custodian FROM resource x WHERE x.rid = ANY (rids) ORDER BY x.rid;
END $$;

-- Take up a survivor one of whose permits has ended: the ends that are due, together, in one process alone.
CREATE OR REPLACE FUNCTION tl.take_up_end() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE survivor bigint;
BEGIN
  SELECT e.patient INTO survivor FROM consent_end e WHERE NOT e.taken_up AND e.due <= statement_timestamp()
    ORDER BY e.due LIMIT 1 FOR UPDATE SKIP LOCKED;
  UPDATE consent_end e SET taken_up = true
    WHERE e.patient = survivor AND NOT e.taken_up AND e.due <= statement_timestamp();
  RETURN survivor;
END $$;

CREATE OR REPLACE FUNCTION tl.put_off_ends(a_while interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  UPDATE consent_end e SET due = statement_timestamp() + a_while WHERE e.ctid = (
    SELECT o.ctid FROM consent_end o WHERE NOT o.taken_up AND o.due <= statement_timestamp()
    ORDER BY o.due LIMIT 1 FOR UPDATE SKIP LOCKED);
END $$;

-- Note when a survivor's permits end, for whoever takes it up then; and that somebody is to look soon, because it
-- may have been no Consent of theirs that changed them (a policy for all, a link of two Patients).
CREATE OR REPLACE FUNCTION tl.put_ends(survivor bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE tasks smallint := (SELECT t.code FROM resource_type t WHERE t.name = 'Task');
BEGIN
  IF NOT may_compile(survivor) THEN
    RAISE EXCEPTION 'nothing was written about this survivor' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM consent_end WHERE patient = survivor;
  INSERT INTO consent_end (patient, ends, due)
    SELECT survivor, e.moment, e.moment FROM (
      SELECT g.valid_to FROM consent_grant g WHERE g.patient = survivor AND g.consent IS NOT NULL
      UNION
      -- A period that no column can carry (app/consent/residual.py): either end of it may end a permit.
      SELECT to_timestamp((edge #>> '{}')::numeric / 1000000)
      FROM consent_grant g, jsonb_path_query(g.residual, '$[*][*] ? (@[1] == "valid")[2][*]') AS edge
      WHERE g.patient = survivor AND jsonb_typeof(edge) = 'number'
    ) AS e(moment) WHERE e.moment > statement_timestamp() AND e.moment < 'infinity'
    UNION
    SELECT survivor, statement_timestamp(), statement_timestamp()
    WHERE EXISTS (SELECT FROM tasks_about(survivor, tasks));
END $$;

-- The policies for all survivors: Consents of a privacy officer that name no patient. No survivor's data.
CREATE OR REPLACE FUNCTION tl.ceilings(consent_type smallint)
RETURNS TABLE (content bytea, refs jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT c.content,
    (SELECT coalesce(jsonb_object_agg(n.name || '/' || t.id, t.rid), '{}')
     FROM link k JOIN resource t ON t.rid = k.target JOIN resource_type n ON n.code = t.type
     WHERE k.source = c.rid AND k.parameter = 0)
  FROM consent_authority a JOIN resource c ON c.rid = a.consent
  WHERE a.officer AND c.type = consent_type AND c.patient IS NULL AND NOT c.deleted ORDER BY c.rid
$$;

-- Every survivor, for compiling after a policy has changed; nothing in any other transaction.
CREATE OR REPLACE FUNCTION tl.survivors(patient_type smallint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT r.rid FROM resource r WHERE r.type = patient_type AND may_compile(0) ORDER BY r.rid
$$;

-- Who stands behind Consents written in this transaction.
CREATE OR REPLACE FUNCTION tl.put_authority(consents bigint[], by_officer boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(consents) AS n(rid) WHERE NOT written_now(n.rid)) THEN
    RAISE EXCEPTION 'only Consents of this transaction' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO consent_authority SELECT n, by_officer FROM unnest(consents) AS n
    ON CONFLICT (consent) DO UPDATE SET officer = excluded.officer;
END $$;

CREATE OR REPLACE FUNCTION tl.put_grants(survivor bigint, grants jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF NOT may_compile(survivor) THEN
    RAISE EXCEPTION 'nothing was written about this survivor' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM consent_grant WHERE patient = survivor;
  INSERT INTO consent_grant (
    patient, grantee, actions, purposes, valid_from, valid_to, forbidden, any_of, custodian, excluded, types,
    not_types, data_from, data_to, residual, consent, provision
  ) SELECT patient, grantee, actions, purposes, valid_from, valid_to, forbidden, any_of, custodian, excluded, types,
    not_types, data_from, data_to, residual, consent, provision
  FROM jsonb_populate_recordset(NULL::consent_grant, grants);
  PERFORM put_ends(survivor);
END $$;

CREATE OR REPLACE FUNCTION tl.put_memberships(
  sources bigint[], row_sources bigint[], members bigint[], belong bigint[], withins bigint[],
  deny_onlys boolean[], froms timestamptz[], tos timestamptz[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(sources) AS n(rid) WHERE NOT tl.written_now(n.rid)) THEN
    RAISE EXCEPTION 'only rows of this transaction can be members' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM membership WHERE source = ANY (sources);
  INSERT INTO membership
    SELECT * FROM unnest(row_sources, members, belong, withins, deny_onlys, froms, tos);
  UPDATE directory_epoch SET epoch = epoch + 1, next_change = '-infinity';
  PERFORM advance_directory();
END $$;

-- Move the epoch on where a period of membership has begun or ended, and note when the next one will.
CREATE OR REPLACE FUNCTION tl.advance_directory() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM directory_epoch e WHERE e.next_change <= statement_timestamp()) THEN RETURN; END IF;
  UPDATE directory_epoch SET epoch = epoch + 1, next_change = (
    SELECT coalesce(min(edge), 'infinity')
    FROM membership m, unnest(ARRAY[m.valid_from, m.valid_to]) AS edge WHERE edge > statement_timestamp())
  WHERE next_change <= statement_timestamp();
END $$;

-- Which of these ids exist, hidden or not: for the writer of rows only, to allot versions. Tells nothing to
-- the caller: the answers for hidden and missing are the same.
CREATE OR REPLACE FUNCTION tl.occupied(wanted_type smallint, wanted_id text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT r.rid FROM resource r WHERE r.type = wanted_type AND r.id = wanted_id
$$;

-- The audit's partition of a month. Runs as its owner: the service makes no tables itself.
CREATE OR REPLACE FUNCTION tl.audit_partition(year integer, month integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE first timestamptz := make_timestamptz(year, month, 1, 0, 0, 0, 'UTC');
        name text := format('audit_event_%s_%s', year, lpad(month::text, 2, '0'));
BEGIN
  IF to_regclass('tl.' || name) IS NULL THEN
    -- Two processes may find it missing at once.
    PERFORM pg_advisory_xact_lock(7403);
    EXECUTE format('CREATE TABLE IF NOT EXISTS tl.%I PARTITION OF tl.audit_event FOR VALUES FROM (%L) TO (%L)',
                   name, first, (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
  END IF;
END $$;

-- The partitions of this month and the three that follow.
CREATE OR REPLACE FUNCTION tl.audit_partitions_ahead() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE moment timestamp;
BEGIN
  FOR ahead IN 0..3 LOOP
    moment := statement_timestamp() AT TIME ZONE 'UTC' + make_interval(months => ahead);
    PERFORM tl.audit_partition(extract(year FROM moment)::integer, extract(month FROM moment)::integer);
  END LOOP;
END $$;

-- A lane for this connection alone, until it ends.
CREATE OR REPLACE FUNCTION tl.audit_lane() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  FOR lane IN 1..1000 LOOP
    IF pg_try_advisory_lock(7402, lane) THEN RETURN lane; END IF;
  END LOOP;
  RAISE EXCEPTION 'no lane of the audit is free' USING ERRCODE = 'too_many_connections';
END $$;

CREATE OR REPLACE FUNCTION tl.audit_head(of_lane integer) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT e.seq, e.hash FROM audit_event e WHERE e.lane = of_lane ORDER BY e.seq DESC LIMIT 1
$$;

-- Every process hears of revocations and of new keys, whoever makes them (app/storage/notices.py).
CREATE OR REPLACE FUNCTION tl.tell_trust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  CASE TG_TABLE_NAME
    WHEN 'client' THEN
      IF NEW.tokens_void_at IS NOT NULL THEN
        PERFORM pg_notify('tl_trust', json_build_object(
          'client', NEW.client_id, 'void', extract(epoch FROM NEW.tokens_void_at))::text);
      END IF;
    WHEN 'revoked_token' THEN
      PERFORM pg_notify('tl_trust', json_build_object(
        'jti', NEW.jti, 'until', extract(epoch FROM NEW.expires_at))::text);
    ELSE PERFORM pg_notify('tl_trust', 'keys');
  END CASE;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE ON tl.client
  FOR EACH ROW EXECUTE FUNCTION tl.tell_trust();
CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE ON tl.revoked_token
  FOR EACH ROW EXECUTE FUNCTION tl.tell_trust();
CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE ON tl.signing_key
  FOR EACH ROW EXECUTE FUNCTION tl.tell_trust();

-- A revocation voids the tokens that are out, however it is made.
CREATE OR REPLACE FUNCTION tl.void_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.revoked_at IS NOT NULL AND OLD.revoked_at IS NULL THEN
    NEW.tokens_void_at := greatest(NEW.tokens_void_at, clock_timestamp());
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER void_tokens BEFORE UPDATE ON tl.client
  FOR EACH ROW EXECUTE FUNCTION tl.void_tokens();

-- File the audit's next rows as entries (tl.audit_entry), at most so many of each lane; how many there were.
-- What a survivor may not know of in the own record (notes kept back, NOPAT, records shared with somebody else)
-- goes to an entry of its own, which carries the labels that keep it back.
CREATE OR REPLACE FUNCTION tl.index_audit(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tl, pg_temp AS $$
DECLARE filed bigint;
BEGIN
  -- One at a time: whoever waits finds the work done.
  PERFORM pg_advisory_xact_lock(7405);
  CREATE TEMPORARY TABLE due ON COMMIT DROP AS
    SELECT e.* FROM generate_series(1, (SELECT max(a.lane) FROM audit_event a)) AS l(lane)
    CROSS JOIN LATERAL (
      SELECT x.* FROM audit_event x
      WHERE x.lane = l.lane
        AND x.seq > coalesce((SELECT i.seq FROM audit_indexed i WHERE i.lane = l.lane), 0)
      ORDER BY x.seq LIMIT most
    ) e;
  WITH part AS (
    SELECT d.lane, d.seq, s.patient,
           (r.labels & {kept_back}) | CASE WHEN r.co_subjects IS NULL THEN 0 ELSE {nopat} END AS kept,
           array_agg(DISTINCT t.name || '/' || r.id ORDER BY t.name || '/' || r.id) AS entities
    FROM due d CROSS JOIN LATERAL unnest(d.rids) AS u(rid)
    JOIN resource r ON r.rid = u.rid JOIN resource_type t ON t.code = r.type
    CROSS JOIN LATERAL (SELECT r.patient UNION SELECT unnest(r.co_subjects)) AS s(patient)
    WHERE s.patient IS NOT NULL
    GROUP BY d.lane, d.seq, s.patient, kept
  ), whole AS (
    SELECT lane, seq, patient, kept, entities FROM part
    UNION ALL
    SELECT d.lane, d.seq, 0, 0, array(
      SELECT t.name || '/' || r.id FROM unnest(d.rids) AS u(rid) JOIN resource r ON r.rid = u.rid
      JOIN resource_type t ON t.code = r.type WHERE r.patient IS NULL ORDER BY 1)
    FROM due d
    WHERE d.query IS NOT NULL OR NOT EXISTS (SELECT FROM part p WHERE p.lane = d.lane AND p.seq = d.seq)
  )
  INSERT INTO audit_entry
    SELECT md5(concat_ws(':', w.lane, w.seq, w.patient, w.kept))::uuid, 0, {audit_event_type}, false, -w.patient, NULL,
           0, w.kept, d.recorded, d.recorded, d.action, d.interaction, d.outcome, d.client_id,
           (SELECT 'Organization/' || o.id FROM resource o WHERE o.rid = d.organization),
           (SELECT 'Practitioner/' || o.id FROM resource o WHERE o.rid = d.practitioner),
           d.purpose, d.emergency_reason,
           CASE WHEN w.patient = 0 THEN
             (SELECT t.name FROM resource_type t WHERE t.code = d.type) || coalesce('/' || d.resource_id, '') END,
           (SELECT 'Patient/' || p.id FROM resource p WHERE p.rid = w.patient),
           w.entities, CASE WHEN w.patient = 0 THEN d.query END, d.request_id
    FROM whole w JOIN due d ON d.lane = w.lane AND d.seq = w.seq
    ON CONFLICT DO NOTHING;
  -- Who may read: privacy officers all of it (grantee -3), a survivor what is about them and not kept back.
  INSERT INTO consent_grant (patient, grantee, actions, purposes, valid_from, valid_to, forbidden, any_of, provision)
    SELECT c.patient, g.grantee, 1, -1, '-infinity', 'infinity', g.forbidden, 0, 'audit'
    FROM (SELECT DISTINCT e.patient FROM audit_entry e JOIN due d ON d.request_id = e.request_id) AS c(patient)
    CROSS JOIN LATERAL (VALUES (-3::bigint, 0::bigint), (-c.patient, {kept_back})) AS g(grantee, forbidden)
    WHERE (g.grantee <> 0) AND NOT EXISTS (SELECT FROM consent_grant x WHERE x.patient = c.patient AND x.grantee = g.grantee);
  INSERT INTO audit_indexed AS i SELECT d.lane, max(d.seq) FROM due d GROUP BY d.lane
    ON CONFLICT (lane) DO UPDATE SET seq = excluded.seq;
  SELECT count(*) INTO filed FROM due;
  DROP TABLE due;
  RETURN filed;
END $$;
