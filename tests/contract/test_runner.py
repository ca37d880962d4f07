"""The Runner port: one request, and an honest answer about what certainly did not happen and what nobody knows."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bot.adapters.runner import HttpRunner
from bot.core.errors import SettingsRefused
from bot.core.ports import Answer

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def runner() -> AsyncIterator[HttpRunner]:
    made = HttpRunner()
    yield made
    await made.close()


@asynccontextmanager
async def target(serve: Serve) -> AsyncIterator[str]:
    """Serve every path of a target with *serve*."""
    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", serve)])
    hosting = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await hosting.setup()
    try:
        await web.TCPSite(hosting, "127.0.0.1", 0).start()
        host, port = hosting.addresses[0][:2]
        yield f"http://{host}:{port}/base/"
    finally:
        await hosting.cleanup()


async def answered(runner: HttpRunner, serve: Serve, timeout_s: float = 5.0) -> Answer:
    async with target(serve) as url:
        return await runner.perform(url, "/activate", {"run": "r-1"}, "r-1/switch/1", timeout_s)


def with_status(status: int, body: str = "") -> Serve:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type="application/json")

    return serve


async def test_the_target_gets_one_post_with_the_body_and_the_idempotency_key(runner: HttpRunner) -> None:
    seen: list[tuple[str, str, str, object]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path, request.headers["Idempotency-Key"], await request.json()))
        return web.json_response({"detail": "5,000 numbers"})

    assert await answered(runner, serve) == Answer("done", "5,000 numbers")
    assert seen == [("POST", "/base/activate", "r-1/switch/1", {"run": "r-1"})]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_success_is_done_even_without_a_word(runner: HttpRunner, status: int) -> None:
    assert await answered(runner, with_status(status)) == Answer("done", "accepted")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_a_refusal_is_failed_and_says_the_targets_own_sentence(runner: HttpRunner, status: int) -> None:
    answer = await answered(runner, with_status(status, '{"message": "no such wave"}'))
    assert answer == Answer("failed", f"refused with {status}: no such wave")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_servers_error_leaves_open_whether_it_happened(runner: HttpRunner, status: int) -> None:
    answer = await answered(runner, with_status(status, '{"detail": "do not trust me"}'))
    assert answer.outcome == "unknown"
    assert "may or may not have happened" in answer.detail
    assert str(status) in answer.detail


async def test_no_answer_in_time_leaves_open_whether_it_happened(runner: HttpRunner) -> None:
    reached = asyncio.Event()

    async def serve(_: web.Request) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        return web.Response()

    answer = await answered(runner, serve, timeout_s=0.3)
    assert reached.is_set()
    assert answer == Answer("unknown", "no answer within 0.3 s; it may or may not have happened")


async def test_a_connection_cut_before_the_answer_leaves_open_whether_it_happened(runner: HttpRunner) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    answer = await answered(runner, serve)
    assert answer.outcome == "unknown"
    assert "the answer was lost" in answer.detail


async def test_a_refused_connection_certainly_did_nothing(runner: HttpRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    answer = await runner.perform(f"http://127.0.0.1:{port}", "/activate", {}, "k", 5)
    assert answer.outcome == "failed"
    assert "nothing was sent" in answer.detail


async def test_an_address_that_is_none_certainly_did_nothing(runner: HttpRunner) -> None:
    answer = await runner.perform("gopher://127.0.0.1", "/activate", {}, "k", 5)
    assert answer.outcome == "failed"
    assert "nothing was sent" in answer.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_nothing_was_done(runner: HttpRunner, status: int) -> None:
    paths: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    answer = await answered(runner, serve)
    assert (answer.outcome, paths) == ("failed", ["/base/activate"])


async def test_a_trying_answer_is_not_tried_again(runner: HttpRunner) -> None:
    count = 0

    async def serve(_: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        return web.Response(status=503)

    await answered(runner, serve)
    assert count == 1


@pytest.mark.parametrize(
    "body", ["<html>", '["a list"]', '{"detail": 7}', "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")]
)
async def test_an_answer_in_any_shape_never_reaches_the_room_raw(runner: HttpRunner, body: str) -> None:
    assert await answered(runner, with_status(200, body)) == Answer("done", "accepted")


@pytest.mark.parametrize(
    "body", ['{"detail": ' + "7" * 5000 + "}", "[" * 60_000, '{"detail": "' + "x" * 200_000 + '"}']
)
async def test_an_answer_that_python_cannot_read_is_an_answer_all_the_same(runner: HttpRunner, body: str) -> None:
    assert await answered(runner, with_status(200, body)) == Answer("done", "accepted")
    assert (await answered(runner, with_status(409, body))).outcome == "failed"


async def test_an_answer_without_end_is_read_to_a_bound(runner: HttpRunner) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None:
            await response.write(b"x" * 8192)
        return response

    async with asyncio.timeout(10):
        assert await answered(runner, serve) == Answer("done", "accepted")


async def test_a_long_sentence_of_a_target_is_cut(runner: HttpRunner) -> None:
    answer = await answered(runner, with_status(200, '{"detail": "' + "x" * 5000 + '"}'))
    assert len(answer.detail) == 200


async def test_the_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    made = HttpRunner()
    assert (await answered(made, with_status(200))).outcome == "done"
    await made.close()


async def test_half_a_character_of_a_target_can_be_written_down(runner: HttpRunner) -> None:
    answer = await answered(runner, with_status(200, '{"detail": "\\ud83d moved"}'))
    assert answer == Answer("done", "? moved")
    assert answer.detail.encode()


async def test_a_target_that_wants_a_token_gets_it_at_the_call() -> None:
    seen: list[str | None] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    async with target(serve) as url:
        for tokens in ({url: lambda: "s3cret"}, None):
            runner = HttpRunner(tokens)
            await runner.perform(url, "/activate", {}, "k", 5.0)
            await runner.close()
    assert seen == ["Bearer s3cret", None]


async def test_without_its_token_nothing_is_sent_and_that_is_certain() -> None:
    def missing() -> str:
        raise SettingsRefused("the environment variable NPDB_TOKEN is not set for the bot")

    async with target(with_status(200)) as url:
        runner = HttpRunner({url: missing})
        answer = await runner.perform(url, "/activate", {}, "k", 5.0)
        await runner.close()
    assert answer == Answer("failed", "nothing was sent: the environment variable NPDB_TOKEN is not set for the bot")
