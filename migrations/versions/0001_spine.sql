-- The tables of the spine (docs/decisions/0001-the-spine.md). Frozen: change by a new migration.
CREATE SCHEMA tl;

CREATE SEQUENCE tl.rid AS bigint;

CREATE TABLE tl.resource_type (
  code smallint PRIMARY KEY,
  name text NOT NULL UNIQUE
);

CREATE TABLE tl.resource (
  rid bigint PRIMARY KEY,
  type smallint NOT NULL,
  id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  last_updated timestamptz NOT NULL,
  deleted boolean NOT NULL,
  open boolean NOT NULL,
  patient bigint,
  co_subjects bigint[],
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  codes bigint[] NOT NULL,
  content bytea NOT NULL,
  CONSTRAINT resource_type_id UNIQUE (type, id)
);
CREATE INDEX resource_patient ON tl.resource (patient, type);
-- The pages of a type's history, present and superseded versions.
CREATE INDEX resource_updated ON tl.resource (type, last_updated DESC, rid DESC);

CREATE TABLE tl.resource_history (
  rid bigint NOT NULL,
  type smallint NOT NULL,
  version integer NOT NULL,
  last_updated timestamptz NOT NULL,
  deleted boolean NOT NULL,
  open boolean NOT NULL,
  patient bigint,
  co_subjects bigint[],
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  -- What the version itself carried, because consent judges it by that and by what stands now.
  codes bigint[] NOT NULL,
  refs bigint[] NOT NULL,
  authors bigint[] NOT NULL,
  content bytea NOT NULL,
  CONSTRAINT resource_history_pkey PRIMARY KEY (rid, version)
);
CREATE INDEX resource_history_updated
  ON tl.resource_history (type, last_updated DESC, rid DESC, version DESC);

-- Every local reference. parameter 0: any depth; otherwise the hash of (type, search parameter).
CREATE TABLE tl.link (
  source bigint NOT NULL,
  target bigint NOT NULL,
  parameter bigint NOT NULL,
  climbs boolean NOT NULL,
  author boolean NOT NULL
);
CREATE INDEX link_source ON tl.link (source, parameter, target);
CREATE INDEX link_target ON tl.link (target, parameter, source);

-- Search rows. item 0: the resource; from 1: the elements that composite parameters look at.
CREATE TABLE tl.index_token (
  hash bigint NOT NULL,
  last_updated timestamptz NOT NULL,
  rid bigint NOT NULL,
  patient bigint,
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  type smallint NOT NULL,
  item smallint NOT NULL DEFAULT 0,
  open boolean NOT NULL,
  co_subjects bigint[]
);
CREATE INDEX index_token_page ON tl.index_token (hash, last_updated DESC, rid DESC)
  INCLUDE (patient, custodian, labels, clinical_from, clinical_to, type, open, co_subjects);
CREATE INDEX index_token_rid ON tl.index_token (rid, hash);

CREATE TABLE tl.index_date (
  hash bigint NOT NULL,
  low timestamptz NOT NULL,
  high timestamptz NOT NULL,
  last_updated timestamptz NOT NULL,
  rid bigint NOT NULL,
  patient bigint,
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  type smallint NOT NULL,
  item smallint NOT NULL DEFAULT 0,
  open boolean NOT NULL,
  co_subjects bigint[]
);
CREATE INDEX index_date_low ON tl.index_date (hash, low, rid);
CREATE INDEX index_date_high ON tl.index_date (hash, high, rid);
CREATE INDEX index_date_rid ON tl.index_date (rid, hash);

CREATE TABLE tl.index_string (
  hash bigint NOT NULL,
  normalized text COLLATE "C" NOT NULL,
  exact text COLLATE "C" NOT NULL,
  last_updated timestamptz NOT NULL,
  rid bigint NOT NULL,
  patient bigint,
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  type smallint NOT NULL,
  item smallint NOT NULL DEFAULT 0,
  open boolean NOT NULL,
  co_subjects bigint[]
);
CREATE INDEX index_string_normalized ON tl.index_string (hash, normalized, rid);
CREATE INDEX index_string_rid ON tl.index_string (rid, hash);

