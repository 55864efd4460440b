"""Tokens that an outside provider issues to people: which are taken, and what they open."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from jose import jwt

from app.storage.clients import revoke_client
from tests.conftest import Cluster, Database
from tests.security.conftest import KeyPair, add_client, within_a_second
from tests.security.signing_in import (
    AUDIENCE,
    HARBOR,
    ISSUER,
    LEGAL,
    RIVER,
    SigningIn,
    open_signing_in,
)
from tests.spine.conftest import ACT_CODE, actor, consent


@pytest.fixture(scope="module")
async def signing_in(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SigningIn]:
    name = f"tl_people_{cluster.worker}"
    cluster.create(name, template_database)
    made = cluster.database(name)
    async with open_signing_in(
        made,
        tmp_path_factory.mktemp("state"),
        privacy_officer_role="privacy",
        emergency_role="night",
        claims={"roles": "realm_access.roles"},
    ) as opened:
        yield opened
    cluster.drop(name)


@pytest.fixture
async def alone(
    database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SigningIn]:
    """A world of its own, for what changes the provider or the registrations."""
    async with open_signing_in(database(), tmp_path_factory.mktemp("state")) as opened:
        yield opened


async def test_staff_read_what_their_agency_may_read(signing_in: SigningIn) -> None:
    token = signing_in.staff()
    assert (await signing_in.get(token, f"/Observation/{signing_in.pressure}")).status_code == 200
    found = await signing_in.get(token, "/Patient?_total=accurate")
    assert found.json()["total"] == 2


async def test_a_survivor_reads_the_own_record_but_for_what_is_kept_from_its_subject(
    signing_in: SigningIn,
) -> None:
    token = signing_in.survivor()
    assert (await signing_in.get(token, f"/Observation/{signing_in.pressure}")).status_code == 200
    assert (await signing_in.get(token, f"/Observation/{signing_in.hidden}")).status_code == 404
    found = await signing_in.get(token, "/Patient?_total=accurate")
    assert [e["resource"]["id"] for e in found.json()["entry"]] == [signing_in.ana]
    assert found.json()["total"] == 1


async def test_the_own_app_does_not_show_what_another_survivor_permitted_to_its_person(
    alone: SigningIn,
) -> None:
    ana = {"reference": f"Patient/{alone.ana}"}
    given = consent(alone.bo, type="permit", actor=[{"role": {"text": "friend"}, "reference": ana}])
    assert (await alone.world[RIVER].post("/Consent", given)).status_code == 201
    await _own_client(alone, "ana-elsewhere", "system/*.rs")
    whole = (await alone.world.token("ana-elsewhere")).json()["access_token"]
    assert (await alone.get(whole, f"/Patient/{alone.bo}")).status_code == 200
    # A patient/ scope is about one person: SMART's promise to whoever agrees to it.
    await _own_client(alone, "ana-on-paper", "patient/*.rs")
    ours = (await alone.world.token("ana-on-paper")).json()["access_token"]
    for token in (ours, alone.survivor(), alone.survivor(scope="patient/Patient.rs")):
        assert (await alone.get(token, f"/Patient/{alone.bo}")).status_code == 404
        assert (await alone.get(token, "/Patient?_total=accurate")).json()["total"] == 1
        for kind in ("batch", "transaction"):
            entry = {"request": {"method": "GET", "url": "Patient?_total=accurate"}}
            answer = await alone.world.http.post(
                "/fhir",
                json={"resourceType": "Bundle", "type": kind, "entry": [entry]},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.json()["entry"][0]["resource"]["total"] == 1, kind
        assert (await alone.get(token, f"/Patient/{alone.ana}")).status_code == 200


async def _own_client(world: SigningIn, name: str, scope: str) -> None:
    """A client of Ana's with a secret of ours."""
    secret = await add_client(
        world.world,
        name,
        patient=await _rid(world, world.ana),
        scope=scope,
        purposes_of_use=("PATRQT",),
    )
    world.world.secrets[name] = secret or ""


