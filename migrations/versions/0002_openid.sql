-- An app whose tokens an OpenID provider issues to people: it has neither secret nor keys here.
ALTER TABLE tl.client ADD COLUMN openid_issuer text;
