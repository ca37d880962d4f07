"""
The deployment file: who the people are, which rooms there are, and where targets live.

It is the allow-list of everything a runbook may name. Decides whose an account is and whether a runbook asks
for something that is not listed; opens nothing, and knows no kind of target beyond its key and its secrets.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import rfc8785
from pydantic import AfterValidator, Field, ValidationError

from bot.core.codes import Code, near
from bot.core.errors import Finding, RunbookRefused
from bot.core.marked_yaml import Marks, Node, Path, nowhere, read
from bot.core.model import Value
from bot.core.parameters import Kinds, Parameters
from bot.core.runbook import Id, Runbook
from bot.core.schema_faults import report_faults

_SECRETS = ("password", "token", "secret", "api_key")
#: How a secret is named by reference: `password_env: NAME` stands for `password`.
_BY_REFERENCE = {f"{name}_env": name for name in _SECRETS}
_CHANNEL = re.compile(r"[CDG][A-Z0-9]+")


def _spelled(pattern: str, example: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f'"{text[:60]}" is not spelled as one: write it like {example}')
        return text

    return AfterValidator(check)


SlackAccount = Annotated[str, _spelled(r"[TE][A-Z0-9]+/[UW][A-Z0-9]+", "T012AB3CD/U045EF6GH (workspace, then user)")]
RoomAccount = Annotated[str, _spelled(r"[UW][A-Z0-9]+", "U0LEAD")]
OsAccount = Annotated[str, _spelled(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}", "ana")]
Phone = Annotated[str, _spelled(r"\+[1-9]\d{6,14}", '"+447700900123", in quotes')]
Channel = Annotated[str, _spelled(_CHANNEL.pattern, "C0CUTOVER, the channel's id")]
Section = Annotated[str, Field(pattern=r"^[a-z]+$")]
TargetKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
#: What runbooks may call, by section and key: `targets["sip"]["mno-a"]["host"]`.
Targets = Mapping[Section, Mapping[TargetKey, Mapping[str, Any]]]


class Person(Value):
    """One person with every account that is theirs."""

    name: str = Field(min_length=1)
    slack: tuple[SlackAccount, ...] = ()
    room: tuple[RoomAccount, ...] = ()
    os: tuple[OsAccount, ...] = ()
    phone: Phone | None = None

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account as the ledger writes it: `slack:T1/U1`, `room:U1`, `os:ana`."""
        doors = (("slack", self.slack), ("room", self.room), ("os", self.os))
        return tuple(f"{door}:{account}" for door, accounts in doors for account in accounts)


class Room(Value):
    """One place where messages go."""

    channel: Channel


class Deployment(Value):
    """A deployment file, read."""

    deployment: Id
    migration: Id = "wave-1"
    people: Mapping[Id, Person]
    rooms: Mapping[Id, Room] = Field(default_factory=dict)
    targets: Targets = Field(default_factory=dict)

    def person_of(self, account: str) -> str | None:
        """Return whose account `slack:T1/U1`, `room:U1` or `os:ana` is, or None for anybody not listed."""
        return next((key for key, person in self.people.items() if account in person.accounts), None)

    def names(self) -> Mapping[str, str]:
        """Return the display name of each person by key."""
        return {key: person.name for key, person in self.people.items()}

    def channel_of(self, place: str) -> str:
        """Return the channel id that *place* means: a key of `rooms`, or a channel id itself."""
        room = self.rooms.get(place)
        return room.channel if room is not None else place

    def fingerprints(self, names: tuple[str, ...] | frozenset[str]) -> Mapping[str, str]:
        """
        Return the SHA-256 of each named entry, `http.npdb` or `people.ana`; unknown names are left out.

        A secret written out does not enter it: a digest of a short password in a ledger would give it away.
        """
        prints: dict[str, str] = {}
        for name in sorted(names):
            entry = self._entry(name)
            if entry is not None:
                prints[name] = hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
        return prints

    def _entry(self, name: str) -> dict[str, Any] | None:
        section, _, key = name.partition(".")
        if section == "people":
            return self.people[key].model_dump(mode="json") if key in self.people else None
        target = self.targets.get(section, {}).get(key)
        if target is None:
            return None
        return {
            field: "literal" if field in _SECRETS and isinstance(value, str) else value
            for field, value in target.items()
        }


def parse_deployment(data: bytes, place: str) -> Deployment:
    """Return the deployment in *data*. Raise RunbookRefused with everything that is wrong."""
    marks = read(data, place)
    deployment: Deployment | None = None
    try:
        deployment = Deployment.model_validate_json(marks.root.as_json(), strict=True)
    except ValidationError as error:
        report_faults(marks, (), Deployment, error)
    _check_accounts(marks)
    _check_secrets(marks)
    marks.refuse_if_any()
    assert deployment is not None  # noqa: S101 - without a finding there is a deployment
    return deployment.model_copy(update={"targets": _by_reference(deployment.targets)})


def _check_accounts(marks: Marks) -> None:
    owners: dict[str, tuple[str, int]] = {}
    people = marks.root.at("people")
    for key, person in people.pairs() if people is not None else ():
        for door in ("slack", "room", "os"):
            for item in person.sequence(door):
                account = f"{door}:{item.raw}"
                if account in owners:
                    owner, line = owners[account]
                    message = f"{account} is listed for {owner} already (line {line}). One account is one person: remove it here."
                    marks.report(item, Code.ACCOUNT_TWICE, message)
                owners.setdefault(account, (key, item.line))


