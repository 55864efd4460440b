"""Random requests of an attacker, by the twelve attacks of the house's consent text.

Each attack is a generator of one request (or a few that belong together). A request is plain data, so that a
failing sequence can be printed, replayed and shrunk. `{cursor}` stands for the cursor of the world's own last
page. Further generators of the same attacks, one operation or format each: `tests.noninterference.besides`.
"""

from __future__ import annotations

from random import Random

from tests.noninterference.asked import Asked, any_resource
from tests.noninterference.besides import BESIDES
from tests.noninterference.worlds import (
    ACT_CODE,
    ANA,
    HIDDEN,
    VISIBLE,
    actor,
    consent,
    id_of,
    observation,
    ref,
)

FILTERS = (
    "code=85354-9",
    "status=final",
    "status:not=final",
    "date=ge2026",
    "date=lt2020",
    "identifier=urn:mrn|secret",
    "identifier=1",
    "identifier:missing=true",
    "identifier:missing=false",
    f"patient={id_of('ana')}",
    f"subject=Patient/{id_of('bo')}",
    f"patient={id_of('bo')}",
    "gender=female",
    "family=Sample",
    "name:contains=ampl",
    "_security=MH",
    f"_security={ACT_CODE}|MH",
    "_lastUpdated=ge2020",
    f"_id={id_of('veiled1')},{id_of('seen1')}",
    f"encounter=Encounter/{id_of('visit')}",
    f"derived-from=Observation/{id_of('seen1')}",
    "code:not=85354-9",
    "_text=Sample",
    "_content=secret",
    "_content=veiledword",
    "_content=openword",
    "_content=loudword",
    "component-code=8867-4",
    "component-code:not=8867-4",
    "component-code-value-quantity=8867-4$77",
    "value-quantity=7",
    "value-quantity:missing=true",
    "encounter:missing=true",
    "name=Veiled",
    "name:missing=false",
    "birthdate=lt1985",
    "birthdate:missing=true",
    "address-city=Ulm",
    "address-city:missing=true",
    "actor=Organization/bridge-legal-aid",
    "actor=Organization/harbor-psychiatry",
    "actor:missing=true",
    "actor:not=Organization/bridge-legal-aid",
    '_filter=identifier eq "secret"',
    f"_list={id_of('list')}",
    f"subject:Patient={id_of('bo')}",
    "_tag:missing=true",
)
CHAINS = (
    ("Observation", "subject:Patient.family=Sample"),
    ("Observation", "patient.gender=female"),
    ("Observation", f"encounter._id={id_of('visit')}"),
    ("Encounter", "_has:Observation:encounter:code=85354-9"),
    ("Encounter", "_has:Condition:encounter:code=85354-9"),
    ("Patient", "_has:Observation:patient:status=final"),
    ("Patient", "_has:Condition:patient:code=85354-9"),
    ("Observation", "_has:Observation:derived-from:identifier=secret"),
    ("Provenance", "target:Observation.identifier=secret"),
    ("Task", "focus:ServiceRequest.status=active"),
    ("Observation", "encounter.status=finished"),
    ("Observation", "derived-from:Observation.identifier=1"),
    ("Encounter", "_has:Observation:encounter:identifier=4"),
    ("Patient", "_has:Observation:patient:component-code=8867-4"),
    ("Consent", "actor:Organization.name=bridge-legal-aid"),
    ("Organization", "_has:Consent:actor:status=active"),
    # By what no index row says of the hidden end: its id, its age, what it lacks.
    ("Encounter", f"_has:Observation:encounter:_id={id_of('veiled1')}"),
    ("Encounter", "_has:Condition:encounter:_lastUpdated=ge2020"),
    ("Encounter", "_has:Condition:encounter:clinical-status:missing=true"),
    ("Patient", "_has:Condition:patient:code:not=none"),
    ("Patient", f"_has:Consent:patient:_id={id_of('for-bridge')}"),
    ("Patient", "_has:RelatedPerson:patient:name:missing=true"),
    ("Observation", f"_has:List:item:_id={id_of('list')}"),
    ("Observation", f"_has:Provenance:target:_id={id_of('trace')}"),
    ("Observation", "_has:Observation:derived-from:value-quantity:missing=true"),
    ("ServiceRequest", f"_has:Task:focus:_id={id_of('secret-task')}"),
    ("DocumentReference", f"_has:DocumentReference:relatesto:_id={id_of('note')}"),
)
INCLUDES = (
    "_include=Observation:encounter",
    "_include=Observation:derived-from",
    "_include=Observation:subject",
    "_include=Observation:focus",
    "_revinclude=Provenance:target",
    "_revinclude=Observation:derived-from",
    "_revinclude=Observation:patient",
    "_revinclude=List:item",
    "_revinclude=Consent:patient",
    "_include=Consent:actor",
    "_revinclude=Consent:actor",
    "_revinclude=Observation:encounter",
    "_revinclude=Task:focus",
    "_include:iterate=Observation:derived-from",
    "_include:iterate=Observation:encounter",
    "_revinclude:iterate=Observation:derived-from",
    "_revinclude:iterate=Provenance:target",
    "_include=*",
    "_revinclude=*",
)
SORTS = (
    "_sort=date",
    "_sort=-date",
    "_sort=_id",
    "_sort=-_lastUpdated",
    "_sort=code",
    "_sort=identifier",
    "_sort=value-quantity",
    "_sort=-component-code",
    "_sort=birthdate",
    "_sort=name",
)
SHAPES = (
    "_total=accurate",
    "_summary=count",
    "_count=0",
    "_count=1",
    "_count=2",
    "_elements=status",
    "_summary=true",
)
SEARCHED = (
    "Observation",
    "Patient",
    "Encounter",
    "Condition",
    "Provenance",
    "Task",
    "Consent",
    "List",
    "DocumentReference",
    "Location",
    "Organization",
    "Binary",
    "AuditEvent",
)


