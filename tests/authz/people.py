"""People of the matrix: staff and survivors who sign in at an OpenID provider, with tokens of its making.

Each goes as far as the Consents let them and as the app is registered: staff with `user/` scopes in an app of
their agency, survivors with `patient/` scopes in an app of their own, by SMART App Launch.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from tests.security.conftest import add_client
from tests.security.provider import App, Provider
from tests.spine.conftest import AGENCIES, World

_, HARBOR, _, LEGAL = AGENCIES
ISSUER: Final = "https://login.example/realms/care"
AUDIENCE: Final = "http://127.0.0.1:8000/fhir"
_CALLBACK: Final = "https://app.example/callback"
_VERIFIER: Final = "a-verifier-of-the-right-length-0123456789-abcdef"


async def sign_in(
    world: World, provider: Provider, patients: dict[str, str]
) -> dict[str, dict[str, str]]:
    """The headers of each actor who signs in. patients: ids of the survivors by relation."""
    entry = {"resourceType": "Practitioner", "name": [{"family": "Clinician"}]}
    id_ = (await world[HARBOR].post("/Practitioner", entry)).json()["id"]
    provider.people["clinician"] = {"fhirUser": f"Practitioner/{id_}"}
    await add_client(
        world,
        "harbor-ehr",
        openid_issuer=ISSUER,
        organization=world.organizations[HARBOR],
        scope="user/*.cruds",
    )
    await add_client(
        world,
        "my-record",
        openid_issuer=ISSUER,
        organization=world.organizations[LEGAL],
        scope="patient/*.cruds",
        purposes_of_use=("PATRQT",),
    )
    provider.apps["my-record"] = App(_CALLBACK)
    provider.people["survivor"] = {"fhirUser": f"Patient/{patients['shared']}"}
    return {
        "clinician": _bearer(provider.token("clinician", "harbor-ehr", "openid user/*.cruds")),
        "survivor": _bearer(await _launched(world, provider, "survivor")),
    }


async def _launched(world: World, provider: Provider, person: str) -> str:
    provider.signed_in = person
    digest = hashlib.sha256(_VERIFIER.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": "my-record",
        "redirect_uri": _CALLBACK,
        "scope": "launch/patient openid patient/*.cruds",
        "state": "opaque",
        "aud": AUDIENCE,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    async with provider.connect() as browser:
        sent = await browser.get(f"{ISSUER}/authorize", params=asked)
    form = {
        "grant_type": "authorization_code",
        "code": sent.next_request.url.params["code"] if sent.next_request else "",
        "redirect_uri": _CALLBACK,
        "client_id": "my-record",
        "code_verifier": _VERIFIER,
    }
    answer = await world.http.post("/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
