"""R4's invariants: what breaks each is refused with its key, at its place; the rest is listed."""

from __future__ import annotations

from typing import Any

import pytest

from app.fhir_mappings.json_text import parse
from app.fhir_mappings.structure import (
    definition,
    invariants,
    invariants_elsewhere,
    invariants_not_enforced,
    type_names,
)
from app.fhir_mappings.validate import validate

_SYSTEM = "http://terminology.hl7.org/CodeSystem"
ENTERED_IN_ERROR = (
    f'{{"coding":[{{"system":"{_SYSTEM}/condition-ver-status","code":"entered-in-error"}}]}}'
)
ACTIVE = f'{{"coding":[{{"system":"{_SYSTEM}/condition-clinical","code":"active"}}]}}'
RESOLVED = f'{{"coding":[{{"system":"{_SYSTEM}/condition-clinical","code":"resolved"}}]}}'
CODE = '"code":{"coding":[{"system":"http://loinc.org","code":"1"}]}'
SUBJECT = '"subject":{"reference":"Patient/a"}'
TASK = '"resourceType":"Task","status":"requested","intent":"order"'
QUESTIONNAIRE = '"resourceType":"Questionnaire","status":"active"'
GOAL = f'"resourceType":"Goal","lifecycleStatus":"active","description":{{"text":"x"}},{SUBJECT}'
OBSERVATION = f'"resourceType":"Observation","status":"final",{CODE}'
SERVICE_REQUEST = f'"resourceType":"ServiceRequest","status":"active","intent":"order",{SUBJECT}'

CONSENT = (
    f'"scope":{{"coding":[{{"system":"{_SYSTEM}/consentscope","code":"patient-privacy"}}]}},'
    '"category":[{"text":"x"}],"policy":[{"uri":"http://a"}]'
)


def broken(members: str, *, warnings: bool = False) -> list[tuple[str, str, str]]:
    """(key, expression, severity) of each broken invariant."""
    found = validate(parse(f"{{{members}}}".encode(), max_depth=50), warnings=warnings)
    assert {each.code.value for each in found} <= {"invariant"}, found
    return [
        (each.diagnostics.rpartition("(")[2].removesuffix(")."), each.expression[0], each.severity)
        for each in found
    ]


def item(members: str) -> str:
    return f'{QUESTIONNAIRE},"item":[{{"linkId":"a",{members}}}]'


