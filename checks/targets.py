"""
The `targets:` of a deployment file: where each trunk, bind, address and site is.

Runbooks name a target by section and key and never hold an address. This file decides the shape of each
section and says what is wrong with one; it opens no connection. Passwords may be a reference,
`{env: SMSC_C_PASSWORD}`, which is looked up in the probe worker's environment at the moment of use, so that
they travel through no queue and no ledger.
"""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from bot.core.errors import SettingsRefused
from bot.core.model import Value
from checks import Targets

Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class FromEnvironment(Value):
    """A secret by reference: the name of an environment variable of the probe worker."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]


Secret = str | FromEnvironment


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a URL starts with http:// or https://")
    return url.rstrip("/")


class SipTrunk(Value):
    """The trunk of one origin network: calls placed here come from that network's subscribers."""

    host: Host
    port: Port = 5060
    transport: Literal["udp"] = "udp"
    username: str = ""  #: digest user, where the trunk asks for one
    password: Secret = ""


class SmppBind(Value):
    """One carrier's SMSC and the account we bind with."""

    host: Host
    port: Port = 2775
    system_id: Annotated[str, StringConstraints(min_length=1, max_length=15)]
    password: Secret
    system_type: Annotated[str, StringConstraints(max_length=12)] = ""
    source: Annotated[str, StringConstraints(min_length=1, max_length=20)] = "+447700900990"


class HttpEndpoint(Value):
    """The base address of one HTTP API; a check or a step adds its path."""

    url: Annotated[str, AfterValidator(_web)]
    token: Secret = ""  #: sent as a bearer token where it is set


class DnsResolver(Value):
    """A resolver as the subscribers of the network get it."""

    host: Host
    port: Port = 53


class DataSite(Value):
    """A site that a data session opens: its name is resolved, connected to, and asked for `path`."""

    host: Host
    port: Port = 80
    tls: bool = False
    ca_file: str = ""  #: a PEM file to trust instead of the system's
    path: Annotated[str, StringConstraints(pattern=r"^/\S*$")] = "/"
    resolver: Key | None = None  #: a key of `dns`; without it the probe's own resolver is used


class PromptRecording(Value):
    """The recording of one IVR prompt: raw 8 kHz u-law (`.ul`) or 8 kHz mono 16-bit WAV."""

    file: Annotated[str, StringConstraints(min_length=1)]


class DeploymentTargets(Value):
    """Every section of `targets:`."""

    sip: dict[Key, SipTrunk] = Field(default_factory=dict)
    smpp: dict[Key, SmppBind] = Field(default_factory=dict)
    http: dict[Key, HttpEndpoint] = Field(default_factory=dict)
    dns: dict[Key, DnsResolver] = Field(default_factory=dict)
    data: dict[Key, DataSite] = Field(default_factory=dict)
    prompts: dict[Key, PromptRecording] = Field(default_factory=dict)


Shape = TypeVar("Shape", bound=Value)


def parse_targets(raw: object) -> Targets:
    """
    Return the `targets:` of a deployment file with every default filled in, as plain data.

    Raises `SettingsRefused` with one line per fault: `targets.sip.mno-a.port: ...`.
    """
    try:
        book = DeploymentTargets.model_validate({} if raw is None else raw)
    except ValidationError as error:
        raise SettingsRefused("\n".join(_fault(fault) for fault in error.errors())) from None
    for key, site in book.data.items():
        if site.resolver is not None and site.resolver not in book.dns:
            raise SettingsRefused(
                f"targets.data.{key}.resolver: no resolver {site.resolver!r} under targets.dns{_near(site.resolver, book.dns)}"
            )
    targets: Targets = book.model_dump(mode="json")
    return targets


def target(targets: Targets, section: str, key: str, shape: type[Shape]) -> Shape:
    """Return the target *section*.*key* as a *shape*; the error says which keys there are."""
    entries = targets.get(section, {})
    if key not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise SettingsRefused(f"the deployment file has no target {section}.{key or '(empty)'}; it has: {known}")
    try:
        return shape.model_validate(entries[key])
    except ValidationError as error:
        raise SettingsRefused("; ".join(_fault(fault, (section, key)) for fault in error.errors())) from None


def secret(value: Secret) -> str:
    """Return the secret itself; look nowhere else than in this process's environment."""
    if isinstance(value, str):
        return value
    if value.env not in os.environ:
        raise SettingsRefused(f"the environment variable {value.env} is not set for the probe worker")
    return os.environ[value.env]


def _fault(fault: Mapping[str, Any], at: tuple[str, ...] = ()) -> str:
    loc = (*at, *(str(part) for part in fault["loc"]))
    hint = _near(loc[-1], _words(loc)) if fault["type"] == "extra_forbidden" and loc else ""
    message = "is not known here" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return f"{'.'.join(('targets', *loc))}: {message}{hint}"


def _words(loc: tuple[str, ...]) -> Mapping[str, object]:
    sections = DeploymentTargets.model_fields
    if len(loc) == 1:
        return sections
    shape = _SHAPES.get(loc[0])
    return shape.model_fields if shape else {}


def _near(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f". Did you mean {near[0]!r}?" if near else f"; known: {', '.join(known) or 'none'}"


_SHAPES: Mapping[str, type[Value]] = {
    "sip": SipTrunk,
    "smpp": SmppBind,
    "http": HttpEndpoint,
    "dns": DnsResolver,
    "data": DataSite,
    "prompts": PromptRecording,
}