-- Closed ranges; double precision, because comparing numeric is not leakproof under a policy.
CREATE TABLE tl.index_number (
  hash bigint NOT NULL,
  low double precision NOT NULL,
  high double precision NOT NULL,
  last_updated timestamptz NOT NULL,
  rid bigint NOT NULL,
  patient bigint,
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  type smallint NOT NULL,
  item smallint NOT NULL DEFAULT 0,
  open boolean NOT NULL,
  co_subjects bigint[]
);
CREATE INDEX index_number_low ON tl.index_number (hash, low, rid);
CREATE INDEX index_number_high ON tl.index_number (hash, high, rid);
CREATE INDEX index_number_rid ON tl.index_number (rid, hash);

-- Words, one row a resource. No GIN: its operators are not leakproof, so a policy would never let it be used.
CREATE TABLE tl.index_text (
  rid bigint PRIMARY KEY,
  narrative tsvector NOT NULL,
  content tsvector NOT NULL,
  last_updated timestamptz NOT NULL,
  patient bigint,
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz,
  clinical_to timestamptz,
  type smallint NOT NULL,
  open boolean NOT NULL,
  co_subjects bigint[]
);

-- What may be seen (app/consent/model.py). Grantee 0: anyone, -1: emergency, -2: the row's custodian.
CREATE TABLE tl.consent_grant (
  patient bigint NOT NULL,
  grantee bigint NOT NULL,
  actions smallint NOT NULL,
  purposes bigint NOT NULL,
  valid_from timestamptz NOT NULL,
  valid_to timestamptz NOT NULL,
  forbidden bigint NOT NULL,
  any_of bigint NOT NULL,
  custodian bigint,
  excluded bigint[],
  types smallint[],
  not_types smallint[],
  data_from timestamptz,
  data_to timestamptz,
  residual jsonb,
  consent bigint,
  provision text NOT NULL,
  -- What is not permitted: the complement of purposes, and of actions from bit 60 on.
  withheld bigint NOT NULL GENERATED ALWAYS AS (
    ~((purposes & 1152921504606846975) | (actions::bigint << 60))
  ) STORED,
  -- Nothing but columns that the predicate asks of every grant (app/storage/predicate.py).
  plain boolean NOT NULL GENERATED ALWAYS AS (
    any_of = 0 AND types IS NULL AND not_types IS NULL AND data_from IS NULL AND residual IS NULL
    AND (custodian IS NULL OR custodian = -2)
  ) STORED
);
CREATE INDEX consent_grant_patient ON tl.consent_grant (patient, grantee);

-- Consents that a privacy officer recorded: they release the whole record, and where they name no patient
-- they are policies that hold for every survivor.
CREATE TABLE tl.consent_authority (
  consent bigint PRIMARY KEY,
  officer boolean NOT NULL
);

-- Patients who are one person ($link): one is the lower rid. Their Consents are compiled together.
CREATE TABLE tl.same_person (
  one bigint NOT NULL,
  other bigint NOT NULL,
  CONSTRAINT same_person_pkey PRIMARY KEY (one, other),
  CONSTRAINT same_person_order CHECK (one < other)
);
CREATE INDEX same_person_other ON tl.same_person (other);

-- Who belongs to whom: PractitionerRole, Group, CareTeam members and Organization.partOf.
-- widens: 'permit' counts for permits and denies, 'deny' (partOf) for denies only.
CREATE TABLE tl.membership (
  source bigint NOT NULL,
  member bigint NOT NULL,
  belongs_to bigint NOT NULL,
  within bigint,
  deny_only boolean NOT NULL,
  valid_from timestamptz NOT NULL,
  valid_to timestamptz NOT NULL
);
CREATE INDEX membership_member ON tl.membership (member);
CREATE INDEX membership_source ON tl.membership (source);

-- Bumped when membership changes, so that no cached identity closure outlives it; next_change is when a
-- period of a membership begins or ends next, from which moment no closure of this epoch holds any more.
CREATE TABLE tl.directory_epoch (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  epoch bigint NOT NULL,
  next_change timestamptz NOT NULL DEFAULT 'infinity'
);
INSERT INTO tl.directory_epoch (epoch) VALUES (1);