def _search(chance: Random, *more: str) -> Asked:
    type_ = chance.choice(SEARCHED[:3] if chance.random() < 0.6 else SEARCHED)
    parts = chance.sample(FILTERS, chance.choice([0, 1, 1, 2])) + list(more)
    prefer = {"Prefer": "handling=lenient"} if chance.random() < 0.7 else {}
    return Asked("GET", f"/{type_}?{'&'.join(parts)}", headers=prefer)


def counts(chance: Random) -> list[Asked]:
    return [_search(chance, chance.choice(SHAPES))]


def pages(chance: Random) -> list[Asked]:
    first = Asked("GET", f"/Observation?_count={chance.choice([1, 2])}&{chance.choice(SORTS)}")
    forged = Asked("GET", f"/Observation?_count=1&_cursor={'A' * chance.choice([3, 60])}")
    following = [Asked("GET", "{cursor}")] * chance.choice([1, 2, 3])
    return [first, *following, forged][: chance.choice([2, 3, 5])]


def sorts(chance: Random) -> list[Asked]:
    return [_search(chance, chance.choice(SORTS), "_count=2")]


def includes(chance: Random) -> list[Asked]:
    return [_search(chance, *chance.sample(INCLUDES, chance.choice([1, 2])))]


def chains(chance: Random) -> list[Asked]:
    type_, chain = chance.choice(CHAINS)
    shape = chance.choice(("", "&_total=accurate", "&_summary=count"))
    return [Asked("GET", f"/{type_}?{chain}{shape}")]


def versions(chance: Random) -> list[Asked]:
    type_, id_ = any_resource(chance)
    tail = chance.choice(("", "/_history", "/_history/1", "/_history/2", "/_history/99"))
    headers = chance.choice(
        ({}, {"If-None-Match": 'W/"1"'}, {"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"})
    )
    method = chance.choice(("GET", "GET", "GET", "HEAD"))
    if chance.random() < 0.15:
        return [Asked("GET", chance.choice((f"/{type_}/_history", "/_history")))]
    return [Asked(method, f"/{type_}/{id_}{tail}", headers=headers)]


def conditional(chance: Random) -> list[Asked]:
    value = chance.choice(("secret", "1", "2", "new"))
    mine = observation(id_of("ana"), identifier=[{"system": "urn:mrn", "value": value}])
    type_, id_ = any_resource(chance)
    cut = id_of(chance.choice(("labelled", "relabelled")))
    probe = chance.choice(("/note/0/text", "/valueQuantity/value", "/component/0", "/encounter"))
    match chance.randrange(11):
        case 8:
            patch = [{"op": "test", "path": probe, "value": chance.choice((7, "other"))}]
            headers = {"content-type": "application/json-patch+json"}
            return [Asked("PATCH", f"/Observation/{cut}", patch, headers)]
        case 9:
            body = observation(id_of("ana"), id=cut, note=[{"text": "veiledword"}])
            return [Asked("PUT", f"/Observation/{cut}", body)]
        case 10:
            removed = {"name": "path", "valueString": "Observation.note.where(text = 'other')"}
            parts = [{"name": "type", "valueCode": "delete"}, removed]
            body = {
                "resourceType": "Parameters",
                "parameter": [{"name": "operation", "part": parts}],
            }
            return [Asked("PATCH", f"/Observation/{cut}", body)]
        case 0:
            return [Asked("POST", "/Observation", mine, {"If-None-Exist": f"identifier={value}"})]
        case 1:
            return [Asked("PUT", f"/Observation?identifier={value}", mine)]
        case 2:
            return [Asked("DELETE", f"/Observation?identifier={value}&status=preliminary")]
        case 3:
            body = {"resourceType": type_, "id": id_}
            body = observation(id_of("ana"), id=id_) if type_ == "Observation" else body
            headers = chance.choice(({}, {"If-Match": 'W/"1"'}, {"If-Match": 'W/"7"'}))
            return [Asked("PUT", f"/{type_}/{id_}", body, headers)]
        case 4:
            patch = [{"op": "test", "path": "/status", "value": "final"}]
            headers = {"content-type": "application/json-patch+json"}
            return [Asked("PATCH", f"/{type_}/{id_}", patch, headers)]
        case 5 if any(id_ == id_of(name) for _, name in HIDDEN):
            return [Asked("DELETE", f"/{type_}/{id_}")]
        case 6:
            target = {"reference": f"{type_}/{id_}"}
            return [Asked("POST", "/Observation", observation(id_of("ana"), focus=[target]))]
        case _:
            return [Asked("GET", f"/Observation?_id={id_}&_summary=count")]


