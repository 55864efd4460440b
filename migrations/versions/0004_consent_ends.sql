-- When a survivor's permits end, in order to tell whoever waits then (app/care/referrals/expiry.py).
-- ends: the instant; due: when to look, later where looking failed; taken_up: whether somebody has.
CREATE TABLE tl.consent_end (
  patient bigint NOT NULL,
  ends timestamptz NOT NULL,
  due timestamptz NOT NULL,
  taken_up boolean NOT NULL DEFAULT false,
  CONSTRAINT consent_end_pkey PRIMARY KEY (patient, ends)
);
CREATE INDEX consent_end_due ON tl.consent_end (due) WHERE NOT taken_up;

INSERT INTO tl.consent_end (patient, ends, due)
  SELECT DISTINCT patient, valid_to, valid_to FROM tl.consent_grant
  WHERE consent IS NOT NULL AND valid_to < 'infinity' AND valid_to > '-infinity';