@pytest.mark.parametrize(
    ("good", "bad", "key", "expression"),
    [
        # data types
        (
            f'{OBSERVATION},"effectivePeriod":{{"start":"2020","end":"2020-05"}}',
            f'{OBSERVATION},"effectivePeriod":{{"start":"2020-06","end":"2020-05"}}',
            "per-1",
            "Observation.effective",
        ),
        (
            f'{OBSERVATION},"valueRange":{{"low":{{"value":1}},"high":{{"value":2}}}}',
            f'{OBSERVATION},"valueRange":{{"low":{{"value":3}},"high":{{"value":2}}}}',
            "rng-2",
            "Observation.value",
        ),
        (
            f'{OBSERVATION},"valueQuantity":{{"value":1,"code":"mg","system":"http://u"}}',
            f'{OBSERVATION},"valueQuantity":{{"value":1,"code":"mg"}}',
            "qty-3",
            "Observation.value",
        ),
        (
            f'{OBSERVATION},"valueRatio":{{"numerator":{{"value":1}},"denominator":{{"value":1}}}}',
            f'{OBSERVATION},"valueRatio":{{"numerator":{{"value":1}}}}',
            "rat-1",
            "Observation.value",
        ),
        (
            f'{SERVICE_REQUEST},"occurrenceTiming":{{"repeat":{{"offset":5,"when":["ACM"]}}}}',
            f'{SERVICE_REQUEST},"occurrenceTiming":{{"repeat":{{"offset":5,"when":["C"]}}}}',
            "tim-9",
            "ServiceRequest.occurrence.repeat",
        ),
        (
            f'{SERVICE_REQUEST},"occurrenceTiming":{{"repeat":{{"period":1,"periodUnit":"d"}}}}',
            f'{SERVICE_REQUEST},"occurrenceTiming":{{"repeat":{{"period":-1,"periodUnit":"d"}}}}',
            "tim-5",
            "ServiceRequest.occurrence.repeat",
        ),
        (
            '"resourceType":"Patient","telecom":[{"system":"phone","value":"1"}]',
            '"resourceType":"Patient","telecom":[{"value":"1"}]',
            "cpt-2",
            "Patient.telecom[0]",
        ),
        # resources of the care domain
        (
            f'{OBSERVATION},"valueInteger":1,"component":[{{"code":{{"text":"y"}}}}]',
            f'{OBSERVATION},"valueInteger":1,"component":[{{{CODE}}}]',
            "obs-7",
            "Observation",
        ),
        (
            f'{OBSERVATION},"dataAbsentReason":{{"text":"x"}}',
            f'{OBSERVATION},"valueInteger":1,"dataAbsentReason":{{"text":"x"}}',
            "obs-6",
            "Observation",
        ),
        (
            (
                f'"resourceType":"Condition",{SUBJECT},"abatementString":"x",'
                f'"clinicalStatus":{RESOLVED}'
            ),
            f'"resourceType":"Condition",{SUBJECT},"abatementString":"x","clinicalStatus":{ACTIVE}',
            "con-4",
            "Condition",
        ),
        (
            f'"resourceType":"Condition",{SUBJECT},"verificationStatus":{ENTERED_IN_ERROR}',
            (
                f'"resourceType":"Condition",{SUBJECT},"verificationStatus":{ENTERED_IN_ERROR},'
                f'"clinicalStatus":{ACTIVE}'
            ),
            "con-5",
            "Condition",
        ),
        (
            f'{TASK},"authoredOn":"2020-01-01T10:00:00Z","lastModified":"2020-01-02T10:00:00Z"',
            f'{TASK},"authoredOn":"2020-01-03T10:00:00Z","lastModified":"2020-01-02T10:00:00Z"',
            "inv-1",
            "Task",
        ),
        (
            (
                '"resourceType":"CareTeam","participant":[{"member":{"reference":"Practitioner/1"},'
                '"onBehalfOf":{"reference":"Organization/1"}}]'
            ),
            (
                '"resourceType":"CareTeam","participant":[{"member":{"reference":"Patient/1"},'
                '"onBehalfOf":{"reference":"Organization/1"}}]'
            ),
            "ctm-1",
            "CareTeam.participant[0]",
        ),
        (
            f'{GOAL},"target":[{{"measure":{{"text":"x"}},"detailInteger":1}}]',
            f'{GOAL},"target":[{{"detailInteger":1}}]',
            "gol-1",
            "Goal.target[0]",
        ),
        (
            (
                '"resourceType":"Group","type":"person","actual":true,'
                '"member":[{"entity":{"reference":"Patient/1"}}]'
            ),
            (
                '"resourceType":"Group","type":"person","actual":false,'
                '"member":[{"entity":{"reference":"Patient/1"}}]'
            ),
            "grp-1",
            "Group",
        ),
        (
            '"resourceType":"Organization","name":"x","address":[{"use":"work","city":"y"}]',
            '"resourceType":"Organization","name":"x","address":[{"use":"home","city":"y"}]',
            "org-2",
            "Organization.address[0]",
        ),
        (
            (
                '"resourceType":"Appointment","status":"proposed",'
                '"participant":[{"status":"accepted","actor":{"reference":"Patient/1"}}]'
            ),
            (
                '"resourceType":"Appointment","status":"booked",'
                '"participant":[{"status":"accepted","actor":{"reference":"Patient/1"}}]'
            ),
            "app-3",
            "Appointment",
        ),
        (
            (
                '"resourceType":"RiskAssessment","status":"final",'
                f'{SUBJECT},"prediction":[{{"probabilityDecimal":0.5}}]'
            ),
            (
                '"resourceType":"RiskAssessment","status":"final",'
                f'{SUBJECT},"prediction":[{{"probabilityDecimal":101}}]'
            ),
            "ras-2",
            "RiskAssessment.prediction[0]",
        ),
        (
            (
                '"resourceType":"List","status":"current","mode":"changes",'
                '"entry":[{"item":{"display":"x"},"deleted":true}]'
            ),
            (
                '"resourceType":"List","status":"current","mode":"working",'
                '"entry":[{"item":{"display":"x"},"deleted":true}]'
            ),
            "lst-2",
            "List",
        ),
        (
            f'"resourceType":"Consent","status":"active",{CONSENT},"patient":{{"reference":"Patient/1"}}',
            f'"resourceType":"Consent","status":"active",{CONSENT}',
            "ppc-2",
            "Consent",
        ),
        # questionnaires
        (
            (
                f'{QUESTIONNAIRE},"item":[{{"linkId":"a","type":"string"}},'
                '{"linkId":"b","type":"string"}]'
            ),
            (
                f'{QUESTIONNAIRE},"item":[{{"linkId":"a","type":"string"}},'
                '{"linkId":"a","type":"string"}]'
            ),
            "que-2",
            "Questionnaire",
        ),
        (
            item('"type":"group","item":[{"linkId":"b","type":"string"}]'),
            item('"type":"group"'),
            "que-1",
            "Questionnaire.item[0]",
        ),
        (
            item('"type":"display"'),
            item('"type":"display","code":[{"code":"x"}]'),
            "que-3",
            "Questionnaire.item[0]",
        ),
        (
            item('"type":"choice","answerOption":[{"valueString":"x"}]'),
            item('"type":"boolean","answerOption":[{"valueString":"x"}]'),
            "que-5",
            "Questionnaire.item[0]",
        ),
        (
            item('"type":"string","maxLength":5'),
            item('"type":"choice","maxLength":5'),
            "que-10",
            "Questionnaire.item[0]",
        ),
        (
            item(
                '"type":"string","enableWhen":[{"question":"b","operator":"exists",'
                '"answerBoolean":true}]'
            ),
            item(
                '"type":"string","enableWhen":[{"question":"b","operator":"exists",'
                '"answerString":"x"}]'
            ),
            "que-7",
            "Questionnaire.item[0].enableWhen[0]",
        ),
        # Bundles and terminology
        (
            '"resourceType":"Bundle","type":"searchset","total":1',
            '"resourceType":"Bundle","type":"collection","total":1',
            "bdl-1",
            "Bundle",
        ),
        (
            (
                '"resourceType":"CodeSystem","status":"active","content":"complete",'
                '"concept":[{"code":"a","concept":[{"code":"b"}]}]'
            ),
            (
                '"resourceType":"CodeSystem","status":"active","content":"complete",'
                '"concept":[{"code":"a","concept":[{"code":"a"}]}]'
            ),
            "csd-1",
            "CodeSystem",
        ),
    ],
)
def test_what_breaks_an_invariant_is_refused_with_its_key(
    good: str, bad: str, key: str, expression: str
) -> None:
    assert broken(good) == []
    assert (key, expression, "error") in broken(bad)