def _check_secrets(marks: Marks) -> None:
    # No finding repeats the value: it is a secret, and findings end up in logs and channels.
    for section, key, target in _targets(marks.root):
        for name, (at, value) in (target.entries or {}).items():
            if name in _BY_REFERENCE:
                if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value.raw):
                    message = f"{name} names an environment variable, in capitals, like {_variable(key, _BY_REFERENCE[name])}."
                    marks.report(value, Code.BAD_NAME, message)
            elif name in _SECRETS and value.raw and not _is_loopback(target):
                message = f"a secret is written out for {section}.{key}. Name an environment variable: {name}_env: "
                marks.report(at, Code.LITERAL_SECRET, message + _variable(key, name))
            elif name == "url" and "@" in value.raw.partition("://")[2].partition("/")[0]:
                message = f"a password stands in the address of {section}.{key}. Take it out, and name an environment variable: "
                marks.report(value, Code.LITERAL_SECRET, f"{message}token_env: {_variable(key, 'token')}")


def _variable(key: str, name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", f"{key}_{name}".upper())


def _targets(root: Node) -> Iterator[tuple[str, str, Node]]:
    sections = root.at("targets")
    for section, entries in sections.pairs() if sections is not None else ():
        for key, target in entries.pairs():
            yield section, key, target


def _is_loopback(target: Node) -> bool:
    host = target.text("host")
    try:
        host = host if host is not None else urlsplit(target.text("url") or "").hostname
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _by_reference(targets: Targets) -> Targets:
    """Return *targets* with `password_env: NAME` as `password: {env: NAME}`, the one form that probes read."""
    return {
        section: {key: dict(_referred(target)) for key, target in entries.items()}
        for section, entries in targets.items()
    }


def _referred(target: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in target.items():
        yield (_BY_REFERENCE[name], {"env": value}) if name in _BY_REFERENCE else (name, value)


def named_entries(runbook: Runbook, kinds: Kinds) -> frozenset[str]:
    """Return the deployment entries that *runbook* names, as `fingerprints` takes them."""
    people = {f"people.{person}" for role in runbook.roles.values() for person in role.everyone}
    return frozenset(people | {f"{section}.{key}" for _, section, key in _wanted_targets(runbook, kinds)})


def missing_targets(
    runbook: Runbook, kinds: Kinds, deployment: Deployment, marks: Marks | None = None
) -> tuple[Finding, ...]:
    """Return what *runbook* names and *deployment* does not list: targets, people and rooms."""
    report = nowhere(runbook.runbook) if marks is None else marks
    before = len(report.findings)
    for path, section, key in _wanted_targets(runbook, kinds):
        listed = deployment.targets.get(section, {})
        if key not in listed:
            message = (
                f'no target {section}.{key or "(no key)"} in deployment "{deployment.deployment}". {near(key, listed)}'
            )
            report.report(_where(report.node(path), key), Code.NO_SUCH_TARGET, message)
    for name, role in runbook.roles.items():
        for person in role.everyone:
            if person not in deployment.people:
                _report_person(report, name, person, deployment)
    for index, digest in enumerate(runbook.digests):
        channel = digest.to.channel
        if channel not in deployment.rooms and not _CHANNEL.fullmatch(channel):
            message = f'no room "{channel}" in deployment "{deployment.deployment}". {near(channel, deployment.rooms)}'
            report.report_at(("digests", index, "to", "channel"), Code.NO_SUCH_ROOM, message)
    return tuple(report.findings[before:])


def refuse_missing(runbook: Runbook, kinds: Kinds, deployment: Deployment, marks: Marks | None = None) -> None:
    """Raise RunbookRefused if *runbook* names something that *deployment* does not list."""
    findings = missing_targets(runbook, kinds, deployment, marks)
    if findings:
        raise RunbookRefused(findings)


def _where(node: Node, key: str) -> Node:
    """Return where *key* is written below *node*, so that each missing target has its own place."""
    below = [*(value for _, value in node.pairs()), *(node.items or ())]
    found = (_where(value, key) for value in below)
    written = (place for place in found if place.raw == key and not place.entries)
    return node if node.raw == key else next(written, node)


def _report_person(report: Marks, role: str, person: str, deployment: Deployment) -> None:
    path: Path = ("roles", role)
    for part in ("people", "deputies"):
        for item in report.node(path).sequence(part):
            if item.raw == person:
                path = (*path, part, report.node((*path, part)).plain.index(person))
                break
    message = f'no person "{person}" in deployment "{deployment.deployment}". {near(person, deployment.people)}'
    report.report_at(path, Code.NO_SUCH_PERSON, message)


def _wanted_targets(runbook: Runbook, kinds: Kinds) -> Iterator[tuple[Path, str, str]]:
    for index, check in enumerate(runbook.checks):
        model = kinds.get(check.kind)
        parameters = model.model_validate(dict(check.with_)) if model is not None else None
        if isinstance(parameters, Parameters):
            wanted = dict.fromkeys(pair for cell in check.all_cells() for pair in parameters.targets(cell))
            for section, key in wanted:
                yield ("checks", index), section, key
    for part, steps in (("steps", runbook.steps), ("rollback", runbook.rollback)):
        for index, step in enumerate(steps):
            if step.do is not None:
                yield (part, index, "do", "http", "post"), "http", step.do.http.target
