"""Whether a resource satisfies a profile, beyond what R4 itself asks.

`app.fhir_mappings.validate` has walked the resource before: types, R4's own cardinalities, bindings
and invariants are not repeated here. mustSupport is for systems, not for instances, and is ignored.

Neighbours: `elements` (the tree of rules), `slicing` (which slice a value is of), `agreement`.

Pinned: hl7.org/fhir/R4/profiling.html, hl7.org/fhir/R4/validation.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from app.errors import Issue, IssueCode
from app.fhir_mappings.faults import MAX_ISSUES, EnoughError, Path, expression
from app.fhir_mappings.fhirpath.environment import Environment
from app.fhir_mappings.fhirpath.items import Item, Property, Undecided, is_of_type, properties
from app.fhir_mappings.primitives import primitives
from app.fhir_mappings.profiles.agreement import follows, is_same, member_of
from app.fhir_mappings.profiles.definitions import Definitions
from app.fhir_mappings.profiles.elements import ElementRule, Profile, ProfileError, TypeRule
from app.fhir_mappings.profiles.slicing import Sight, slice_of
from app.fhir_mappings.reference_value import target_type
from app.fhir_mappings.registry import is_resource_type


def profile_issues(
    resource: dict[str, Any], url: str, definitions: Definitions, *, warnings: bool = False
) -> list[Issue]:
    """What keeps a resource from satisfying a profile; empty where it does.

    url: canonical, with or without version. warnings: also tell what should be better, and what
    could not be checked because a definition is not here. Never raises for what the resource is.
    """
    name = str(resource.get("resourceType"))
    where = (f"{name}.meta.profile",)
    if not is_resource_type(name):
        return []
    known = definitions.type_of(url)
    if known is None and not definitions.knows(url):
        what = "No such profile is known here, or none that this caller may see: load it first."
        return [Issue(IssueCode.NOT_FOUND, what, where)]
    if known != name and known not in ("Resource", "DomainResource"):
        what = f"The profile {url} is one of {known}: leave it out, or send that type."
        return [Issue(IssueCode.STRUCTURE, what, where)]
    try:
        checker = _Checker(resource, definitions, warnings=warnings)
        with suppress(EnoughError):
            checker.conform(Item(resource, name), url, (None, name, None))
    except ProfileError as error:
        return [Issue(IssueCode.PROCESSING, f"The profile cannot be used. {error}", where)]
    return checker.issues


class _Checker:
    """One pass; issues are collected, each once."""

    def __init__(
        self, resource: dict[str, Any], definitions: Definitions, *, warnings: bool
    ) -> None:
        self.issues: list[Issue] = []
        self._root = Item(resource, str(resource.get("resourceType")))
        self._resource = self._root
        self._definitions = definitions
        self._warnings = warnings
        self._profile: Profile | None = None
        self._running: set[tuple[int, str]] = set()
        self._sight = Sight(
            member_of=self._member_of,
            conforms=self._conforms,
            type_of=definitions.type_of,
            root=resource,
        )

    def conform(self, item: Item, url: str, path: Path) -> None:
        """Record what keeps a value from satisfying a profile and those that it builds on."""
        key = (id(item.value), url)
        if key in self._running:
            return  # a profile that asks for itself asks for nothing more
        profile = self._definitions.profile(url)
        if profile is None:
            if not self._definitions.knows(url):
                self._tell(f"The profile {url} is not known here, so it was not checked.", path)
            return
        if not is_of_type(item, profile.type):
            what = f"Send a {profile.type} here: the profile {url} asks for it."
            self._fault(IssueCode.STRUCTURE, what, path)
            return
        outer, self._profile = self._profile, profile
        resource = self._resource
        if is_resource_type(item.type):
            self._resource = item
        self._running.add(key)
        if profile.base is not None:
            if not self._definitions.knows(profile.base):
                raise ProfileError(
                    f"It has no snapshot, and its base {profile.base} is not known here: publish it "
                    "with a snapshot, or load the base."
                )
            self.conform(item, profile.base, path)
        self._value(profile.root, item, path)
        for reason_key in profile.not_enforced if self._warnings else ():
            self._tell(f"The invariant {reason_key} of {url} was not checked.", path)
        self._running.discard(key)
        self._profile, self._resource = outer, resource

    def _value(self, rule: ElementRule, item: Item, path: Path) -> None:
        """One value against one rule: types, fixed, pattern, binding, children, invariants."""
        if rule.name:
            self._types(rule, item, path)
        if rule.fixed is not None and not is_same(item.value, rule.fixed):
            self._fault(IssueCode.VALUE, f"Give the value that {self._of} fixes.", path)
        if rule.pattern is not None and not follows(item.value, rule.pattern):
            self._fault(
                IssueCode.VALUE, f"Give a value that holds the pattern of {self._of}.", path
            )
        if rule.binding is not None and rule.name:
            self._bound(rule, item, path)
        children = rule.children
        if not children and rule.content and self._profile:
            found = self._profile.find(rule.content)
            children = found.children if found else children
        for child in children.values():
            self._element(child, item, path)
        for invariant, compiled in rule.invariants:
            if invariant.severity != "error" and not self._warnings:
                continue
            environment = Environment(self._resource, self._root, item, self._member_of)
            if compiled.holds(environment) is False:
                what = f"{invariant.human.rstrip('. ')} ({invariant.key})."
                self._fault(IssueCode.INVARIANT, what, path, invariant.severity)

    def _element(self, rule: ElementRule, parent: Item, path: Path) -> None:
        element = (path, rule.name, None)
        self._counted(rule, list(_values(parent, rule.name, path)), element)

    def _counted(self, rule: ElementRule, values: list[tuple[Item, Path]], element: Path) -> None:
        """The values of an element or of a slice: how many, each one, and its slices."""
        what = f"the slice {rule.slice} of it" if rule.slice else "the element"
        if len(values) < rule.min:
            times = "" if rule.min == 1 else f" {rule.min} times at least"
            self._fault(IssueCode.REQUIRED, f"Give {what}{times}: {self._of} asks for it.", element)
        if rule.max is not None and len(values) > rule.max:
            most = f"Give {what} {rule.max} times at most" if rule.max else f"Leave out {what}"
            self._fault(IssueCode.STRUCTURE, f"{most}: {self._of} asks for it.", element)
        for item, path in values:
            self._value(rule, item, path)
        if not rule.slices:
            return
        sliced: dict[str, list[tuple[Item, Path]]] = {}
        for item, path in values:
            found = self._slice(rule, item)
            if found is not None:
                sliced.setdefault(found.id, []).append((item, path))
            elif rule.closed and rule.discriminators:
                self._fault(
                    IssueCode.STRUCTURE, f"Leave it out: {self._of} has no slice for it.", path
                )
        for each in rule.slices:
            self._counted(each, sliced.get(each.id, []), element)

    def _slice(self, rule: ElementRule, item: Item) -> ElementRule | None:
        try:
            return slice_of(rule, item, self._sight)
        except Undecided:
            return None

    def _types(self, rule: ElementRule, item: Item, path: Path) -> None:
        if not rule.types or item.type == "Resource":
            return
        allowed = [each for each in rule.types if _is_allowed(item, each.code)]
        if not allowed:
            if not any("." in each.code or each.code.startswith("http") for each in rule.types):
                names = ", ".join(each.code for each in rule.types)
                self._fault(
                    IssueCode.STRUCTURE, f"Use a type that {self._of} allows here: {names}.", path
                )
            return
        self._targets(allowed, item, path)
        urls = [url for each in allowed for url in each.profiles]
        if not urls or any(not each.profiles for each in allowed):
            return
        if len(urls) == 1:
            self.conform(item, urls[0], path)
        elif all(self._conforms(item, url) is False for url in urls):
            self._fault(
                IssueCode.STRUCTURE,
                f"Satisfy one of the profiles that {self._of} allows here: {', '.join(urls)}.",
                path,
            )

    def _targets(self, allowed: list[TypeRule], item: Item, path: Path) -> None:
        urls = [url for each in allowed for url in each.targets]
        if item.type != "Reference" or not urls or any(not each.targets for each in allowed):
            return
        names = {self._definitions.type_of(url) for url in urls}
        name = target_type(item.value, self._root.value) if type(item.value) is dict else None
        if name is None or None in names or name in names or "Resource" in names:
            return
        told = ", ".join(sorted(filter(None, names)))
        self._fault(
            IssueCode.VALUE, f"Refer to one of the types that {self._of} allows here: {told}.", path
        )

    def _bound(self, rule: ElementRule, item: Item, path: Path) -> None:
        binding = rule.binding
        if binding is None or binding.strength not in ("required", "extensible"):
            return
        holds = self._member_of(item, binding.value_set)
        if holds is True:
            return
        if holds is None:
            self._tell(
                f"The value set {binding.value_set}, or a part of it, is not known here: the code "
                "was not checked.",
                path,
            )
        elif binding.strength == "required":
            self._fault(
                IssueCode.CODE_INVALID,
                f"Use a code of the value set {binding.value_set}, as {self._of} requires.",
                path,
            )
        elif self._warnings:
            self._fault(
                IssueCode.CODE_INVALID,
                f"Use a code of the value set {binding.value_set} if one fits: {self._of} asks for "
                "it.",
                path,
                "warning",
            )

    def _member_of(self, item: Item, url: str) -> bool | None:
        return member_of(self._definitions.terminology, item, url.partition("|")[0])

    def _conforms(self, item: Item, url: str) -> bool | None:
        """Whether a value satisfies a profile, without recording what keeps it from it."""
        if not self._definitions.knows(url):
            return None
        silent = _Checker(self._root.value, self._definitions, warnings=False)
        silent._running = set(self._running)
        with suppress(EnoughError):
            silent.conform(item, url, (None, "", None))
        return not silent.issues

    @property
    def _of(self) -> str:
        return f"the profile {self._profile.url}" if self._profile else "the profile"

    def _fault(self, code: IssueCode, what: str, path: Path, severity: str = "error") -> None:
        issue = Issue(code, what, (expression(path),), severity)
        if issue not in self.issues:
            self.issues.append(issue)
        if len(self.issues) >= MAX_ISSUES:
            raise EnoughError

    def _tell(self, what: str, path: Path) -> None:
        if self._warnings:
            self._fault(IssueCode.INFORMATIONAL, what, path, "information")


def _is_allowed(item: Item, code: str) -> bool:
    """Of a choice, exactly the type: a code is no string here, though it specializes string."""
    if not code or item.type == code:
        return True
    return item.type not in primitives() and is_of_type(item, code)


def _values(parent: Item, name: str, path: Path) -> Iterator[tuple[Item, Path]]:
    """The values of an element with their paths; values of the wrong JSON type are left out."""
    node, type_name = parent.value, parent.type
    if type(node) is not dict:
        node, type_name = parent.sibling, "Element"
        if type(node) is not dict:
            return
    known = properties(type_name)
    ways = known.get(name) or _by_key(known, name)
    for way in ways:
        value, sibling = node.get(way.key), node.get(way.sibling) if way.primitive else None
        if type(value) is list or type(sibling) is list:
            values = value if type(value) is list else []
            siblings = sibling if type(sibling) is list else []
            for index in range(max(len(values), len(siblings))):
                one = values[index] if index < len(values) else None
                other = siblings[index] if index < len(siblings) else None
                yield from _value(way, one, other, (path, name, index))
        else:
            yield from _value(way, value, sibling, (path, name, None))


def _value(way: Property, value: Any, sibling: Any, path: Path) -> Iterator[tuple[Item, Path]]:
    if way.primitive:
        other = sibling if type(sibling) is dict else None
        if type(value) not in (dict, list) and (value is not None or other is not None):
            yield Item(value, way.type, other), path
    elif type(value) is dict:
        name = way.type
        stated = value.get("resourceType")
        if name == "Resource" and type(stated) is str and is_resource_type(stated):
            name = stated
        yield Item(value, name), path


def _by_key(known: Any, key: str) -> tuple[Property, ...]:
    """A choice element by the name of one of its properties, as older profiles write it."""
    return tuple(each for ways in known.values() for each in ways if each.key == key)