async def _rid(world: SigningIn, id_: str) -> int:
    from app.fhir_mappings import registry
    from app.storage.clients import identity_rid

    pool = world.world.service.database.pool
    return await identity_rid(pool, registry.type_code("Patient"), id_) or 0


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(world: SigningIn, algorithm: str) -> str:
    head = {"alg": algorithm, "typ": "at+jwt", "kid": world.provider.key.kid}
    body = jwt.get_unverified_claims(world.staff())
    return f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(body).encode())}."


def _confused(world: SigningIn, algorithm: str, digest: str) -> str:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    text = _unsigned(world, algorithm).rstrip(".")
    public = load_pem_private_key(world.provider.key.pem.encode(), None).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{text}.{_b64(hmac.new(pem, text.encode(), getattr(hashlib, digest)).digest())}"


def _foreign(world: SigningIn, **headers: Any) -> str:
    pair = KeyPair("RS256")
    body = jwt.get_unverified_claims(world.staff())
    head = {"kid": world.provider.key.kid, "typ": "at+jwt"} | headers
    signed: str = jwt.encode(body, pair.pem, algorithm="RS256", headers=head)
    return signed


def _other_algorithm(world: SigningIn) -> str:
    """Signed by the provider's own key, with an algorithm that its settings do not name."""
    body = jwt.get_unverified_claims(world.staff())
    head = {"kid": world.provider.key.kid}
    signed: str = jwt.encode(body, world.provider.key.pem, algorithm="RS512", headers=head)
    return signed


