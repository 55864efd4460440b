"""Further forms of the twelve attacks: pages while a Consent is withdrawn, operations, XML, writes, Bundles.

There is no bulk export and no subscription yet: `$export` and Subscription are asked for all the same, and must
be refused alike.
"""

from __future__ import annotations

from random import Random

from tests.noninterference.asked import MISSING, Asked, any_resource
from tests.noninterference.worlds import ACT_CODE, ANA, id_of, observation, ref

XML = {"Accept": "application/fhir+xml"}
JSON_PATCH = {"content-type": "application/json-patch+json"}


def _survivor(chance: Random) -> str:
    return MISSING if chance.random() < 0.1 else id_of(chance.choice(("ana", "ana", "bo")))


def withdrawn(chance: Random) -> list[Asked]:
    """Attack 2: a Consent is withdrawn between two pages, and given again."""
    size = chance.choice((1, 2))
    first = chance.choice(
        (
            f"/Observation?_count={size}",
            f"/Observation?_count={size}&_sort=date&_total=accurate",
            f"/Patient/{id_of('ana')}/$everything?_count={size}",
            f"/Observation?patient={id_of('ana')}&_count={size}&_include=Observation:encounter",
            f"/Observation/_history?_count={size}",
        )
    )
    read = Asked("GET", f"/Observation/{id_of('seen1')}")
    following = Asked("GET", "{cursor}")
    return [
        Asked("GET", first),
        Asked("", "", act="withdraw"),
        *chance.sample([following, read, Asked("GET", first)], chance.choice((1, 2, 3))),
        Asked("", "", act="restore"),
        *[following] * chance.choice((0, 1)),
    ]


def everything(chance: Random) -> list[Asked]:
    """Attack 10: the whole record, page by page."""
    more = chance.choice(
        (
            "",
            "&_type=Observation,Condition",
            "&_since=2020-01-01",
            "&start=2019-01-01&end=2019-12-31",
        )
    )
    first = f"/Patient/{_survivor(chance)}/$everything?_count={chance.choice((1, 2, 5))}{more}"
    return [Asked("GET", first), *[Asked("GET", "{cursor}")] * chance.choice((0, 1, 3))]


def operations(chance: Random) -> list[Asked]:
    """Attacks 3 to 6 and 10, by operations."""
    type_, id_ = any_resource(chance)
    survivor = _survivor(chance)
    wanted = {
        "resourceType": "Patient",
        "name": [{"family": chance.choice(("Sample", "Veiled"))}],
        "birthDate": chance.choice(("1990-05-05", "1980-01-01")),
        "gender": "female",
    }
    matching = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": wanted},
            {"name": "onlyCertainMatches", "valueBoolean": chance.random() < 0.3},
        ],
    }
    deletion = {
        "resourceType": "Parameters",
        "parameter": [{"name": "mode", "valueCode": "delete"}],
    }
    link = {
        "resourceType": "Parameters",
        "parameter": [{"name": "other", "valueReference": {"reference": f"Patient/{id_of('bo')}"}}],
    }
    return [
        chance.choice(
            (
                Asked("POST", "/Patient/$match", matching),
                Asked("POST", "/Patient/$match", wanted),
                Asked("GET", f"/Patient/{survivor}/$summary"),
                Asked("GET", f"/Patient/{survivor}/$outcomes"),
                Asked("POST", f"/Patient/{survivor}/$link", link),
                Asked(
                    "GET", f"/Questionnaire/{id_of('form')}/$populate?subject=Patient/{survivor}"
                ),
                Asked(
                    "GET",
                    f"/Measure/{id_of('measure')}/$evaluate-measure?periodStart=2020&periodEnd=2030",
                ),
                Asked("GET", f"/QuestionnaireResponse/{id_of('answers')}/$extract"),
                Asked("GET", f"/{type_}/{id_}/$meta"),
                Asked("GET", f"/{type_}/{id_}/_history/1/$meta"),
                Asked("POST", f"/{type_}/{id_}/$validate", deletion),
                Asked(
                    "GET",
                    f"/Task/{id_of(chance.choice(('task', 'secret-task')))}/$referral-package",
                ),
                Asked("GET", "/Patient/$export"),
                Asked("GET", "/Subscription?_summary=count"),
            )
        )
    ]


def xml(chance: Random) -> list[Asked]:
    """Every attack that reads, in the other format."""
    type_, id_ = any_resource(chance)
    paths = (
        f"/{type_}/{id_}",
        f"/{type_}/{id_}/_history",
        f"/{type_}/{id_}/_history/1",
        f"/{type_}?_id={id_}&_total=accurate",
        f"/Observation/{id_of('labelled')}",
        f"/Patient/{id_of('ana')}/$everything",
        f"/Consent/{id_of('permit')}",
        f"/Observation?patient={id_of('ana')}&_elements=note,component",
    )
    if chance.random() < 0.3:
        path = chance.choice(paths)
        return [Asked("GET", f"{path}{'&' if '?' in path else '?'}_format=xml")]
    return [Asked("GET", chance.choice(paths), headers=XML)]


