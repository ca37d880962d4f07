"""
The `http` check: one JSON endpoint, judged by its status, its time and typed conditions on its fields.

It serves every status that another system computes (reconciliation, readiness, sync lag). It decides whether
the figure is within its limit; it knows nothing of what the figure means. Conditions are data, never
expressions.
"""

import asyncio
import math
from collections.abc import Mapping
from time import perf_counter
from typing import Annotated, Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

import httpx
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.targets import HttpEndpoint, secret, target
from checks.units import Duration, limit, said

Figure = bool | float | str


class Condition(BaseModel):
    """One field of the answer (`a.b`, or `a.0.b` into a list) and exactly one demand on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    equals: StrictBool | StrictInt | StrictFloat | StrictStr | None = None
    at_most: StrictInt | StrictFloat | None = None
    at_least: StrictInt | StrictFloat | None = None
    is_true: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_demand(self) -> Self:
        demands = (self.equals, self.at_most, self.at_least, self.is_true)
        if sum(demand is not None for demand in demands) != 1:
            raise ValueError("give exactly one of equals, at_most, at_least, is_true")
        return self

    def demand(self) -> str:
        """Return the demand as words."""
        if self.is_true:
            return "must be true"
        if self.equals is not None:
            return f"must be {_shown(self.equals)}"
        return f"limit at most {self.at_most:g}" if self.at_most is not None else f"limit at least {self.at_least:g}"

    def holds(self, found: Figure) -> bool:
        """Return whether *found* meets the demand; a figure of another type is a broken probe, not a failure."""
        if self.is_true:
            return _typed(self.field, found, bool, "true or false") is True
        if self.equals is not None:
            return _same(self.equals, found)
        number = float(_typed(self.field, found, float, "a number"))
        if math.isnan(number):
            raise NotMeasured(f"the field {self.field} is not a number")
        return number <= self.at_most if self.at_most is not None else number >= (self.at_least or 0)


class HttpParams(Params):
    """`with:` of an http check. One condition may stand flat (`field`, `at_most`, ...), more go in `all_of`."""

    target: str  #: a key of targets.http
    path: Annotated[str, Field(pattern=r"^(/\S*)?$")] = ""
    within: Annotated[Duration, Field(gt=0)] = 5.0
    status: Annotated[int, Field(ge=100, le=599)] = 200
    field: str | None = None
    equals: StrictBool | StrictInt | StrictFloat | StrictStr | None = None
    at_most: StrictInt | StrictFloat | None = None
    at_least: StrictInt | StrictFloat | None = None
    is_true: Literal[True] | None = None
    all_of: tuple[Condition, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.conditions()
        return self

    def conditions(self) -> tuple[Condition, ...]:
        """Return every condition, the flat one first."""
        demands = {"equals": self.equals, "at_most": self.at_most, "at_least": self.at_least, "is_true": self.is_true}
        given = {name: value for name, value in demands.items() if value is not None}
        if self.field is None:
            if given:
                raise ValueError(f"{', '.join(given)} needs a field")
            return self.all_of
        return (Condition.model_validate({"field": self.field, **given}), *self.all_of)

    def service_limit_s(self) -> float:
        return self.within

    def targets(self, cell: Cell) -> tuple[tuple[str, str], ...]:  # noqa: ARG002 - the endpoint is the same for every cell
        return (("http", self.target),)


class HttpCheck:
    """Ask one endpoint once."""

    KIND: ClassVar[str] = "http"
    Params: ClassVar[type[Params]] = HttpParams

    # One pool per event loop: a TLS context and a connection per probe would cost more than the probe.
    _clients: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]] = WeakKeyDictionary()

    def __init__(self, params: HttpParams) -> None:
        self.params = params

    @classmethod
    async def close(cls) -> None:
        """Close the pool of the running loop."""
        client = cls._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def take(self, cell: Cell, targets: Targets, deadline: float) -> Measured:  # noqa: ARG002 - one endpoint, own limit
        endpoint = target(targets, "http", self.params.target, HttpEndpoint)
        began = perf_counter()
        try:
            async with asyncio.timeout(self.params.within):
                answer = await self._ask(endpoint)
        except (TimeoutError, httpx.TimeoutException):
            return Measured(
                outcome=Outcome.FAIL,
                metrics={"http_response_time_s": perf_counter() - began},
                detail=f"no answer in {limit(self.params.within)}, limit {limit(self.params.within)} ({self.params.target})",
            )
        except httpx.TransportError as error:
            raise NotMeasured(f"{self.params.target} cannot be reached: {_cause(error)}") from error
        return self._judge(answer, perf_counter() - began)

    async def _ask(self, endpoint: HttpEndpoint) -> httpx.Response:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=32)
            client = self._clients[loop] = httpx.AsyncClient(trust_env=False, limits=limits, timeout=None)  # noqa: S113 - take() bounds it
        token = secret(endpoint.token)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await client.get(endpoint.url + self.params.path, headers=headers)

    def _judge(self, answer: httpx.Response, took: float) -> Measured:
        metrics = {"http_response_time_s": took}
        evidence = {"http_status": str(answer.status_code)}
        if answer.status_code != self.params.status:
            said_status = f"HTTP {answer.status_code}, must be {self.params.status} ({self.params.target})"
            return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=said_status)
        conditions = self.params.conditions()
        figures = _figures(answer, conditions, self.params.target) if conditions else []
        for condition, figure in zip(conditions, figures, strict=True):
            evidence[condition.field] = _shown(figure)
            if not isinstance(figure, str):
                metrics[condition.field.replace(".", "_")] = float(figure)
        broken = [
            _phrase(condition, figure)
            for condition, figure in zip(conditions, figures, strict=True)
            if not condition.holds(figure)
        ]
        if broken:
            detail = f"{'; '.join(broken)} ({self.params.target})"
            return Measured(outcome=Outcome.FAIL, metrics=metrics, evidence=evidence, detail=detail)
        kept = [_phrase(condition, figure) for condition, figure in zip(conditions, figures, strict=True)]
        time = f"answered in {said(took)}, limit {limit(self.params.within)}"
        detail = f"{'; '.join([*kept, time])} ({self.params.target})"
        return Measured(outcome=Outcome.PASS, metrics=metrics, evidence=evidence, detail=detail)


def _cause(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _figures(answer: httpx.Response, conditions: tuple[Condition, ...], name: str) -> list[Figure]:
    try:
        body = answer.json()
    except ValueError:
        raise NotMeasured(f"{name} answered something that is not JSON") from None
    return [_lookup(body, condition.field, name) for condition in conditions]


def _lookup(body: Any, field: str, name: str) -> Figure:
    found = body
    for part in field.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise NotMeasured(f"the answer of {name} has no field {field}")
    if isinstance(found, bool | int | float | str):
        return found
    raise NotMeasured(f"the field {field} of {name} holds no plain value")


def _typed(field: str, found: Figure, wanted: type[bool | float], words: str) -> Figure:
    fits = isinstance(found, bool) if wanted is bool else isinstance(found, int | float) and not isinstance(found, bool)
    if not fits:
        raise NotMeasured(f"the field {field} is {_shown(found)}, which is not {words}")
    return found


def _same(wanted: Figure, found: Figure) -> bool:
    # In Python True == 1; in a runbook they are two answers.
    return isinstance(wanted, bool) == isinstance(found, bool) and wanted == found


def _phrase(condition: Condition, found: Figure) -> str:
    return f"{condition.field} {_shown(found)}, {condition.demand()}"


def _shown(value: Figure) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)[:80]