NOW = int(time.time())
REFUSED: dict[str, Callable[[SigningIn], str]] = {
    "algorithm none": lambda w: _unsigned(w, "none"),
    "no signature": lambda w: _unsigned(w, "RS256"),
    "HS256 by the public key": lambda w: _confused(w, "HS256", "sha256"),
    "HS384 by the public key": lambda w: _confused(w, "HS384", "sha384"),
    "an algorithm that was not agreed": _other_algorithm,
    "another key under the provider's kid": _foreign,
    "a key of its own in the header": lambda w: _foreign(w, jwk=KeyPair("RS256").public),
    "an address of keys in the header": lambda w: _foreign(w, jku="https://evil.example/jwks"),
    "a kid that is an address": lambda w: _foreign(w, kid="https://evil.example/key"),
    "a kid that is a path": lambda w: _foreign(w, kid="../../dev/null"),
    "a kid that is a number": lambda w: w.staff(headers={"kid": 7}),
    "no kid": lambda w: w.staff(headers={"kid": None}),
    "an extension that must be understood": lambda w: w.staff(headers={"crit": ["b64"]}),
    "a logout token": lambda w: w.staff(headers={"typ": "logout+jwt"}),
    "an ID token for this audience": lambda w: w.staff(nonce="n"),
    "a refresh token of Keycloak": lambda w: w.staff(typ="Refresh"),
    "wrong issuer": lambda w: w.staff(iss="https://elsewhere.example"),
    "an issuer with a slash more": lambda w: w.staff(iss=f"{ISSUER}/"),
    "our own name as issuer": lambda w: w.staff(iss="http://127.0.0.1:8000"),
    "no issuer": lambda w: w.staff(iss=None),
    "wrong audience": lambda w: w.staff(aud="https://elsewhere.example"),
    "an ID token's audience": lambda w: w.staff(aud="river-ehr"),
    "no audience": lambda w: w.staff(aud=None),
    "no subject": lambda w: w.staff(sub=None),
    "expired": lambda w: w.staff(iat=NOW - 700, exp=NOW - 1),
    "no expiry": lambda w: w.staff(exp=None),
    "an expiry that is no number": lambda w: w.staff(exp="never"),
    "an expiry that is true": lambda w: w.staff(exp=True),
    "not yet valid": lambda w: w.staff(nbf=int(time.time()) + 60),
    "issued in the future": lambda w: w.staff(
        iat=int(time.time()) + 600, exp=int(time.time()) + 900
    ),
    "no time of issue": lambda w: w.staff(iat=None),
    "a life of a month": lambda w: w.staff(exp=int(time.time()) + 30 * 86_400),
    "an app that is not registered": lambda w: w.staff(azp="unknown-app"),
    "a client with a secret of ours": lambda w: w.staff(azp=RIVER),
    "no app": lambda w: w.staff(azp=None),
    "an app that is a list": lambda w: w.staff(azp=["river-ehr"]),
    "nobody": lambda w: w.staff(fhirUser=None),
    "somebody who is no text": lambda w: w.staff(fhirUser={"reference": "Practitioner/x"}),
    "a practitioner who is not here": lambda w: w.staff(fhirUser="Practitioner/nobody"),
    "a practitioner of another server": lambda w: w.staff(
        fhirUser=f"https://elsewhere.example/fhir/{w.provider.people['noor']['fhirUser']}"
    ),
    "a practitioner of an agency that the provider does not speak for": lambda w: w.staff(
        **w.provider.people["kim"]
    ),
    "an organization that the provider does not speak for": lambda w: w.staff(organization=HARBOR),
    "an organization that is not here": lambda w: w.staff(organization="nowhere"),
    "a survivor in the application of staff": lambda w: w.staff(fhirUser=f"Patient/{w.ana}"),
    "staff in a survivor's app": lambda w: w.survivor(**w.provider.people["noor"]),
    "two survivors": lambda w: w.survivor(patient=w.bo),
    "a survivor who is not here": lambda w: w.survivor(fhirUser="Patient/nobody", patient=None),
    "a purpose that the app is not registered for": lambda w: w.staff(purpose_of_use="HRESCH"),
    "an unknown purpose": lambda w: w.staff(purpose_of_use="SNOOPING"),
    "an emergency without a reason": lambda w: w.staff(
        purpose_of_use="ETREAT", realm_access={"roles": ["night"]}
    ),
    "an emergency without the role": lambda w: w.staff(
        purpose_of_use="ETREAT", emergency_reason="found unconscious"
    ),
    "an emergency of an hour": lambda w: w.staff(
        purpose_of_use="ETREAT",
        emergency_reason="found unconscious",
        realm_access={"roles": ["night"]},
        exp=int(time.time()) + 3000,
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_token_of_a_provider_that_is_not_good_is_refused(
    signing_in: SigningIn, kind: str
) -> None:
    token = REFUSED[kind](signing_in)
    answer = await signing_in.get(token, f"/Patient/{signing_in.ana}")
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer realm="throughline"')
    assert answer.json()["issue"][0]["code"] == "login"
    assert token not in answer.text
    assert not any("evil" in visit for visit in signing_in.provider.visits)


async def test_what_refuses_those_tokens_is_nothing_but_their_fault(signing_in: SigningIn) -> None:
    good = [
        signing_in.staff(headers={"typ": "JWT"}),
        signing_in.staff(headers={"typ": None}),
        signing_in.staff(aud=["https://other.example", AUDIENCE]),
        signing_in.staff(nbf=int(time.time()) - 1),
        signing_in.staff(azp=None, client_id="river-ehr"),
        signing_in.staff(organization=f"Organization/{RIVER}"),
        signing_in.staff(purpose_of_use="CAREMGT"),
        signing_in.staff(scope=None, scp=["user/*.rs"]),
        signing_in.survivor(patient=None),
        signing_in.survivor(fhirUser=None),
    ]
    for token in good:
        answer = await signing_in.get(token, f"/Patient/{signing_in.ana}")
        assert answer.status_code == 200, jwt.get_unverified_claims(token)


@pytest.mark.parametrize(
    ("granted", "path", "status"),
    [
        ("user/*.rs", "/Observation", 200),
        ("user/Observation.rs?category=laboratory", "/Observation", 200),
        ("user/Observation.rs", "/Patient", 403),
        ("openid fhirUser", "/Patient", 403),
        # Of another level: what a provider grants to servers, or about a survivor, is no grant to staff.
        ("system/*.cruds", "/Patient", 403),
        ("patient/*.rs", "/Patient", 403),
    ],
)
async def test_a_token_of_staff_opens_what_its_user_scopes_say(
    signing_in: SigningIn, granted: str, path: str, status: int
) -> None:
    token = signing_in.staff(scope=granted)
    assert (await signing_in.get(token, path)).status_code == status


async def test_no_token_opens_more_than_its_app_is_registered_for(signing_in: SigningIn) -> None:
    token = signing_in.survivor(scope="patient/*.cruds user/*.cruds system/*.cruds")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"resourceType": "Patient", "name": [{"family": "Newcomer"}]}
    answer = await signing_in.world.http.post("/fhir/Patient", json=body, headers=headers)
    assert answer.status_code == 403
    assert (await signing_in.get(token, "/Patient?_total=accurate")).json()["total"] == 1


async def test_a_provider_without_the_right_to_name_survivors_opens_no_record(
    database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_signing_in(
        database(), tmp_path_factory.mktemp("state"), survivors=False
    ) as opened:
        assert (await opened.get(opened.survivor(), "/Patient")).status_code == 401
        assert (await opened.get(opened.staff(), "/Patient")).status_code == 200


async def test_a_provider_of_several_agencies_speaks_for_those_that_its_settings_name(
    database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_signing_in(
        database(), tmp_path_factory.mktemp("state"), organizations=(HARBOR,)
    ) as opened:
        kim = opened.provider.people["kim"]
        there = opened.staff(organization=HARBOR, **kim)
        found = await opened.get(there, "/Patient?_total=accurate")
        assert (found.status_code, found.json()["total"]) == (200, 0)
        assert (await opened.get(opened.staff(organization=LEGAL), "/Patient")).status_code == 401
        given = consent(opened.ana, type="permit", actor=actor(HARBOR))
        await opened.world[RIVER].post("/Consent", given)
        assert (await opened.get(there, f"/Patient/{opened.ana}")).status_code == 200
        assert (await opened.get(there, f"/Patient/{opened.bo}")).status_code == 404


async def test_a_consent_that_names_a_clinician_binds_whoever_signs_in_as_that_one(
    alone: SigningIn,
) -> None:
    noor = alone.provider.people["noor"]["fhirUser"]
    shut = consent(
        alone.ana, type="deny", actor=[{"role": {"text": "x"}, "reference": {"reference": noor}}]
    )
    assert (await alone.world[RIVER].post("/Consent", shut)).status_code == 201
    assert (await alone.get(alone.staff(), f"/Patient/{alone.ana}")).status_code == 404
    assert (await alone.get(alone.staff(), f"/Patient/{alone.bo}")).status_code == 200


async def test_roles_of_the_provider_give_powers_that_the_app_is_registered_for(
    signing_in: SigningIn,
) -> None:
    assert (await signing_in.get(signing_in.staff(), "/AuditEvent")).json().get("entry", []) == []
    officer = signing_in.staff(realm_access={"roles": ["privacy"]})
    assert (await signing_in.get(officer, "/AuditEvent")).json()["entry"]
    survivor = signing_in.survivor(realm_access={"roles": ["privacy"]})
    told = (await signing_in.get(survivor, "/AuditEvent")).json().get("entry", [])
    assert all(signing_in.bo not in json.dumps(entry) for entry in told)


async def test_an_emergency_of_a_person_is_told_to_the_custodian(
    database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_signing_in(
        database(), tmp_path_factory.mktemp("state"), organizations=(HARBOR,)
    ) as opened:
        urgent = opened.staff(
            organization=HARBOR,
            purpose_of_use="ETREAT",
            emergency_reason="found unconscious",
            **opened.provider.people["kim"],
        )
        path = f"/Observation/{opened.pressure}"
        assert (await opened.get(urgent, path)).status_code == 200
        plain = opened.staff(organization=HARBOR, **opened.provider.people["kim"])
        assert (await opened.get(plain, path)).status_code == 404
        told = await opened.world[RIVER].get("/Communication")
        text = told.json()["entry"][0]["resource"]["payload"][0]["contentString"]
        assert "found unconscious" in text


async def test_who_signed_in_stands_in_the_audit(alone: SigningIn) -> None:
    assert (await alone.get(alone.staff(), f"/Patient/{alone.ana}")).status_code == 200
    found = await alone.get(alone.survivor(), f"/AuditEvent?entity=Patient/{alone.ana}")
    agents = json.dumps([entry["resource"]["agent"] for entry in found.json()["entry"]])
    assert alone.provider.people["noor"]["fhirUser"] in agents
    assert "river-ehr" in agents


async def test_a_revoked_token_of_a_person_dies_here_and_at_its_provider(alone: SigningIn) -> None:
    token, other = alone.survivor(), alone.survivor()
    assert (await alone.get(token, "/Patient")).status_code == 200
    form = {"token": token, "client_id": "ana-app"}
    wrong = await alone.world.http.post("/oauth/revoke", data=form | {"client_id": "river-ehr"})
    assert wrong.json()["error"] == "invalid_grant"
    assert (await alone.get(token, "/Patient")).status_code == 200
    answer = await alone.world.http.post("/oauth/revoke", data=form)
    assert answer.status_code == 200, answer.text
    assert (await alone.get(token, "/Patient")).status_code == 401
    assert (await alone.get(other, "/Patient")).status_code == 200
    assert alone.provider.revoked == [token]


async def test_every_token_of_an_app_dies_with_its_registration(alone: SigningIn) -> None:
    tokens = alone.survivor(), alone.survivor()
    assert (await alone.get(tokens[0], "/Patient")).status_code == 200
    await revoke_client(alone.world.service.database.pool, "ana-app")

    async def dead() -> bool:
        return (await alone.get(tokens[0], "/Patient")).status_code == 401

    await within_a_second(dead)
    assert (await alone.get(tokens[1], "/Patient")).status_code == 401


async def test_keys_and_configuration_are_fetched_once_and_again_for_a_new_key(
    alone: SigningIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in (alone.staff(), alone.staff(), alone.survivor()):
        assert (await alone.get(token, "/Patient")).status_code == 200
    assert alone.provider.visits == ["/.well-known/openid-configuration", "/jwks"]
    monkeypatch.setattr("app.security.keysets._AGAIN_SECONDS", 0.0)
    alone.provider.key = KeyPair("ES256")
    assert (await alone.get(alone.staff(), "/Patient")).status_code == 200
    assert alone.provider.visits[2:] == ["/jwks"]


async def test_a_provider_that_is_away_is_waited_for_and_what_is_known_goes_on(
    alone: SigningIn,
) -> None:
    alone.provider.away = True
    answer = await alone.get(alone.staff(), "/Patient")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    # Agencies do not depend on it.
    assert (await alone.world[RIVER].get("/Patient")).status_code == 200


async def test_while_a_provider_is_away_its_known_keys_hold(alone: SigningIn) -> None:
    assert (await alone.get(alone.staff(), "/Patient")).status_code == 200
    alone.provider.away = True
    assert (await alone.get(alone.staff(jti=uuid4().hex), "/Patient")).status_code == 200


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://elsewhere.example"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
async def test_a_configuration_that_is_another_issuers_or_leads_astray_is_not_used(
    alone: SigningIn, told: dict[str, Any]
) -> None:
    alone.provider.configuration = told
    assert (await alone.get(alone.staff(), "/Patient")).status_code == 503
    assert alone.provider.visits == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("curve", ["ES256", "ES384"])
async def test_a_key_is_used_for_its_own_algorithm_only(alone: SigningIn, curve: str) -> None:
    pair = KeyPair(curve)
    alone.provider.key = pair
    alone.provider.published = [pair.public | {"alg": "ES384" if curve == "ES256" else "ES256"}]
    assert (await alone.get(alone.staff(), "/Patient")).status_code == 401


async def test_labelled_and_hidden_alike_are_missing_to_the_own_app(signing_in: SigningIn) -> None:
    token = signing_in.survivor()
    hidden = await signing_in.get(token, f"/Observation/{signing_in.hidden}")
    missing = await signing_in.get(token, f"/Observation/{uuid4()}")
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert ACT_CODE not in hidden.text
