"""An http check: status, time and typed conditions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from bot.core.model import Cell, Outcome, Reading
from checks import close_all
from checks.carrier import Carrier
from checks.http import HttpParams

Take = Callable[..., Awaitable[Reading]]
pytestmark = pytest.mark.usefixtures("nothing_left")
CELL = Cell(service="reconciliation")


async def test_a_field_within_its_limit_passes_and_is_a_metric(carrier: Carrier, take: Take) -> None:
    reading = await take("http", CELL, carrier.targets, target="reconciliation", field="missing_left", at_most=0)

    assert reading.outcome is Outcome.PASS, reading.detail
    assert reading.detail.startswith("missing_left 0, limit at most 0; answered in ")
    assert reading.metrics["missing_left"] == 0
    assert 0 < reading.metrics["http_response_time_s"] < 5


async def test_every_broken_condition_is_in_the_sentence(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("reconciliation-drift")
    conditions = [
        {"field": "missing_right", "at_most": 0},
        {"field": "missing_left", "at_most": 0},
        {"field": "compared", "at_least": 5000},
    ]
    reading = await take("http", CELL, carrier.targets, target="reconciliation", all_of=conditions)

    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "missing_right 3, limit at most 0; compared 4997, limit at least 5000 (reconciliation)"
    assert reading.metrics["missing_right"] == 3


async def test_an_endpoint_that_hangs_fails_at_its_limit(carrier: Carrier, take: Take) -> None:
    carrier.set_fault("npdb-timeout")
    reading = await take("http", CELL, carrier.targets, target="npdb", path="/state", within="0.2s")

    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "no answer in 0.2 s, limit 0.2 s (npdb)"


async def test_a_wrong_status_fails(carrier: Carrier, take: Take) -> None:
    reading = await take("http", CELL, carrier.targets, target="npdb", path="/nothing-here")
    assert reading.outcome is Outcome.FAIL
    assert reading.detail == "HTTP 404, must be 200 (npdb)"


@pytest.mark.usefixtures("carrier")
async def test_an_endpoint_that_refuses_connections_is_not_measured(take: Take) -> None:
    reading = await take("http", CELL, {"http": {"gone": {"url": "http://127.0.0.1:1"}}}, target="gone")
    assert reading.outcome is Outcome.ERROR
    assert reading.detail.startswith("not measured: gone cannot be reached: ")


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"field": "nope", "at_most": 0}, "the answer of reconciliation has no field nope"),
        ({"field": "at", "at_most": 0}, "the field at is 2"),
        ({"field": "missing_left", "is_true": True}, "the field missing_left is 0, which is not true or false"),
    ],
)
async def test_a_field_that_cannot_be_judged_is_not_measured(
    carrier: Carrier, take: Take, condition: dict[str, Any], why: str
) -> None:
    reading = await take("http", CELL, carrier.targets, target="reconciliation", **condition)
    assert reading.outcome is Outcome.ERROR
    assert why in reading.detail


async def test_an_answer_that_is_not_json_is_not_measured(carrier: Carrier, take: Take) -> None:
    reading = await take("http", CELL, carrier.targets, target="portal", field="a", at_most=0)
    assert reading.outcome is Outcome.ERROR
    assert reading.detail == "not measured: portal answered something that is not JSON"


async def test_fields_are_found_in_nested_answers_and_lists(carrier: Carrier, take: Take) -> None:
    await carrier.activate()
    nested = await take("http", CELL, carrier.targets, target="npdb", path="/state", field="orders.0.ok", is_true=True)
    equal = await take("http", CELL, carrier.targets, target="npdb", path="/state", field="last", equals="port-back")

    assert nested.outcome is Outcome.PASS, nested.detail
    assert equal.detail == "last activate, must be port-back (npdb)"


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[dict[str, Any]]:
    """Targets of an endpoint that answers *body*, whatever it is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield {"http": {"odd": {"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}}}
        await close_all()


async def test_an_odd_character_of_the_answer_can_be_brought_home(take: Take) -> None:
    async with answering(b'{"a": "x\\ud800"}') as targets:
        reading = await take("http", CELL, targets, target="odd", field="a", equals="x")
    assert reading.outcome is Outcome.FAIL
    assert reading.evidence["a"] == "x?"
    assert Reading.model_validate_json(reading.model_dump_json()) == reading


@pytest.mark.parametrize("figure", [b"Infinity", b"1e400", b"NaN", b"-Infinity"])
@pytest.mark.parametrize("demand", [{"at_least": 1}, {"at_most": 1}, {"equals": 1}])
async def test_a_figure_without_end_is_not_measured(take: Take, figure: bytes, demand: dict[str, int]) -> None:
    async with answering(b'{"a": ' + figure + b"}") as targets:
        reading = await take("http", CELL, targets, target="odd", field="a", **demand)
    assert reading.outcome is Outcome.ERROR
    assert "the field a of odd is " in reading.detail
    assert reading.detail.endswith("which is no finite number")


async def test_one_is_not_true(carrier: Carrier, take: Take) -> None:
    carrier.figures.overwrite("reconciliation", {"missing_left": 1})
    reading = await take("http", CELL, carrier.targets, target="reconciliation", field="missing_left", equals=True)
    assert reading.outcome is Outcome.FAIL


async def test_fifty_at_once_share_the_connections(carrier: Carrier, take: Take) -> None:
    readings = await asyncio.gather(
        *(
            take("http", CELL, carrier.targets, target="status", path="/sync", field="lag_ms", at_most=100)
            for _ in range(50)
        )
    )
    assert {reading.outcome for reading in readings} == {Outcome.PASS}


@pytest.mark.parametrize(
    "params",
    [
        {"target": "x", "at_most": 3},
        {"target": "x", "field": "a"},
        {"target": "x", "field": "a", "at_most": 1, "at_least": 0},
        {"target": "x", "field": "a", "at_most": "1"},
        {"target": "x", "field": "a", "is_true": False},
        {"target": "x", "path": "no-slash"},
        {"target": "x", "within": 0},
        {"target": "x", "expression": "a < 3"},
        {},
    ],
)
def test_conditions_that_make_no_sense_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpParams.model_validate(params)