def test_an_invariant_holds_inside_contained_resources_and_bundle_entries() -> None:
    period = '"effectivePeriod":{"start":"2021","end":"2020"}'
    contained = (
        f'"resourceType":"DiagnosticReport","status":"final",{CODE},"result":[{{"reference":"#o"}}],'
        f'"contained":[{{{OBSERVATION},"id":"o",{period}}}]'
    )
    assert broken(contained) == [("per-1", "DiagnosticReport.contained[0].effective", "error")]
    bundle = f'"resourceType":"Bundle","type":"collection","entry":[{{"resource":{{{OBSERVATION},{period}}}}}]'
    assert broken(bundle) == [("per-1", "Bundle.entry[0].resource.effective", "error")]


def test_dates_of_different_precision_that_may_agree_are_no_fault() -> None:
    period = '"effectivePeriod":{"start":"2020-03-05","end":"2020-03"}'
    assert broken(f"{OBSERVATION},{period}") == []


def test_best_practice_is_a_warning_and_only_where_it_is_asked_for() -> None:
    condition = (
        f'"resourceType":"Condition",{SUBJECT},'
        f'"category":[{{"coding":[{{"system":"{_SYSTEM}/condition-category",'
        '"code":"problem-list-item"}]}]'
    )
    assert broken(condition) == []
    assert broken(condition, warnings=True) == [
        ("con-3", "Condition", "warning"),
        ("dom-6", "Condition", "warning"),
    ]
    encounter = condition.replace("problem-list-item", "encounter-diagnosis")
    assert broken(encounter, warnings=True) == [("dom-6", "Condition", "warning")]
    named = f'{QUESTIONNAIRE},"name":"not a name"'
    assert ("que-0", "Questionnaire", "warning") in broken(named, warnings=True)


def test_faults_of_structure_do_not_keep_an_invariant_from_being_told() -> None:
    resource: dict[str, Any] = parse(f"{{{OBSERVATION}}}".encode(), max_depth=9)
    resource["effectivePeriod"] = {"start": "2021", "end": "2020", "extra": 1}
    resource["component"] = 3
    found = [(each.code.value, each.expression[0]) for each in validate(resource)]
    assert found == [
        ("structure", "Observation.effective.extra"),
        ("invariant", "Observation.effective"),
        ("structure", "Observation.component"),
    ]


def test_every_invariant_is_compiled_on_a_type_that_has_it() -> None:
    for name in type_names():
        for each in invariants(name):
            assert each.severity in ("error", "warning")
            assert each.expression


def test_what_is_checked_elsewhere_or_not_at_all_is_listed_with_the_reason() -> None:
    enforced = {each.key for name in type_names() for each in invariants(name)}
    assert enforced.isdisjoint(invariants_elsewhere())
    assert enforced.isdisjoint(invariants_not_enforced())
    assert set(invariants_elsewhere()) == {
        "dom-2", "dom-3", "dom-4", "dom-5", "ele-1", "ref-1", "txt-1", "txt-2"
    }  # fmt: skip
    assert len(invariants_not_enforced()) == 0, "the list only shrinks"


def test_an_invariant_on_an_element_is_known_by_its_slot() -> None:
    assert definition("Organization").slots["telecom"].path == "Organization.telecom"
    assert definition("Organization").slots["name"].path == ""


def test_the_deepest_text_that_can_be_parsed_does_not_exhaust_an_invariant() -> None:
    item = '{"linkId":"last","type":"string"}'
    concept = '{"code":"last"}'
    for level in range(97):
        item = f'{{"linkId":"{level}","type":"group","item":[{item}]}}'
        concept = f'{{"code":"{level}","concept":[{concept}]}}'
    nested = (
        f'{{{QUESTIONNAIRE},"item":[{item}]}}',
        f'{{"resourceType":"CodeSystem","status":"active","content":"complete","concept":[{concept}]}}',
    )
    for text in nested:
        assert validate(parse(text.encode(), max_depth=200)) == []
