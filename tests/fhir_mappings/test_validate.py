"""Validation: one fault a case, in the sender's JSON, with its code and its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.errors import Issue, IssueCode
from app.fhir_mappings.faults import MAX_ISSUES
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.validate import validate

PATIENT = """{"resourceType":"Patient","id":"a","active":true,"birthDate":"1980-02-29",
 "name":[{"family":"Doe","given":["A","B"]}],"contact":[{"name":{"text":"x"}}]}"""
OBSERVATION = """{"resourceType":"Observation","status":"final","code":{"text":"x"},
 "subject":{"reference":"Patient/a"}}"""
BASIC = '{"resourceType":"Basic","code":{"text":"x"}}'


def faults(text: str, **members: str) -> list[tuple[str, str]]:
    """(issue code, expression) of each fault of a resource with some members set to JSON text."""
    return [(each.code.value, each.expression[0]) for each in issues(text, **members)]


def issues(text: str, **members: str) -> list[Issue]:
    added = "".join(f',"{name}":{value}' for name, value in members.items())
    plain = parse(text.encode(), max_depth=100)
    extra = parse(f'{{"resourceType":"Basic"{added}}}'.encode(), max_depth=100)
    return validate(plain | {name: extra[name] for name in members})


@pytest.mark.parametrize("text", [PATIENT, OBSERVATION, BASIC])
def test_a_valid_resource_has_no_fault(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    ("name", "value", "code", "expression"),
    [
        # elements that R4 does not have
        ("maidenName", '"x"', "structure", "Patient.maidenName"),
        ("birth_date", '"1980"', "structure", "Patient.birth_date"),
        ("fhir_comments", '["x"]', "structure", "Patient.fhir_comments"),
        ("deceased", "true", "structure", "Patient.deceased"),
        ("deceasedString", '"x"', "structure", "Patient.deceasedString"),
        ("_name", '[{"id":"x"}]', "structure", "Patient._name"),
        ("Ana Doe", "1", "structure", "Patient"),
        # kinds of JSON value
        ("active", '"true"', "structure", "Patient.active"),
        ("active", "1", "structure", "Patient.active"),
        ("birthDate", "1980", "structure", "Patient.birthDate"),
        ("birthDate", '["1980"]', "structure", "Patient.birthDate"),
        ("name", '{"family":"Doe"}', "structure", "Patient.name"),
        ("name", '"Doe"', "structure", "Patient.name"),
        ("name", '["Doe"]', "structure", "Patient.name[0]"),
        ("name", '[["Doe"]]', "structure", "Patient.name[0]"),
        ("maritalStatus", '[{"text":"x"}]', "structure", "Patient.maritalStatus"),
        ("maritalStatus", '"M"', "structure", "Patient.maritalStatus"),
        ("multipleBirthInteger", '"2"', "structure", "Patient.multipleBirth"),
        # nothing instead of something
        ("name", "[]", "structure", "Patient.name"),
        ("name", "[{}]", "structure", "Patient.name[0]"),
        ("name", "[null]", "structure", "Patient.name[0]"),
        ("name", "null", "structure", "Patient.name"),
        ("maritalStatus", "{}", "structure", "Patient.maritalStatus"),
        ("maritalStatus", "null", "structure", "Patient.maritalStatus"),
        ("birthDate", "null", "structure", "Patient.birthDate"),
        ("name", '[{"family":""}]', "value", "Patient.name[0].family"),
        ("name", '[{"given":[]}]', "structure", "Patient.name[0].given"),
        ("name", '[{"given":["A",null]}]', "structure", "Patient.name[0].given[1]"),
        ("name", '[{"id":"x"}]', "invariant", "Patient.name[0]"),
        # cardinality
        ("communication", '[{"preferred":true}]', "required", "Patient.communication[0].language"),
        ("link", '[{"type":"seealso"}]', "required", "Patient.link[0].other"),
        # choice elements
        (
            "extension",
            '[{"url":"http://a","valueString":"x","valueCode":"y"}]',
            "structure",
            "Patient.extension[0].value",
        ),
        # primitive extensions
        ("_birthDate", '"x"', "structure", "Patient.birthDate"),
        ("_birthDate", "{}", "structure", "Patient.birthDate"),
        ("_birthDate", '{"extension":[]}', "structure", "Patient.birthDate.extension"),
        ("_birthDate", '{"value":"x"}', "structure", "Patient.birthDate.value"),
        ("_deceasedBoolean", '{"id":"x"}', "invariant", "Patient.deceased"),
        # invariants on presence
        ("extension", '[{"url":"http://a"}]', "invariant", "Patient.extension[0]"),
        (
            "extension",
            '[{"url":"http://a","valueId":"x","extension":[{"url":"b","valueId":"x"}]}]',
            "invariant",
            "Patient.extension[0]",
        ),
        ("contact", '[{"gender":"female"}]', "invariant", "Patient.contact[0]"),
        ("telecom", '[{"value":"x"}]', "invariant", "Patient.telecom[0]"),
        (
            "managingOrganization",
            '{"type":"Organization"}',
            "invariant",
            "Patient.managingOrganization",
        ),
        # required bindings
        ("gender", '"F"', "code-invalid", "Patient.gender"),
        (
            "contact",
            '[{"name":{"text":"x"},"gender":"x"}]',
            "code-invalid",
            "Patient.contact[0].gender",
        ),
    ],
)
def test_a_fault_is_found_at_its_place(name: str, value: str, code: str, expression: str) -> None:
    assert faults(PATIENT, **{name: value}) == [(code, expression)]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (PATIENT, "_birthDate", '{"extension":[{"url":"http://a","valueString":"x"}]}'),
        (PATIENT, "_birthDate", '{"id":"x"}'),
        (PATIENT, "_gender", '{"extension":[{"url":"http://a","valueString":"x"}]}'),
        (
            PATIENT,
            "name",
            '[{"given":["A",null],"_given":[null,{"extension":[{"url":"http://a","valueId":"x"}]}]}]',
        ),
        (PATIENT, "name", '[{"_given":[{"extension":[{"url":"http://a","valueId":"x"}]}]}]'),
        (OBSERVATION, "status", '"registered"'),
        (OBSERVATION, "_status", '{"extension":[{"url":"http://a","valueId":"x"}]}'),
        (OBSERVATION, "valueQuantity", '{"value":0.40,"unit":"mg"}'),
        (PATIENT, "multipleBirthInteger", "2"),
        (PATIENT, "extension", '[{"url":"b","extension":[{"url":"c","valueString":" "}]}]'),
    ],
)
def test_what_r4_allows_is_accepted(text: str, name: str, value: str) -> None:
    assert faults(text, **{name: value}) == []


def test_arrays_of_values_and_extensions_are_aligned() -> None:
    one = '{"extension":[{"url":"http://a","valueId":"x"}]}'
    given = "Patient.name[0].given"
    assert faults(PATIENT, name=f'[{{"given":["A","B"],"_given":[{one}]}}]') == [
        ("structure", given)
    ]
    assert faults(PATIENT, name=f'[{{"given":["A"],"_given":[null,{one}]}}]') == [
        ("structure", given)
    ]
    assert faults(PATIENT, name='[{"given":[null],"_given":[null]}]') == [
        ("structure", given + "[0]")
    ]
    assert faults(PATIENT, name='[{"_given":[null]}]') == [("structure", given + "[0]")]
    assert faults(PATIENT, name='[{"given":[null],"_given":[{"id":"x"}]}]') == [
        ("invariant", given + "[0]")
    ]


def test_a_required_primitive_may_be_absent_with_a_reason() -> None:
    absent = parse(OBSERVATION.encode(), max_depth=9)
    del absent["status"]
    assert [each.code for each in validate(absent)] == [IssueCode.REQUIRED]
    absent["_status"] = {"extension": [{"url": "http://a", "valueCode": "unknown"}]}
    assert validate(absent) == []


PRIMITIVES: list[tuple[str, list[str], list[str]]] = [
    ("Boolean", ["true", "false"], []),
    ("Integer", ["0", "-1", "2147483647", "-2147483648", "-0"], ["2147483648", "1.0", "1e1"]),
    ("UnsignedInt", ["0", "2147483647"], ["-1", "2147483648", "0.5"]),
    ("PositiveInt", ["1"], ["0", "-1", "1.5"]),
    ("Decimal", ["0.40", "1e2", "-0", "123456789012345678901234567890"], []),
    ("String", ['"x"', '" "', '"a\\tb\\nc"', '"\u00e9"'], ['""', '"\\u0001"', '"\\u000b"']),
    ("Markdown", ['"# x\\n"'], ['""', '"\\u0002"']),
    ("Code", ['"a"', '"a b"'], ['""', '" a"', '"a "', '"a  b"', '"a\\tb"']),
    ("Id", ['"a.B-9"', f'"{"a" * 64}"'], ['""', '"a_b"', f'"{"a" * 65}"', '"a b"', '"\u00e9"']),
    ("Uri", ['"urn:x"', '"a"', '"http://a/b?c#d"'], ['""', '"a b"', '"a\\n"', '"http://a\u00a0b"']),
    ("Url", ['"http://a"'], ['""', '"http://a b"']),
    ("Canonical", ['"http://a|1.0"'], ['""', '"a b"']),
    ("Oid", ['"urn:oid:1.2.0"'], ['"1.2.3"', '"urn:oid:3.1"', '"urn:oid:1.02"', '"urn:oid:1"']),
    (
        "Uuid",
        ['"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"'],
        [
            '"c757873d-ec9a-4326-a141-556f43239520"',
            '"urn:uuid:C757873D-EC9A-4326-A141-556F43239520"',
        ],
    ),
    (
        "Date",
        ['"1980"', '"1980-12"', '"2024-02-29"', '"0001-01-31"', '"2000-02-29"'],
        [
            '"80"',
            '"1980-13"',
            '"1980-1-1"',
            '"2023-02-29"',
            '"1900-02-29"',
            '"2023-04-31"',
            '"0000"',
            '"1980-12-01T00:00:00Z"',
            '"1980 "',
            '"1980\\n"',
        ],
    ),
    (
        "DateTime",
        [
            '"1980"',
            '"2024-02-29T23:59:59Z"',
            '"2024-01-01T00:00:00.123456789+14:00"',
            '"2016-12-31T23:59:60Z"',
        ],
        [
            '"2024-02-30T00:00:00Z"',
            '"2024-01-01T00:00:00"',
            '"2024-01-01T24:00:00Z"',
            '"2024-01-01T00:00Z"',
            '"2024-01-01T00:00:00+15:00"',
            '"2024-01-01 00:00:00Z"',
        ],
    ),
    (
        "Instant",
        ['"2024-02-29T23:59:59.5-05:00"'],
        ['"2024-02-29"', '"2023-02-29T23:59:59Z"', '"2024-02-29T23:59:59"'],
    ),
    ("Time", ['"23:59:59"', '"00:00:00.1"'], ['"24:00:00"', '"12:00"', '"12:00:00Z"']),
    (
        "Base64Binary",
        ['"YQ=="', '"YWJj"', '"YW\\r\\nJj"'],
        ['""', '"YQ"', '"YQ="', '"Y==="', '"YQ==YQ=="', '"-_-_"', '"\u00e9"'],
    ),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, good, _ in PRIMITIVES for value in good]
)
def test_a_primitive_in_its_format_is_accepted(name: str, value: str) -> None:
    assert faults(BASIC, extension=f'[{{"url":"http://a","value{name}":{value}}}]') == []


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, _, bad in PRIMITIVES for value in bad]
)
def test_a_primitive_out_of_its_format_is_refused(name: str, value: str) -> None:
    found = faults(BASIC, extension=f'[{{"url":"http://a","value{name}":{value}}}]')
    assert found == [("value", "Basic.extension[0].value")]


@pytest.mark.parametrize("name", [name for name, _, _ in PRIMITIVES if name not in ("Boolean",)])
def test_a_primitive_of_another_kind_of_json_is_refused(name: str) -> None:
    for value in ("true", "{}", '{"a":1}', "[]", "null"):
        found = faults(BASIC, extension=f'[{{"url":"http://a","value{name}":{value}}}]')
        assert found == [("structure", "Basic.extension[0].value")], value


def test_a_string_longer_than_a_mebi_is_refused() -> None:
    resource = parse(PATIENT.encode(), max_depth=9)
    resource["name"][0]["family"] = "a" * (1024 * 1024)
    assert validate(resource) == []
    resource["name"][0]["family"] += "a"
    assert [each.expression for each in validate(resource)] == [("Patient.name[0].family",)]


def test_base64_of_blanks_is_judged_in_linear_time() -> None:
    # The official pattern backtracks without end on this text.
    resource = parse(b'{"resourceType":"Binary","contentType":"text/plain"}', max_depth=9)
    resource["data"] = "AAAA" + " " * 200_000 + "!"
    assert [each.expression for each in validate(resource)] == [("Binary.data",)]


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/a",
        "Patient/a/_history/1",
        "Group/g",
        "http://example.org/fhir/Patient/a",
        "https://example.org/fhir/Patient/a/_history/2",
        "http://example.org/whatever?x=1",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:oid:1.2.3",
    ],
)
def test_a_reference_in_its_syntax_is_accepted(reference: str) -> None:
    assert faults(OBSERVATION, subject=f'{{"reference":"{reference}"}}') == []


@pytest.mark.parametrize(
    ("reference", "expression"),
    [
        ("a", "Observation.subject.reference"),
        ("/Patient/a", "Observation.subject.reference"),
        ("Patient/", "Observation.subject.reference"),
        ("Patient/a_b", "Observation.subject.reference"),
        ("Patient/a/b", "Observation.subject.reference"),
        ("patient/a", "Observation.subject.reference"),
        ("Pateint/a", "Observation.subject.reference"),
        ("Patient/a/_history/", "Observation.subject.reference"),
        ("urn:uuid:1", "Observation.subject.reference"),
        ("urn:oid:x", "Observation.subject.reference"),
        ("http://a b", "Observation.subject.reference"),
        ("Patient?identifier=a", "Observation.subject.reference"),
        ("#", "Observation.subject.reference"),
        ("#nowhere", "Observation.subject.reference"),
        ("Practitioner/a", "Observation.subject"),
        ("Observation/a/_history/1", "Observation.subject"),
        ("http://example.org/fhir/Practitioner/a", "Observation.subject"),
        ("https://example.org/fhir/Practitioner/a/_history/2", "Observation.subject"),
    ],
)
def test_a_reference_out_of_its_syntax_or_targets_is_refused(
    reference: str, expression: str
) -> None:
    assert faults(OBSERVATION, subject=f'{{"reference":"{reference}"}}') == [("value", expression)]


def test_a_reference_to_any_resource_must_name_a_resource_type() -> None:
    provenance = """{"resourceType":"Provenance","recorded":"2026-03-01T12:00:00Z",
     "agent":[{"who":{"display":"x"}}]}"""
    assert faults(provenance, target='[{"reference":"VisionPrescription/a"}]') == []
    assert faults(provenance, target='[{"reference":"Vision/a"}]') == [
        ("value", "Provenance.target[0].reference")
    ]


CONTAINED = '[{"resourceType":"Patient","id":"p"}]'


def test_a_contained_resource_is_referred_to_by_its_id() -> None:
    subject = '{"reference":"#p"}'
    assert faults(OBSERVATION, contained=CONTAINED, subject=subject) == []
    assert (
        faults(OBSERVATION, contained='[{"resourceType":"Location","id":"p"}]', subject=subject)
        == []
    )
    medication = '[{"resourceType":"Medication","id":"p"}]'
    assert faults(OBSERVATION, contained=medication, subject=subject) == [
        ("value", "Observation.subject")
    ]


def test_a_contained_resource_may_refer_to_its_container() -> None:
    contained = """[{"resourceType":"Provenance","id":"v","recorded":"2026-03-01T12:00:00Z",
     "target":[{"reference":"#"}],"agent":[{"who":{"display":"x"}}]}]"""
    assert faults(OBSERVATION, contained=contained) == []


def test_a_contained_questionnaire_is_referred_to_by_a_canonical() -> None:
    response = """{"resourceType":"QuestionnaireResponse","status":"completed",
     "contained":[{"resourceType":"Questionnaire","id":"q","status":"draft"}]}"""
    assert faults(response, questionnaire='"#q"') == []
    assert faults(response, questionnaire='"#r"') == [
        ("invariant", "QuestionnaireResponse.contained[0]")
    ]


@pytest.mark.parametrize(
    ("contained", "code", "expression"),
    [
        ("[]", "structure", "Observation.contained"),
        ("{}", "structure", "Observation.contained"),
        ('[{"resourceType":"Patient","id":"q"}]', "invariant", "Observation.contained[1]"),
        ('[{"resourceType":"Patient"}]', "invariant", "Observation.contained[1]"),
        ('["x"]', "structure", "Observation.contained[1]"),
        ('[{"id":"q"}]', "structure", "Observation.contained[1].resourceType"),
        (
            '[{"resourceType":"Patient","id":"p"}]',
            "structure",
            "Observation.contained[1]",
        ),
    ],
)
def test_dom_3_a_contained_resource_is_needed_and_identified(
    contained: str, code: str, expression: str
) -> None:
    if expression.endswith("contained"):
        assert (code, expression) in faults(OBSERVATION, contained=contained)
    else:
        both = CONTAINED[:-1] + "," + contained[1:]
        found = faults(OBSERVATION, contained=both, subject='{"reference":"#p"}')
        assert (code, expression) in found


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        ('"contained":[{"resourceType":"Patient","id":"z"}]', "dom-2"),
        ('"meta":{"versionId":"1"}', "dom-4"),
        ('"meta":{"lastUpdated":"2026-03-01T12:00:00Z"}', "dom-4"),
        ('"meta":{"security":[{"code":"R"}]}', "dom-5"),
    ],
)
def test_what_a_contained_resource_may_not_have(member: str, rule: str) -> None:
    contained = f'[{{"resourceType":"Patient","id":"p",{member}}}]'
    found = issues(OBSERVATION, contained=contained, subject='{"reference":"#p"}')
    assert [each.code for each in found] == [IssueCode.INVARIANT]
    assert rule in found[0].diagnostics


def bundle(type_: str, *resources: str) -> str:
    request = ',"request":{"method":"POST","url":"x"}' if type_ in ("transaction", "batch") else ""
    entries = ",".join(f'{{"resource":{each}{request}}}' for each in resources)
    return f'{{"resourceType":"Bundle","type":"{type_}","entry":[{entries}]}}'


def test_resources_in_a_bundle_are_checked_each_on_its_own() -> None:
    bad = OBSERVATION.replace("final", "over")
    local = OBSERVATION.replace("Patient/a", "#p")
    holder = local[:-1] + f',"contained":{CONTAINED}}}'
    assert faults(bundle("collection", PATIENT, holder)) == []
    assert faults(bundle("collection", holder, local, bad)) == [
        ("value", "Bundle.entry[1].resource.subject.reference"),
        ("code-invalid", "Bundle.entry[2].resource.status"),
    ]


def test_a_conditional_reference_is_for_transactions_and_batches() -> None:
    conditional = OBSERVATION.replace("Patient/a", "Patient?identifier=http://a|b")
    for type_ in ("transaction", "batch"):
        assert faults(bundle(type_, conditional)) == []
    assert faults(bundle("collection", conditional)) == [
        ("value", "Bundle.entry[0].resource.subject.reference")
    ]
    wrong = OBSERVATION.replace("Patient/a", "Practitioner?identifier=a")
    assert faults(bundle("transaction", wrong)) == [("value", "Bundle.entry[0].resource.subject")]


def test_a_bundle_in_a_transaction_does_not_lend_its_conditional_references() -> None:
    conditional = OBSERVATION.replace("Patient/a", "Patient?identifier=a")
    inner = bundle("collection", conditional)
    assert faults(bundle("transaction", inner, conditional)) == [
        ("value", "Bundle.entry[0].resource.entry[0].resource.subject.reference")
    ]


def test_resources_in_parameters_are_checked() -> None:
    parameters = '{"resourceType":"Parameters"}'
    part = f'[{{"name":"a","part":[{{"name":"b","resource":{PATIENT}}}]}}]'
    assert faults(parameters, parameter=part) == []
    assert faults(parameters, parameter=part.replace("1980-02-29", "1981-02-29")) == [
        ("value", "Parameters.parameter[0].part[0].resource.birthDate")
    ]
    assert faults(parameters, parameter='[{"name":"a","resource":{"resourceType":"X"}}]') == [
        ("structure", "Parameters.parameter[0].resource.resourceType")
    ]


def test_recursion_by_content_reference_is_followed() -> None:
    questionnaire = '{"resourceType":"Questionnaire","status":"draft"}'
    item = '{"linkId":"1","type":"group","item":[{"linkId":"2","type":"gruop"}]}'
    assert faults(questionnaire, item=f"[{item}]") == [
        ("code-invalid", "Questionnaire.item[0].item[0].type")
    ]


def test_of_codes_that_nobody_can_list_the_form_is_checked() -> None:
    for good in ("application/pdf", "text/plain; charset=UTF-8", "application/fhir+json"):
        assert faults(PATIENT, photo=f'[{{"contentType":"{good}"}}]') == []
    for bad in ("pdf", "application/", "a/b c", "text"):
        assert faults(PATIENT, photo=f'[{{"contentType":"{bad}"}}]') == [
            ("code-invalid", "Patient.photo[0].contentType")
        ]
    plan = '{"resourceType":"InsurancePlan","name":"x"}'
    cost = '[{{"generalCost":[{{"cost":{{"value":1,"currency":"{}"}}}}]}}]'
    assert faults(plan, plan=cost.format("EUR")) == []
    assert faults(plan, plan=cost.format("euro")) == [
        ("code-invalid", "InsurancePlan.plan[0].generalCost[0].cost.currency")
    ]


def test_a_required_binding_on_a_concept_needs_one_coding_of_it() -> None:
    condition = '{"resourceType":"Condition","subject":{"reference":"Patient/a"}}'
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    good = f'{{"coding":[{{"code":"x"}},{{"system":"{system}","code":"active"}}]}}'
    assert faults(condition, clinicalStatus=good) == []
    for bad in (
        '{"text":"active"}',
        '{"coding":[{"code":"active"}]}',
        f'{{"coding":[{{"system":"{system}","code":"open"}}]}}',
    ):
        assert faults(condition, clinicalStatus=bad) == [
            ("code-invalid", "Condition.clinicalStatus")
        ]


def test_a_simple_quantity_has_no_comparator() -> None:
    range_ = '[{"low":{"value":1,"comparator":"<"}}]'
    found = issues(OBSERVATION, referenceRange=range_)
    assert [each.expression for each in found] == [("Observation.referenceRange[0].low",)]
    assert "sqty-1" in found[0].diagnostics
    assert faults(OBSERVATION, valueQuantity='{"value":1,"comparator":"<"}') == []


def narrative(div: str) -> list[tuple[str, str]]:
    resource: dict[str, Any] = parse(BASIC.encode(), max_depth=9)
    resource["text"] = {"status": "generated", "div": div}
    return [(each.code.value, each.expression[0]) for each in validate(resource)]


XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    "div",
    [
        f"<div {XHTML}>x</div>",
        f'<div {XHTML} xml:lang="en" lang="en"><p style="color: red">a&lt;b &#xe9;<br/></p></div>',
        f'<div {XHTML}><a href="Patient/1">x</a><a href="mailto:a@b.c">y</a><a name="z"/></div>',
        f'<div {XHTML}><img src="data:image/png;base64,AAAA"/></div>',
        f'<div {XHTML}><img src="#p" alt="x"/></div>',
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml"><h:b>x</h:b></h:div>',
        f"<div {XHTML}><!-- a comment -->x</div>",
    ],
)
def test_a_narrative_of_formatted_text_is_accepted(div: str) -> None:
    assert narrative(div) == []


@pytest.mark.parametrize(
    "div",
    [
        "x",
        "",
        "<div>x</div>",
        f"<p {XHTML}>x</p>",
        f"<div {XHTML}></div>",
        f"<div {XHTML}> \n </div>",
        f"<div {XHTML}>x",
        f"<div {XHTML}>&nbsp;</div>",
        f"<div {XHTML}>x</div><div {XHTML}>y</div>",
        f"<div {XHTML}><script>x</script></div>",
        f"<div {XHTML}><SCRIPT>x</SCRIPT></div>",
        f"<div {XHTML}><form>x</form></div>",
        f'<div {XHTML}><iframe src="http://a"/>x</div>',
        f'<div {XHTML}><svg xmlns="http://www.w3.org/2000/svg">x</svg></div>',
        f'<div {XHTML}><b onclick="x()">x</b></div>',
        f'<div {XHTML} onload="x()">x</div>',
        f'<div {XHTML}><a href="javascript:x()">x</a></div>',
        f'<div {XHTML}><a href=" java&#x0A;script:x()">x</a></div>',
        f'<div {XHTML}><a href="&#1;javascript:x()">x</a></div>',
        f'<div {XHTML}><a href="JAVASCRIPT:x()">x</a></div>',
        f'<div {XHTML}><a href="data:text/html,x">x</a></div>',
        f'<div {XHTML}><img src="data:image/svg+xml,x"/>x</div>',
        f'<div {XHTML}><b style="width: expression(x())">x</b></div>',
        f'<div {XHTML}><b style="background: url(javascript:x)">x</b></div>',
        f'<div {XHTML} xmlns:x="http://www.w3.org/1999/xlink" x:href="a">x</div>',
        f"<?xml-stylesheet href='a'?><div {XHTML}>x</div>",
        f'<!DOCTYPE div [<!ENTITY a "x">]><div {XHTML}>&a;</div>',
        f'<!DOCTYPE div SYSTEM "file:///etc/passwd"><div {XHTML}>x</div>',
    ],
)
def test_a_narrative_that_is_not_one_or_would_run_is_refused(div: str) -> None:
    assert narrative(div) == [("value", "Basic.text.div")]


def test_all_faults_are_told_at_once_in_document_order() -> None:
    resource = parse(PATIENT.encode(), max_depth=9)
    resource["gender"] = "x"
    resource["name"].append({"given": [""], "use": "y"})
    resource["contact"][0]["phone"] = "z"
    assert [each.expression[0] for each in validate(resource)] == [
        "Patient.name[1].given[0]",
        "Patient.name[1].use",
        "Patient.contact[0].phone",
        "Patient.gender",
    ]


def test_the_number_of_issues_is_bounded() -> None:
    resource = parse(PATIENT.encode(), max_depth=9)
    resource["name"] = [{} for _ in range(1000)]
    assert len(validate(resource)) == MAX_ISSUES


def test_another_type_than_the_address_names_is_refused() -> None:
    resource = parse(PATIENT.encode(), max_depth=9)
    assert validate(resource, expected_type="Patient") == []
    assert [each.expression for each in validate(resource, expected_type="Person")] == [
        ("resourceType",)
    ]


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Foo"}, {"resourceType": 1}])
def test_a_tree_without_a_resource_type_is_refused(resource: dict[str, Any]) -> None:
    assert [each.code for each in validate(resource)] == [IssueCode.STRUCTURE]


def test_no_issue_repeats_a_value() -> None:
    secret = "Secretname"
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": secret + "_",
        "gender": secret,
        "birthDate": secret,
        "active": secret,
        "name": secret,
        "photo": [{"contentType": secret, "data": secret + "!"}],
        "generalPractitioner": [{"reference": secret}, {"reference": f"#{secret}"}],
        "managingOrganization": {"reference": f"{secret}/1"},
        "text": {"status": secret, "div": secret},
        "extension": [{"url": secret + " x", "valueInteger": secret}],
        secret: secret,
        f"{secret} x": secret,
    }
    found = validate(resource)
    assert len(found) >= 13
    for issue in found:
        assert secret not in issue.diagnostics + "".join(issue.expression)


def test_validation_changes_nothing() -> None:
    resource = parse(OBSERVATION.encode(), max_depth=9)
    before = copy.deepcopy(resource)
    validate(resource)
    assert resource == before


def test_the_deepest_text_that_can_be_parsed_is_validated() -> None:
    # Identifier.assigner.identifier.assigner …: a recursion by objects alone.
    chain = '{"display":"x"}'
    for _ in range(98):
        chain = f'{{"identifier":{{"assigner":{chain}}}}}'
    text = f'{{"resourceType":"Patient","managingOrganization":{chain}}}'
    assert validate(parse(text.encode(), max_depth=200)) == []