def labelled(chance: Random) -> list[Asked]:
    """Attacks 5, 6 and 8 where elements are labelled: validators, ranges, forms, single elements."""
    type_, name = chance.choice(
        (
            ("Observation", "labelled"),
            ("Observation", "relabelled"),
            ("Patient", "ana"),
            ("Consent", "permit"),
            ("Organization", "hall"),
        )
    )
    tail = chance.choice(
        (
            "",
            "?_elements=note,component,valueQuantity",
            "?_elements=name,birthDate,address",
            "?_elements=provision",
            "?_summary=text",
            "?_summary=data",
            "?_summary=true",
            "?_pretty=true",
            "/_history/1",
            "/_history/2",
            "/_history?_at=2026",
            "/_history?_since=2020-01-01",
        )
    )
    headers = chance.choice(
        (
            {},
            {"If-None-Match": 'W/"1"'},
            {"If-None-Match": 'W/"2"'},
            {"If-None-Match": "*"},
            {"Range": "bytes=0-20"},
            {"Accept-Encoding": "gzip"},
        )
    )
    return [
        Asked(
            chance.choice(("GET", "GET", "HEAD")), f"/{type_}/{id_of(name)}{tail}", headers=headers
        )
    ]


def earlier(chance: Random) -> list[Asked]:
    """Attack 6: the version from before a label, by the ways to a version."""
    path = f"/Observation/{id_of('relabelled')}/_history/1"
    bundle = {
        "resourceType": "Bundle",
        "type": chance.choice(("batch", "transaction")),
        "entry": [{"request": {"method": "GET", "url": path[1:]}}],
    }
    return [
        chance.choice(
            (
                Asked("GET", path),
                Asked("HEAD", path),
                Asked("GET", path, headers=XML),
                Asked("GET", f"{path}?_elements=note"),
                Asked("GET", f"{path}/$meta"),
                Asked("POST", "", bundle),
            )
        )
    ]


def conditional(chance: Random) -> list[Asked]:
    """Attack 7: patches, updates and deletes by a search that hidden rows or elements would match."""
    criterion = chance.choice(
        (
            "identifier=urn:mrn|secret",
            "component-code=8867-4",
            "value-quantity=7",
            f"encounter=Encounter/{id_of('visit')}&identifier=secret",
            "_content=veiledword",
            f"derived-from=Observation/{id_of('seen1')}",
            "identifier=none-such",
        )
    )
    patch = [{"op": "replace", "path": "/status", "value": "final"}]
    body = observation(id_of("ana"), identifier=[{"system": "urn:mrn", "value": "none-such"}])
    hidden = f"Observation/{id_of(chance.choice(('veiled1', 'veiled2', 'bos')))}"
    meta = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "meta", "valueMeta": {"security": [{"system": ACT_CODE, "code": "HIV"}]}}
        ],
    }
    return [
        chance.choice(
            (
                Asked("PATCH", f"/Observation?{criterion}", patch, JSON_PATCH),
                Asked("DELETE", f"/Observation?{criterion}&status=preliminary"),
                Asked("DELETE", f"/Observation?{criterion}&identifier=secret"),
                Asked("POST", "/Observation", body, {"If-None-Exist": criterion}),
                Asked("PATCH", f"/{hidden}", patch, JSON_PATCH),
                Asked("DELETE", f"/{hidden}", headers={"If-Match": 'W/"1"'}),
                Asked("POST", f"/{hidden}/$meta-add", meta),
                Asked("POST", f"/{hidden}/$meta-delete", meta),
                Asked("PUT", f"/{hidden}", observation(id_of("ana"), id=hidden.split("/")[1])),
            )
        )
    ]


def bundles(chance: Random) -> list[Asked]:
    """Attacks 7 and 10: the same within batches and transactions, and searches of all types."""
    type_, id_ = any_resource(chance)
    new = observation(
        id_of("ana"),
        derivedFrom=[ref("Observation", chance.choice(("seen1", "veiled1", "bos")))],
        identifier=[{"system": "urn:mrn", "value": chance.choice(("secret", "bundled"))}],
    )
    entries = [
        {"request": {"method": "GET", "url": f"{type_}/{id_}"}},
        {"request": {"method": "GET", "url": f"{type_}?_id={id_}&_summary=count"}},
        {"request": {"method": "HEAD", "url": f"{type_}/{id_}"}},
        {
            "resource": new,
            "request": {"method": "POST", "url": "Observation", "ifNoneExist": "identifier=secret"},
        },
        {
            "resource": new | {"encounter": {"reference": "Encounter?status=finished"}},
            "request": {"method": "POST", "url": "Observation"},
        },
        {
            "resource": new | {"focus": [{"reference": "Observation?identifier=urn:mrn|secret"}]},
            "request": {"method": "POST", "url": "Observation"},
        },
        {"request": {"method": "DELETE", "url": f"Observation/{id_of('veiled1')}"}},
        {"request": {"method": "DELETE", "url": "Observation?identifier=secret"}},
    ]
    bundle = {
        "resourceType": "Bundle",
        "type": chance.choice(("batch", "transaction")),
        "entry": chance.sample(entries, chance.choice((1, 2, 3))),
    }
    types = chance.choice(("Observation,Condition", "Patient,Consent,List", "Task,Communication"))
    care = {"resourceType": "Group", "type": "person", "actual": True, "member": [{"entity": ANA}]}
    return [
        chance.choice(
            (
                Asked("POST", "", bundle),
                Asked("POST", "", bundle),
                Asked("POST", "", bundle),
                Asked("GET", f"?_type={types}&_total=accurate"),
                Asked("POST", "/_search", {"_type": types, "_count": "2"}, form=True),
                Asked("POST", f"/Patient/{id_of('ana')}/Condition/_search", {}, form=True),
                Asked("POST", "/Group", care),
            )
        )
    ]


BESIDES = (withdrawn, everything, operations, xml, labelled, earlier, conditional, bundles)