def documents(chance: Random) -> list[Asked]:
    type_ = chance.choice(("Binary", "DocumentReference"))
    name = chance.choice([n for t, n in (*HIDDEN, *VISIBLE) if t == type_])
    accept = chance.choice(({}, {"Accept": "text/plain"}, {"Accept": "application/fhir+json"}))
    return [Asked("GET", f"/{type_}/{id_of(name)}", headers=accept)]


def about(chance: Random) -> list[Asked]:
    type_ = chance.choice(("AuditEvent", "Provenance", "List", "Consent"))
    query = chance.choice(("", f"patient={id_of('ana')}", f"target=Observation/{id_of('seen1')}"))
    return [
        Asked("GET", f"/{type_}?{query}&_total=accurate", headers={"Prefer": "handling=lenient"})
    ]


def collections(chance: Random) -> list[Asked]:
    type_, id_ = any_resource(chance)
    ana = id_of(chance.choice(("ana", "bo")))
    entry = {"request": {"method": "GET", "url": f"{type_}/{id_}"}}
    counted = {"request": {"method": "GET", "url": "Observation?_summary=count"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry, counted]}
    purpose = "organization=Organization/harbor-psychiatry&purpose=TREAT"
    return [
        chance.choice(
            (
                Asked("POST", "", batch),
                Asked("POST", "", batch | {"type": "transaction"}),
                Asked("GET", f"/Patient/{ana}/$everything"),
                Asked("GET", f"/Patient/{ana}/Observation"),
                Asked(
                    "GET",
                    f"/Task/{id_of(chance.choice(('task', 'secret-task')))}/$referral-package",
                ),
                Asked("GET", f"/{type_}/{id_}/$explain-access?{purpose}"),
                Asked("GET", f"/Patient/{ana}/$preview-access?{purpose}"),
                Asked("GET", f"/Patient/{ana}/$accounting-of-disclosures"),
                Asked("GET", f"/Consent/{id_of('for-bridge')}/$enforcement"),
                Asked("POST", "/Observation/_search", {"identifier": "secret"}, form=True),
            )
        )
    ]


def grafts(chance: Random) -> list[Asked]:
    grab = consent(id_of("ana"), type="permit", actor=actor("harbor-psychiatry"))
    joint = observation(id_of("ana"), focus=[ref("Patient", "bo")])
    care = {"resourceType": "CareTeam", "status": "active", "subject": ANA}
    person = {
        "resourceType": "Patient",
        "link": [{"other": ref("Patient", "bo"), "type": "seealso"}],
    }
    entry = [{"resource": joint, "request": {"method": "POST", "url": "Observation"}}]
    return [
        chance.choice(
            (
                Asked("POST", "/Consent", grab),
                Asked("POST", "/Observation", joint),
                Asked("POST", "/CareTeam", care),
                Asked("POST", "/Patient", person),
                Asked(
                    "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entry}
                ),
            )
        )
    ]


def crossings(chance: Random) -> list[Asked]:
    type_, id_ = any_resource(chance)
    headers = chance.choice(
        (
            {"X-Consent-Scope": "all"},
            {"X-Purpose-Of-Use": "ETREAT"},
            {"X-Organization": "river-clinic"},
            {"Cache-Control": "only-if-cached"},
            {"X-HTTP-Method-Override": "DELETE"},
        )
    )
    return [Asked("GET", f"/{type_}/{id_}", headers=headers)]


ATTACKS = (
    counts,
    pages,
    sorts,
    includes,
    chains,
    versions,
    conditional,
    documents,
    about,
    collections,
    grafts,
    crossings,
)
"""One generator for each of the twelve attacks, in their order."""


def sequence(seed: int) -> list[Asked]:
    """The requests of one sequence: one to three attacks, or their further forms."""
    chance = Random(seed)
    return [
        asked
        for _ in range(chance.choice([1, 2, 3]))
        for asked in chance.choice((*ATTACKS, *BESIDES))(chance)
    ]
