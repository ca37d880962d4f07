"""The room's page in a real browser: two people, one board, forms, and nothing that runs what people type."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.room import RoomChannel, RoomConfig, RoomPerson, RoomUser, RunningRoom, start_room

CHROMIUM = shutil.which("chromium") or ""


@pytest.fixture(autouse=True)
def _chromium(require_program: Callable[[str], Path]) -> None:
    require_program("chromium")


ROOM = "C0ROOM"
Json = dict[str, Any]
LAPTOP, PHONE = (1366, 768), (390, 844)


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(label: str, action: str, **more: Any) -> Json:
    return {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": label}, **more}


BOARD: list[Json] = [
    section(
        "*✖ REHEARSAL · Number portability, wave 1 · DECIDE BY 03:24 London (7 min)*\n"
        "Calls into our numbers from mno-b fail: 11 of 19. All other networks work. Rule 2 is met.\n"
        "Deciders: lead (or deputy) AND mno-partner. Given: none. Not seen since 02:50: mno-partner\n"
        "Numbers switched 02:41: 5,000 of 5,000. There is no undo. Porting back takes about 55 min\n"
        "Checking until 04:11 (36 of 90 min done) · no planned changes after 04:00\n"
        "▲ SMS to carrier-c slow: 74 s (limit 60 s), no decision needed\n"
        "✔ Working: calls out 240/240 · data 96/96 · IVR 48/48 · number routing 60/60\n"
        "? Calls in from fixed: no measurement for 3 min (our probe, not proof of failure)\n"
        "Customers: too few contacts at night to tell (2 in 30 min) · failed top-ups 0.4%\n"
        "Doing now: checks (network-ops) · Next: close the night (lead AND network-ops)\n"
        "Bridge: <https://meet.example/b|dial in> · last probe 4 s ago"
    ),
    {"type": "actions", "elements": [button("Decision 7", "show"), button("Pause steps", "pause", style="danger")]},
]
CARD: list[Json] = [
    {"type": "header", "text": {"type": "plain_text", "text": "DECISION 7"}},
    {
        "type": "actions",
        "elements": [
            button("B Fix first…", "fix"),
            button(
                "A Port back",
                "port",
                style="danger",
                confirm={
                    "title": {"type": "plain_text", "text": "Port back 5,000 numbers?"},
                    "text": {"type": "mrkdwn", "text": "This *cannot* be stopped."},
                    "confirm": {"type": "plain_text", "text": "Vote A"},
                    "deny": {"type": "plain_text", "text": "Not now"},
                },
            ),
        ],
    },
]
FORM: Json = {
    "type": "modal",
    "callback_id": "fix",
    "title": {"type": "plain_text", "text": "Fix first"},
    "submit": {"type": "plain_text", "text": "Vote B"},
    "blocks": [
        {
            "type": "input",
            "block_id": "owner",
            "label": {"type": "plain_text", "text": "Owner"},
            "element": {"type": "users_select", "action_id": "user"},
        },
        {
            "type": "input",
            "block_id": "minutes",
            "label": {"type": "plain_text", "text": "Minutes"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        },
    ],
}


@dataclass(slots=True)
class House:
    """A room with a bot in it, and pages that must not report a single fault."""

    room: RunningRoom
    client: AsyncWebClient
    handler: AsyncSocketModeHandler
    browser: Browser
    faults: list[str] = field(default_factory=list)

    async def page(self, person: str, size: tuple[int, int] = LAPTOP) -> Page:
        context = await self.browser.new_context(viewport={"width": size[0], "height": size[1]})
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda line: self.faults.append(line.text) if "Content Security" in line.text else None)
        await page.goto(f"{self.room.url}?as={person}")
        await expect(page.locator("#acting")).to_have_value(person)
        return page

    async def post_board(self) -> str:
        posted = await self.client.chat_postMessage(channel=ROOM, text="the board", blocks=BOARD)
        await self.client.pins_add(channel=ROOM, timestamp=posted["ts"])
        return str(posted["ts"])


def listen(app: AsyncApp) -> None:
    @app.command("/cutover")
    async def answer(ack: Any, body: Json) -> None:
        await ack(f'I do not know "{body["text"]}". Nothing was done.')

    @app.action("fix")
    async def ask(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(
            trigger_id=body["trigger_id"], view={**FORM, "private_metadata": body["container"]["message_ts"]}
        )

    @app.view("fix")
    async def take(ack: Any, body: Json, view: Json, client: AsyncWebClient) -> None:
        minutes = view["state"]["values"]["minutes"]["text"]["value"]
        if int(minutes) > 20:
            await ack(response_action="errors", errors={"minutes": f"At most 20 minutes, {minutes} was given."})
            return
        await ack()
        owner = view["state"]["values"]["owner"]["user"]["selected_user"]
        text = f"DECISION 7: B, FIX FIRST by <@{owner}> in {minutes} min. <@{body['user']['id']}>"
        await client.chat_update(channel=ROOM, ts=view["private_metadata"], text=text, blocks=[section(text)])

    @app.action("port")
    async def port(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.chat_postMessage(channel=ROOM, text=f"vote A by {body['user']['id']}")


async def start_carrier(stack: AsyncExitStack) -> str:
    faults = [{"id": "dns", "title": "Slow DNS", "on": False, "description": "answers take 4 s"}]

    async def serve(request: web.Request) -> web.Response:
        if request.method == "POST":
            faults[0]["on"] = (await request.json())["on"]
        return web.json_response(faults)

    carrier = web.Application()
    carrier.router.add_route("*", "/faults", serve)
    runner = web.AppRunner(carrier)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with AsyncExitStack() as stack:
        room = await start_room(
            RoomConfig(
                users=(
                    RoomUser(id="U0LENA", name="lena", real_name="Lena Brandt", title="cutover-lead"),
                    RoomUser(id="U0NOOR", name="noor", real_name="Noor Haddad", title="network-ops"),
                ),
                channels=(RoomChannel(id=ROOM, name="cutover-night"), RoomChannel(id="C0EXEC", name="executives")),
                database=tmp_path / "room.sqlite",
                rehearsal=True,
                carrier_url=await start_carrier(stack),
                hints=("Break something on the left.",),
                timing={"beat_s": 0.5},
            )
        )
        stack.push_async_callback(room.close)
        client = AsyncWebClient(token=room.bot_token, base_url=room.api_url, retry_handlers=[])
        app = AsyncApp(client=client)
        listen(app)
        handler = AsyncSocketModeHandler(app, room.app_token, ping_interval=5)
        await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
        stack.push_async_callback(handler.client.close)
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        stack.push_async_callback(browser.close)
        house = House(room, client, handler, browser)
        yield house
        assert house.faults == []


async def test_two_people_decide_through_a_form_and_see_only_their_own_whispers(house: House) -> None:
    lena, noor = await house.page("U0LENA"), await house.page("U0NOOR")
    await house.post_board()
    await house.client.chat_postMessage(channel=ROOM, text="DECISION 7", blocks=CARD)

    await lena.locator("#say").fill("/cutover rolback")
    await lena.keyboard.press("Enter")
    private = lena.locator(".message.private")
    await expect(private).to_contain_text("Only visible to you")
    await expect(private).to_contain_text('I do not know "rolback"')
    await expect(noor.locator("#board")).to_contain_text("DECIDE BY 03:24")
    await expect(noor.locator(".message.private")).to_have_count(0)

    await noor.get_by_role("button", name="B Fix first…").click()
    form = noor.get_by_role("dialog", name="Fix first")
    await form.get_by_label("Minutes").fill("25")
    await form.get_by_role("button", name="Vote B").click()
    await expect(form).to_contain_text("Please fill in this field.")
    await form.get_by_label("Owner").select_option(label="Lena Brandt · cutover-lead")
    await form.get_by_role("button", name="Vote B").click()
    await expect(form).to_contain_text("At most 20 minutes, 25 was given.")
    await expect(form.get_by_label("Minutes")).to_have_value("25")
    await expect(form.get_by_label("Minutes")).to_be_focused()
    await form.get_by_label("Minutes").fill("15")
    await noor.keyboard.press("Enter")
    await expect(form).to_be_hidden()
    await expect(lena.locator(".timeline")).to_contain_text("FIX FIRST by @Lena Brandt in 15 min. @Noor Haddad")
    await expect(lena.get_by_role("button", name="B Fix first…")).to_have_count(0)

    await lena.reload()
    await expect(lena.locator(".timeline")).to_contain_text("FIX FIRST")
    await expect(lena.locator(".message.private")).to_have_count(0)


async def test_a_dangerous_button_asks_first(house: House) -> None:
    lena = await house.page("U0LENA")
    await house.client.chat_postMessage(channel=ROOM, text="DECISION 7", blocks=CARD)
    await lena.get_by_role("button", name="A Port back").click()
    question = lena.get_by_role("dialog", name="Port back 5,000 numbers?")
    await expect(question.get_by_role("button", name="Not now")).to_be_focused()
    await lena.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    await lena.get_by_role("button", name="A Port back").click()
    await question.get_by_role("button", name="Vote A").click()
    await expect(lena.locator(".timeline")).to_contain_text("vote A by U0LENA")
    await expect(lena.get_by_text("vote A by U0LENA")).to_have_count(1)


@pytest.mark.parametrize("size", [LAPTOP, (900, 640)])
async def test_on_a_laptop_the_board_and_its_buttons_are_in_sight_beside_the_channel(
    house: House, size: tuple[int, int]
) -> None:
    for number in range(3):
        await house.client.chat_postMessage(channel=ROOM, text=f"line {number}")
    await house.post_board()
    page = await house.page("U0LENA", size)
    await expect(page.locator(".rehearsal")).to_contain_text("REHEARSAL")
    for shown in (
        page.locator(".sheet .line").first,
        page.locator("#board").get_by_role("button", name="Pause steps"),
        page.locator("#say"),
        page.locator(".message").last,
    ):
        await expect(shown).to_be_in_viewport(ratio=1)


async def test_on_a_laptop_the_whole_board_fits(house: House) -> None:
    await house.post_board()
    page = await house.page("U0LENA")
    await expect(page.locator(".sheet")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("size", [PHONE, (683, 384)])
async def test_on_a_phone_or_at_double_zoom_the_board_comes_first_and_nothing_is_cut_off(
    house: House, size: tuple[int, int]
) -> None:
    await house.post_board()
    await house.client.chat_postMessage(channel=ROOM, text="DECISION 7", blocks=CARD)
    page = await house.page("U0LENA", size)
    board, channel = await page.locator("#board").bounding_box(), await page.locator(".timeline").bounding_box()
    assert board is not None
    assert channel is not None
    assert board["y"] < channel["y"]
    assert board["x"] + board["width"] <= size[0]
    await expect(page.locator(".sheet .line").first).to_be_in_viewport()
    await expect(page.locator("#say")).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]


async def test_a_bar_says_when_the_bot_is_gone_and_when_the_room_is(house: House) -> None:
    page = await house.page("U0LENA")
    await expect(page.locator("#bot")).to_contain_text("Bot connected")
    await expect(page.locator("#alarm")).to_be_hidden()
    await house.handler.client.close()  # type: ignore[no-untyped-call]  # the SDK does not annotate it
    await expect(page.locator("#alarm")).to_contain_text("The bot is not connected")
    await page.locator("#say").fill("/cutover status")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.private")).to_contain_text("nothing was recorded")
    await house.room.close()
    await expect(page.locator("#alarm")).to_contain_text("This page lost the room", timeout=15_000)
    await page.locator("#say").fill("is anybody there?")
    await page.keyboard.press("Enter")
    await expect(page.locator("#say-trouble")).to_contain_text("nothing was sent")
    await expect(page.locator("#say")).to_have_value("is anybody there?")


async def test_what_was_sent_comes_back_with_arrow_up_and_slash_begins_a_command(house: House) -> None:
    page = await house.page("U0LENA")
    for text in ("first", "second"):
        await page.locator("#say").fill(text)
        await page.keyboard.press("Enter")
        await expect(page.locator(".timeline")).to_contain_text(text)
    await page.keyboard.press("ArrowUp")
    await expect(page.locator("#say")).to_have_value("second")
    await page.keyboard.press("ArrowUp")
    await expect(page.locator("#say")).to_have_value("first")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#say")).to_have_value("")
    await page.locator("#timeline").focus()
    await page.keyboard.press("/")
    await page.keyboard.type("cu")
    await page.keyboard.press("Tab")
    await expect(page.locator("#say")).to_have_value("/cutover ")


async def test_a_thread_opens_in_place_and_takes_replies(house: House) -> None:
    page = await house.page("U0NOOR")
    step = await house.client.chat_postMessage(channel=ROOM, text="step 7 done")
    await house.client.chat_postMessage(channel=ROOM, text="NPDB accepted", thread_ts=step["ts"])
    await expect(page.get_by_text("NPDB accepted")).to_have_count(0)
    await page.get_by_role("button", name="1 reply").click()
    await expect(page.get_by_text("NPDB accepted")).to_be_visible()
    await page.get_by_label("Reply in this thread").fill("mno-b did not confirm")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="2 replies")).to_be_visible()
    replies = await house.client.conversations_replies(channel=ROOM, ts=step["ts"])
    assert [reply["text"] for reply in replies["messages"]][1:] == ["NPDB accepted", "mno-b did not confirm"]


async def test_the_switcher_changes_who_acts(house: House) -> None:
    page = await house.page("U0LENA")
    await page.get_by_label("You act as").select_option(label="Noor Haddad · network-ops")
    await page.locator("#say").fill("hello from noor")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message").last).to_contain_text("Noor Haddad")
    assert "as=U0NOOR" in page.url


async def test_the_carriers_switches_are_on_the_page(house: House) -> None:
    page, other = await house.page("U0LENA"), await house.page("U0NOOR")
    dns = page.get_by_role("switch", name="Slow DNS")
    await expect(dns).to_have_attribute("aria-checked", "false")
    await dns.click()
    for each in (page, other):
        await expect(each.get_by_role("switch", name="Slow DNS")).to_have_attribute("aria-checked", "true")
        await expect(each.get_by_role("switch", name="Slow DNS")).to_contain_text("broken now")


async def test_what_people_type_is_shown_as_text_and_never_runs(house: House) -> None:
    page, other = await house.page("U0LENA"), await house.page("U0NOOR")
    attack = "<img src=x onerror=alert(1)> <script>document.title='x'</script> <!channel> </span><b>bold</b>"
    await page.locator("#say").fill(attack)
    await page.keyboard.press("Enter")
    words = other.locator(".message .words").last
    await expect(words).to_have_text(attack)
    assert await words.locator("img, script, b, .mention").count() == 0
    await house.client.chat_postMessage(channel=ROOM, text="<javascript:alert(1)|click> <https://x.example|fine>")
    await expect(other.locator(".timeline a")).to_have_count(1)


MRKDWN = [
    ("*bold* _it_ ~no~ `a*b*`", "<strong>bold</strong> <em>it</em> <s>no</s> <code>a*b*</code>"),
    ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
    ("a &lt;b&gt; &amp;amp;", "a &lt;b&gt; &amp;amp;"),
    ("<@U0LENA> <#C0EXEC>", '<span class="mention me">@Lena</span> <span class="mention">#executives</span>'),
    ("*_both_*", "<strong><em>both</em></strong>"),
    ("&lt;!channel&gt;", "&lt;!channel&gt;"),
    ("<!channel>", '<span class="mention me">@channel</span>'),
    (
        "<https://x.example/?a=1&amp;b=2|see>",
        '<a href="https://x.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">see</a>',
    ),
    ("✔ Working", '<span class="sym good">✔</span> Working'),
    (
        "<!date^1700000000^{date_num} {time}|then>",
        '<time class="stamped" datetime="2023-11-14T22:13:20.000Z" title="22:13 UTC">2023-11-14 22:13</time>',
    ),
]


async def test_mrkdwn_is_shown_as_slack_shows_it(house: House) -> None:
    page = await house.page("U0LENA")
    render = """async (text) => {
        const { mrkdwn } = await import("/page/mrkdwn.js");
        const context = { zone: "UTC", me: "U0LENA", person: () => "Lena", channel: () => "executives" };
        const box = document.createElement("div");
        box.append(...mrkdwn(text, context));
        return box.innerHTML;
    }"""
    for text, html in MRKDWN:
        assert await page.evaluate(render, text) == f'<span class="line">{html}</span>', text
    assert await page.evaluate(render, "```\na *b*\n```") == "<pre>a *b*</pre>"
    quoted = await page.evaluate(render, "&gt; said\nnot")
    assert quoted == '<blockquote><span class="line">said</span></blockquote><span class="line">not</span>'


async def test_a_board_that_changes_under_a_click_does_not_swallow_it(house: House) -> None:
    ts = await house.post_board()
    page = await house.page("U0LENA")
    pause = page.locator("#board").get_by_role("button", name="Pause steps")
    await pause.hover()
    await page.mouse.down()
    changed = [{**BOARD[0], "text": {"type": "mrkdwn", "text": "✔ calm again"}}, BOARD[1]]
    await house.client.chat_update(channel=ROOM, ts=ts, text="calm", blocks=changed)
    async with page.expect_request("**/ui/click") as request:
        await page.mouse.up()
    sent = (await request.value).post_data_json
    assert sent is not None
    assert sent["action_id"] == "pause"
    await expect(page.locator(".sheet")).to_contain_text("calm again")


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
async def test_new_messages_out_of_sight_are_announced(house: House, size: tuple[int, int]) -> None:
    for number in range(4):
        lines = "\n".join(f"line {number}.{line}" for line in range(20))
        await house.client.chat_postMessage(channel=ROOM, text=lines)
    page = await house.page("U0LENA", size)
    await expect(page.locator("#newer")).to_be_hidden()
    await page.locator(".message").first.scroll_into_view_if_needed()
    await house.client.chat_postMessage(channel="C0EXEC", text="a digest elsewhere")
    await page.get_by_label("1 new").wait_for()
    async with RoomPerson(house.room.url, "U0NOOR") as noor:
        await noor.say(ROOM, "the newest")
    await page.get_by_role("button", name="New messages below").click()
    await expect(page.get_by_text("the newest")).to_be_in_viewport()
    await expect(page.locator("#newer")).to_be_hidden()


def choosing(kind: str, **more: Any) -> Json:
    options = [
        {"text": {"type": "plain_text", "text": name}, "value": name.lower()} for name in ("Red", "Amber", "Green")
    ]
    return {"type": kind, "options": options, **more}


FIELDS: dict[str, Json] = {
    "select": choosing("static_select"),
    "several": choosing("multi_static_select"),
    "radio": choosing("radio_buttons"),
    "boxes": choosing("checkboxes"),
    "date": {"type": "datepicker", "initial_date": "2026-12-08"},
    "time": {"type": "timepicker"},
    "number": {"type": "number_input", "is_decimal_allowed": False},
    "text": {"type": "plain_text_input", "multiline": True, "initial_value": "kept"},
}


async def test_every_kind_of_field_is_filled_in_and_sent(house: House) -> None:
    values: list[Json] = []
    app = house.handler.app

    @app.action("all")
    async def ask(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        label = {name: {"type": "plain_text", "text": name.title()} for name in FIELDS}
        blocks = [
            {"type": "input", "block_id": name, "label": label[name], "element": {**element, "action_id": "a"}}
            for name, element in FIELDS.items()
        ]
        view = {**FORM, "callback_id": "all", "blocks": blocks}
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @app.view("all")
    async def take(ack: Any, view: Json) -> None:
        values.append({name: state["a"] for name, state in view["state"]["values"].items()})
        await ack()

    page = await house.page("U0LENA")
    await house.client.chat_postMessage(
        channel=ROOM, text="ask", blocks=[{"type": "actions", "elements": [button("Ask", "all")]}]
    )
    await page.get_by_role("button", name="Ask").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("Select", exact=True).select_option("amber")
    await form.get_by_label("Several").select_option(["red", "green"])
    await form.get_by_role("radio", name="Green").check()
    await form.get_by_role("checkbox", name="Red").check()
    await form.get_by_label("Time").fill("03:24")
    await form.get_by_label("Number").fill("15")
    await form.get_by_role("button", name="Vote B").click()
    await expect(form).to_be_hidden()
    sent = values[0]
    assert sent["select"]["selected_option"]["value"] == "amber"
    assert [each["value"] for each in sent["several"]["selected_options"]] == ["red", "green"]
    assert sent["radio"]["selected_option"]["value"] == "green"
    assert [each["value"] for each in sent["boxes"]["selected_options"]] == ["red"]
    assert (sent["date"]["selected_date"], sent["time"]["selected_time"]) == ("2026-12-08", "03:24")
    assert (sent["number"]["value"], sent["text"]["value"]) == ("15", "kept")


async def test_the_home_tab_opens_from_the_channel_list(house: House) -> None:
    page = await house.page("U0LENA")
    await house.client.views_publish(user_id="U0LENA", view={"type": "home", "blocks": [section("*Waiting for you*")]})
    await page.get_by_role("button", name="For me").click()
    home = page.get_by_role("dialog", name="For me")
    await expect(home).to_contain_text("Waiting for you")
    await page.keyboard.press("Escape")
    await expect(home).to_be_hidden()
