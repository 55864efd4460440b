"""FHIR XML: the official examples go there and back unaltered; no entity, no document type gets in."""

from __future__ import annotations

from collections import Counter

import pytest

from app.errors import FhirError
from app.fhir_mappings.json_text import dump, parse
from app.fhir_mappings.xml_form import to_json, to_xml
from tests.fhir_mappings.test_official_examples import verbatim
from tests.official_examples import examples

_MANY = frozenset({"CodeSystem", "SearchParameter", "StructureDefinition", "ValueSet"})

JSON = b"""{"resourceType":"Patient","id":"a","language":"en",
"text":{"status":"additional","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">A &lt; B<br/></div>"},
"contained":[{"resourceType":"Organization","id":"o","name":"\\u00c5 & \\"B\\""}],
"extension":[{"url":"urn:x","id":"e","valueDecimal":1.50},{"url":"urn:y","extension":[{"url":"z","valueCode":"c"}]}],
"active":true,"name":[{"id":"n","given":[null,"Ana"],"_given":[{"id":"g"},null]}],
"birthDate":"1990","_birthDate":{"extension":[{"url":"urn:t","valueDateTime":"1990-03-01T10:00:00+02:00"}]},
"multipleBirthInteger":2}"""

XML = """<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="a"/>\
<language value="en"/><text><status value="additional"/>\
<div xmlns="http://www.w3.org/1999/xhtml">A &lt; B<br/></div></text>\
<contained><Organization><id value="o"/><name value="\u00c5 &amp; &quot;B&quot;"/></Organization></contained>\
<extension id="e" url="urn:x"><valueDecimal value="1.50"/></extension>\
<extension url="urn:y"><extension url="z"><valueCode value="c"/></extension></extension>\
<active value="true"/><name id="n"><given id="g"/><given value="Ana"/></name>\
<birthDate value="1990"><extension url="urn:t"><valueDateTime value="1990-03-01T10:00:00+02:00"/></extension>\
</birthDate><multipleBirthInteger value="2"/></Patient>"""


def test_a_resource_is_written_as_r4_says() -> None:
    assert to_xml(parse(JSON, max_depth=20)).decode() == XML


def test_and_read_again_number_texts_and_narrative_included() -> None:
    assert verbatim(to_json(XML.encode(), max_depth=20)) == verbatim(JSON)


def test_every_official_example_is_the_same_after_xml() -> None:
    seen: Counter[str] = Counter()
    altered = []
    for name, data in examples():
        type_ = name.partition("-")[0]
        seen[type_] += 1
        if len(data) > 300_000 or (type_ in _MANY and seen[type_] % 4):
            continue
        resource = parse(data, max_depth=100)
        back = to_json(to_xml(resource), max_depth=100)
        if verbatim(back) != verbatim(dump(resource)):
            altered.append(name)
    assert altered == []
    assert len(seen) > 140


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "colour": "red"},
        {"resourceType": "Patient", "name": {"family": "A"}},
        {"resourceType": "Patient", "active": "true"},
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div>no namespace</div>"}},
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<p/><active/>"}},
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>&nbsp;</div>"}},
        {"resourceType": "Patient", "gender": "\x01"},
        {"resourceType": "Patient", "name": [{"given": []}]},
        {"resourceType": "Nothing"},
        {},
    ],
)  # fmt: skip
def test_what_xml_would_alter_is_refused(resource: dict[str, object]) -> None:
    with pytest.raises(FhirError) as refused:
        to_xml(resource)
    assert refused.value.status == 406


PATIENT = '<Patient xmlns="http://hl7.org/fhir">{}</Patient>'


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("", ()),
        ("{}", ()),
        ("<Patient/>", ()),
        ('<Patient xmlns="http://hl7.org/fhir">', ()),
        ('<!DOCTYPE Patient><Patient xmlns="http://hl7.org/fhir"/>', ()),
        (
            '<!DOCTYPE Patient [<!ENTITY a "x">]>' + PATIENT.format('<id value="&a;"/>'),
            (),
        ),
        (
            '<!DOCTYPE Patient [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + PATIENT.format("&a;"),
            (),
        ),
        (PATIENT.format('<id value="&unknown;"/>'), ()),
        (PATIENT.format("text"), ()),
        (PATIENT.format('<x:id xmlns:x="urn:other" value="1"/>'), ()),
        (PATIENT.format("<extension>" * 30 + "</extension>" * 30), ()),
        (PATIENT.format('<colour value="red"/>'), ("Patient.colour",)),
        (PATIENT.format('<active value="true"/><active value="true"/>'), ("Patient.active",)),
        (
            PATIENT.format('<name><family value="a" colour="red"/></name>'),
            ("Patient.name[0].family",),
        ),
        (PATIENT.format("<contained/>"), ("Patient.contained[0]",)),
        (PATIENT.format("<text><div/></text>"), ("Patient.text.div",)),
        ('<Nothing xmlns="http://hl7.org/fhir"/>', ("Nothing",)),
        ('<Patient xmlns="http://hl7.org/fhir" id="a"/>', ("Patient",)),
    ],
)
def test_what_is_no_xml_of_fhir_is_refused_with_its_place(
    text: str, expression: tuple[str, ...]
) -> None:
    with pytest.raises(FhirError) as refused:
        to_json(text.encode(), max_depth=20)
    assert refused.value.status == 400
    assert refused.value.issues[0].expression == expression


def test_comments_and_instructions_say_nothing_and_a_declared_schema_is_let_be() -> None:
    text = (
        '\ufeff<?xml version="1.0"?><?style x?><!-- a --><Patient xmlns="http://hl7.org/fhir" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x">'
        '<text><status value="empty"/><div xmlns="http://www.w3.org/1999/xhtml"/><!-- b --></text>'
        '<active value="false"/></Patient>'
    )
    assert verbatim(to_json(text.encode(), max_depth=20)) == {
        "resourceType": "Patient",
        "text": {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml"/>'},
        "active": False,
    }