-- Administration: no survivor's data below this line.
CREATE TABLE tl.client (
  client_id text PRIMARY KEY,
  organization bigint NOT NULL,
  practitioner bigint,
  patient bigint,
  scope text NOT NULL,
  purposes text[] NOT NULL,
  emergency boolean NOT NULL,
  privacy_officer boolean NOT NULL,
  jwks jsonb,
  jwks_url text,
  secret_hash text,
  revoked_at timestamptz,
  -- Tokens issued up to here are void: set by a revocation, and by a changed registration.
  tokens_void_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Single tokens revoked before they expire (RFC 7009).
CREATE TABLE tl.revoked_token (
  jti text PRIMARY KEY,
  client_id text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX revoked_token_expires ON tl.revoked_token (expires_at);

CREATE TABLE tl.signing_key (
  kid text PRIMARY KEY,
  private_pem text NOT NULL,
  public_jwk jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Published, and good for verifying, until then.
  retired_at timestamptz
);

CREATE TABLE tl.server_secret (
  name text PRIMARY KEY,
  value bytea NOT NULL
);

-- Cursors too long for a URL: sealed by the service's key, unreadable here.
CREATE TABLE tl.kept_cursor (
  name text PRIMARY KEY,
  sealed bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX kept_cursor_expires ON tl.kept_cursor (expires_at);

CREATE TABLE tl.used_assertion (
  client_id text NOT NULL,
  jti text NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT used_assertion_pkey PRIMARY KEY (client_id, jti)
);
CREATE INDEX used_assertion_expires ON tl.used_assertion (expires_at);

CREATE TABLE tl.routine (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  digest text NOT NULL
);

-- One row an access, refusal, token or administrative act. The service may only append.
-- A partition a month (tl.audit_partition makes them); lane, seq and hash: app/storage/audit_chain.py.
CREATE TABLE tl.audit_event (
  lane smallint NOT NULL,
  seq bigint NOT NULL,
  hash bytea NOT NULL,
  recorded timestamptz NOT NULL,
  action "char" NOT NULL,
  interaction text NOT NULL,
  outcome smallint NOT NULL,
  client_id text,
  organization bigint,
  practitioner bigint,
  purpose text,
  emergency_reason text,
  type smallint,
  resource_id text,
  rids bigint[],
  query text,
  request_id uuid NOT NULL
) PARTITION BY RANGE (recorded);
CREATE INDEX audit_event_chain ON tl.audit_event (lane, seq);

-- The audit as it may be read: an entry for each event and data subject, filed by tl.index_audit when somebody
-- asks, so that serving never waits for it. It carries the consent columns and is policed by the predicate as
-- any record is; its patient is a compartment of its own: minus the survivor's rid, or 0 for the service's own
-- acts, in which only the grants that tl.index_audit makes exist.
CREATE TABLE tl.audit_entry (
  id uuid PRIMARY KEY,
  rid bigint NOT NULL,
  type smallint NOT NULL,
  open boolean NOT NULL,
  patient bigint NOT NULL,
  co_subjects bigint[],
  custodian bigint NOT NULL,
  labels bigint NOT NULL,
  clinical_from timestamptz NOT NULL,
  clinical_to timestamptz NOT NULL,
  action "char" NOT NULL,
  interaction text NOT NULL,
  outcome smallint NOT NULL,
  client_id text,
  organization text,
  practitioner text,
  purpose text,
  emergency_reason text,
  about text,
  survivor text,
  entities text[] NOT NULL,
  query text,
  request_id uuid NOT NULL
);
CREATE INDEX audit_entry_patient ON tl.audit_entry (patient, clinical_from DESC, id DESC);
CREATE INDEX audit_entry_recorded ON tl.audit_entry (clinical_from DESC, id DESC);

-- How far each lane of the audit is filed.
CREATE TABLE tl.audit_indexed (
  lane smallint PRIMARY KEY,
  seq bigint NOT NULL
);
