-- Functions behind the questions about consent itself (app/interactions/access): who may ask is judged here too.
-- «as_officer» is what the token says; the registration of the caller's organization must say so as well.

CREATE OR REPLACE FUNCTION tl.is_officer(as_officer boolean) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT as_officer AND EXISTS (
    SELECT FROM client c WHERE c.privacy_officer AND c.revoked_at IS NULL
      AND c.organization = NULLIF(current_setting('tl.organization', true), '')::bigint)
$$;

CREATE OR REPLACE FUNCTION tl.caller_closure() RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT coalesce(NULLIF(current_setting('tl.closure', true), '')::bigint[], '{}')
$$;

CREATE OR REPLACE FUNCTION tl.caller_organization() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT NULLIF(current_setting('tl.organization', true), '')::bigint
$$;

-- One resource, for its custodian, its data subject's own app and a privacy officer; nothing for anybody else.
CREATE OR REPLACE FUNCTION tl.review_target(wanted_type smallint, wanted_id text, as_officer boolean)
RETURNS TABLE (rid bigint, patient bigint, co_subjects bigint[], custodian bigint, labels bigint,
               clinical_from timestamptz, clinical_to timestamptz, codes bigint[], content bytea,
               refs bigint[], referenced_by bigint[], authors bigint[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT x.rid, x.patient, x.co_subjects, x.custodian, x.labels, x.clinical_from, x.clinical_to, x.codes, x.content,
         array(SELECT l.target FROM link l WHERE l.source = x.rid AND l.parameter = 0),
         array(SELECT l.source FROM link l WHERE l.target = x.rid AND l.parameter = 0),
         array(SELECT l.target FROM link l WHERE l.source = x.rid AND l.author)
  FROM resource x
  WHERE x.type = wanted_type AND x.id = wanted_id AND NOT x.deleted
    AND (is_officer(as_officer) OR ({readable} AND (x.custodian = caller_organization()
         OR caller_closure() && (x.patient || coalesce(x.co_subjects, '{}')))))
$$;

-- The Consents about a survivor as they stood at an instant, for whoever may review any of the record.
-- shown: whether the asker may see the Consent itself.
CREATE OR REPLACE FUNCTION tl.review_consents(survivor bigint, consent_type smallint, as_officer boolean, at timestamptz)
RETURNS TABLE (rid bigint, id text, recorder bigint, patient_custodian bigint, by_officer boolean,
               content bytea, refs jsonb, shown boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT x.rid, x.id, x.custodian, p.custodian, coalesce(a.officer, false), v.content,
    (SELECT coalesce(jsonb_object_agg(n.name || '/' || t.id, t.rid), '{}')
     FROM unnest(v.refs) AS k(target) JOIN resource t ON t.rid = k.target JOIN resource_type n ON n.code = t.type),
    is_officer(as_officer) OR coalesce({readable}, false)
  FROM resource x JOIN resource p ON p.rid = survivor
  LEFT JOIN consent_authority a ON a.consent = x.rid
  CROSS JOIN LATERAL (
    SELECT every.* FROM (
      SELECT x.version, x.last_updated, x.deleted, x.content,
             array(SELECT l.target FROM link l WHERE l.source = x.rid AND l.parameter = 0) AS refs
      UNION ALL
      SELECT h.version, h.last_updated, h.deleted, h.content, h.refs FROM resource_history h WHERE h.rid = x.rid
    ) AS every WHERE every.last_updated <= at ORDER BY every.version DESC LIMIT 1) AS v
  WHERE x.type = consent_type AND (x.patient = survivor OR x.co_subjects @> ARRAY[survivor]) AND NOT v.deleted
    AND (is_officer(as_officer) OR survivor = ANY (caller_closure())
         OR EXISTS (SELECT FROM resource r WHERE r.custodian = caller_organization()
                    AND (r.patient = survivor OR r.co_subjects @> ARRAY[survivor])))
  ORDER BY x.rid
$$;

-- Who saw what of a survivor's record since an instant: for the survivor's own app, and a privacy officer.
-- Resources that the asker may not see are left out, and accesses to nothing else with them.
CREATE OR REPLACE FUNCTION tl.disclosures(survivor bigint, since timestamptz, as_officer boolean)
RETURNS TABLE (recorded timestamptz, interaction text, client_id text, organization bigint, practitioner bigint,
               purpose text, emergency_reason text, request_id uuid, rids bigint[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  WITH about AS (
    SELECT x.rid FROM resource x
    WHERE (x.patient = survivor OR x.co_subjects @> ARRAY[survivor])
      AND (is_officer(as_officer) OR (survivor = ANY (caller_closure()) AND {readable}))
  )
  SELECT e.recorded, e.interaction, e.client_id, e.organization, e.practitioner, e.purpose, e.emergency_reason,
         e.request_id, array_agg(a.rid ORDER BY a.rid)
  FROM audit_event e CROSS JOIN LATERAL unnest(e.rids) AS seen(rid) JOIN about a ON a.rid = seen.rid
  WHERE e.recorded >= since AND e.outcome = 0 AND e.action IN ('R', 'E')
  GROUP BY e.recorded, e.lane, e.seq, e.interaction, e.client_id, e.organization, e.practitioner, e.purpose,
           e.emergency_reason, e.request_id
  ORDER BY e.recorded DESC, e.lane, e.seq
$$;

-- Facts and names of resources for such a report: type, id, and what a decision asks of them.
CREATE OR REPLACE FUNCTION tl.review_facts(wanted bigint[], as_officer boolean)
RETURNS TABLE (rid bigint, type smallint, id text, patient bigint, co_subjects bigint[], custodian bigint,
               labels bigint, clinical_from timestamptz, clinical_to timestamptz, codes bigint[],
               refs bigint[], referenced_by bigint[], authors bigint[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT x.rid, x.type, x.id, x.patient, x.co_subjects, x.custodian, x.labels, x.clinical_from, x.clinical_to, x.codes,
         array(SELECT l.target FROM link l WHERE l.source = x.rid AND l.parameter = 0),
         array(SELECT l.source FROM link l WHERE l.target = x.rid AND l.parameter = 0),
         array(SELECT l.target FROM link l WHERE l.source = x.rid AND l.author)
  FROM resource x WHERE x.rid = ANY (wanted) AND (is_officer(as_officer) OR {readable})
$$;

-- When any Consent that mentions a survivor was written: between two moments the same Consents stood.
CREATE OR REPLACE FUNCTION tl.consent_moments(survivor bigint, as_officer boolean) RETURNS SETOF timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tl, pg_temp AS $$
  SELECT DISTINCT v.last_updated FROM resource x JOIN resource_type n ON n.code = x.type AND n.name = 'Consent'
  CROSS JOIN LATERAL (SELECT x.last_updated UNION ALL
    SELECT h.last_updated FROM resource_history h WHERE h.rid = x.rid) AS v
  WHERE (x.patient = survivor OR x.co_subjects @> ARRAY[survivor])
    AND (is_officer(as_officer) OR survivor = ANY (caller_closure())) ORDER BY 1
$$;
