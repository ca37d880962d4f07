"""
The `http` check: one JSON endpoint, judged by its status, its time and typed conditions on its fields.

It serves every status that another system computes (reconciliation, readiness, sync lag). It decides whether
the figure is within its limit; it knows nothing of what the figure means.
"""

import asyncio
import json
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

import aiohttp
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from bot.core.model import Cell, Outcome
from checks import Measured, NotMeasured, Params, Targets
from checks.conditions import Condition, Figure, lookup, phrase, shown
from checks.targets import HttpEndpoint, secret, target
from checks.units import Duration, limit, said

_AT_ONCE = 16  #: requests in flight per endpoint
_LONGEST_ANSWER = 1 << 20


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


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class _Pool:
    """The connections of one event loop, and the turns to use them."""

    def __init__(self) -> None:
        # Cookies of one probe must not reach the next; limits are take()'s own.
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._turns: dict[str, asyncio.Semaphore] = {}

    def turn(self, url: str) -> asyncio.Semaphore:
        """Return the turns of one endpoint: one that hangs must not hold up the others."""
        return self._turns.setdefault(url, asyncio.Semaphore(_AT_ONCE))


class HttpCheck:
    """Ask one endpoint once."""

    KIND: ClassVar[str] = "http"
    Params: ClassVar[type[Params]] = HttpParams

    # One pool per event loop: a TLS context and a connection per probe would cost more than the probe.
    _pools: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]] = WeakKeyDictionary()

    def __init__(self, params: HttpParams) -> None:
        self.params = params

    @classmethod
    async def close(cls) -> None:
        """Close the pool of the running loop."""
        pool = cls._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.session.close()

    async def take(self, _cell: Cell, targets: Targets, _deadline: float) -> Measured:
        name, allowed = self.params.target, self.params.within
        endpoint = target(targets, "http", name, HttpEndpoint)
        pool = self._pool()
        # The clock starts when it is our turn: a queue in this worker says nothing about the service.
        async with pool.turn(endpoint.url):
            began = perf_counter()
            try:
                async with asyncio.timeout(allowed):
                    answer = await self._ask(pool.session, endpoint)
            except TimeoutError:
                metrics = {"http_response_time_s": perf_counter() - began}
                detail = f"no answer in {limit(allowed)}, limit {limit(allowed)} ({name})"
                return Measured(outcome=Outcome.FAIL, metrics=metrics, detail=detail)
            except (aiohttp.ClientError, OSError) as error:
                raise NotMeasured(f"{name} cannot be reached: {str(error) or type(error).__name__}") from error
            return self._judge(answer, perf_counter() - began)

    async def _ask(self, session: aiohttp.ClientSession, endpoint: HttpEndpoint) -> _Answer:
        token = secret(endpoint.token)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with session.get(endpoint.url + self.params.path, headers=headers, allow_redirects=False) as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > _LONGEST_ANSWER:
                    raise NotMeasured(f"the answer of {self.params.target} is longer than {_LONGEST_ANSWER} bytes")
            return _Answer(answer.status, bytes(body))

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _Pool()
        return pool

    def _judge(self, answer: _Answer, took: float) -> Measured:
        name = self.params.target
        metrics, evidence = {"http_response_time_s": took}, {"http_status": str(answer.status)}

        def verdict(outcome: Outcome, sentence: str) -> Measured:
            return Measured(outcome=outcome, metrics=metrics, evidence=evidence, detail=f"{sentence} ({name})")

        if answer.status != self.params.status:
            return verdict(Outcome.FAIL, f"HTTP {answer.status}, must be {self.params.status}")
        conditions = self.params.conditions()
        figures = _figures(answer.body, conditions, name) if conditions else []
        for condition, figure in zip(conditions, figures, strict=True):
            evidence[condition.field] = shown(figure)
            if not isinstance(figure, str):
                metrics[condition.field.replace(".", "_")] = float(figure)
        judged = [
            (condition.holds(figure), phrase(condition, figure))
            for condition, figure in zip(conditions, figures, strict=True)
        ]
        broken = [words for holds, words in judged if not holds]
        if broken:
            return verdict(Outcome.FAIL, "; ".join(broken))
        time = f"answered in {said(took)}, limit {limit(self.params.within)}"
        return verdict(Outcome.PASS, "; ".join([*(words for _, words in judged), time]))


def _figures(body: bytes, conditions: tuple[Condition, ...], name: str) -> list[Figure]:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        raise NotMeasured(f"{name} answered something that is not JSON") from None
    return [lookup(answer, condition.field, name) for condition in conditions]
