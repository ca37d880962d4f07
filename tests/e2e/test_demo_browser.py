"""
The demo in a real browser: two people sign, go, break a network, decide, and port back.

Everything is the demo's own: its room, its carrier, its probes, its bot. One person sits at a laptop, the other
holds a phone and speaks for several people by the page's switcher; who has nothing to show here is scripted.
Set SWITCHROOM_SCREENSHOTS to a folder to keep what they saw.
"""

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from bot.config import Settings
from bot.demo import Scene, Show, opened, scene
from bot.rehearsal.crew import Line

LAPTOP, PHONE = (1366, 768), (390, 844)
#: Seconds of the night in a real one: fast, and slow enough that no probe is late on two busy cores.
SPEED = 30.0
PATIENCE_MS = 45_000
#: Every number of the demo is +44 7700 900xxx.
NUMBER = re.compile(r"(?:\+44|0)\s?7700\s?900|44\s?7700\s?900")


@dataclass(slots=True)
class Night:
    """A demo with a browser in front of it."""

    on: Scene
    browser: Browser
    shots: Path
    faults: list[str] = field(default_factory=list)

    async def page(self, person: str, size: tuple[int, int]) -> Page:
        width, height = size
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, timezone_id="Europe/London"
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        await page.goto(f"{self.on.stage.room_url}?as={person}")
        await expect(page.locator("#acting")).to_have_value(person)
        return page

    async def shot(self, page: Page, name: str) -> None:
        # What has just come in glows for a moment; nobody wants that on a picture.
        await page.screenshot(path=self.shots / f"{name}.png", animations="disabled")


@pytest.fixture
async def night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_program: Callable[[str], Path]
) -> AsyncIterator[Night]:
    chromium = require_program("chromium")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SWITCHROOM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    shots = Path(os.environ.get("SWITCHROOM_SCREENSHOTS") or tmp_path / "shots")  # the browser makes the folder
    show = Show(Settings().model_copy(update={"state_dir": tmp_path / "demo"}), speed=SPEED)
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        stack.push_async_callback(browser.close)
        on = await stack.enter_async_context(scene(show))
        await opened(on, show)
        night = Night(on, browser, shots)
        expect.set_options(timeout=PATIENCE_MS)
        stack.callback(expect.set_options, timeout=5_000)
        yield night
        assert night.faults == []


def headline(page: Page) -> Locator:
    return page.locator(".sheet .line").first


def private(page: Page) -> Locator:
    return page.locator(".message.private").last


def card(page: Page, number: int) -> Locator:
    shown = page.locator(".message:not(.private):not(:has(.board-line))")
    return shown.filter(has_text=re.compile(rf"DECISION {number}(?!\d)")).first


async def command(page: Page, text: str) -> None:
    await page.locator("#say").fill(f"/cutover {text}")
    await page.locator("#say").press("Enter")


async def become(page: Page, name: str) -> None:
    await page.get_by_label("You act as").select_option(label=name)
    await expect(page.locator("#bot")).to_contain_text("Bot connected")


async def press(page: Page, number: int, label: str, *, sure: bool = False) -> None:
    await card(page, number).get_by_role("button", name=label).click()
    if sure:
        question = page.get_by_role("dialog", name=label)
        await expect(question).to_contain_text("cannot be stopped")
        await question.get_by_role("button", name="Yes, count my vote").click()


async def sign(night: Night, lena: Page, phone: Page) -> None:
    await expect(headline(lena)).to_contain_text(re.compile("^▲ REHEARSAL · NOT STARTED, still to sign: cutover-lead"))
    await command(lena, "sign")
    await expect(private(lena)).to_contain_text("You signed this list")
    await expect(private(lena)).to_contain_text("about 1 in 10 or more fail (normal: fewer than 1 in 50)")
    await expect(headline(phone)).to_contain_text("still to sign: network-ops, mno-partner, care-lead")
    await expect(phone.locator(".message.private")).to_have_count(0)
    await command(phone, "sign")
    await expect(headline(phone)).to_contain_text("still to sign: mno-partner, care-lead")
    await become(phone, "Pia · mno-partner")
    await phone.locator("#board").get_by_role("button", name="Sign").click()
    await expect(headline(phone)).to_contain_text("still to sign: care-lead")
    await night.on.act(Line("care", "sign"))
    await expect(headline(lena)).to_contain_text("SIGNED, READY TO START")


async def start(night: Night, lena: Page, phone: Page) -> None:
    await become(phone, "Dev · cutover-lead, deputy")
    await command(phone, "start")
    await expect(lena.locator("#board")).to_contain_text("Roll call, missing: cutover-lead, network-ops")
    await lena.locator("#board").get_by_role("button", name="I am here").click()
    for person in ("noc-a", "partner-a", "care"):
        await night.on.act(Line(person, "here"))
    await expect(card(lena, 1)).to_contain_text("Go or not yet: go? yes / not yet")
    await expect(card(lena, 1)).to_contain_text("✔ True at")
    await expect(lena.locator("#timeline")).to_contain_text("Roll call done, all are here")
    await night.shot(lena, "first-screen")


async def go(_: Night, lena: Page, phone: Page) -> None:
    await press(phone, 1, "A Yes, go")
    await expect(private(phone)).to_contain_text("another person must agree")
    await expect(lena.locator(".message.private", has_text="another person must agree")).to_have_count(0)
    await become(phone, "Ana · network-ops")
    await press(phone, 1, "A Yes, go")
    await expect(card(lena, 1)).to_contain_text("Given: A Ana (network-ops)")
    await press(lena, 1, "A Yes, go")
    for page in (lena, phone):
        await expect(card(page, 1)).to_contain_text("A, GO. Ana (network-ops)")
        await expect(card(page, 1).get_by_role("button", name="A Yes, go")).to_have_count(0)
    await expect(lena.locator("#board")).to_contain_text("Window open until 04:00 London")
    await command(lena, "start switch-routing")
    await expect(lena.locator("#timeline")).to_contain_text("POINT OF NO RETURN: Switch the routing by Lena")
    await expect(headline(lena)).to_contain_text("CHECKING until")
    await expect(lena.locator("#board").get_by_role("button", name="Port back…")).to_be_visible()


async def fail(night: Night, lena: Page, phone: Page) -> None:
    fault = lena.get_by_role("switch", name="mno-b keeps the old routing")
    await fault.click()
    await expect(fault).to_have_attribute("aria-checked", "true")
    for page in (lena, phone):
        await expect(headline(page)).to_contain_text(
            re.compile(r"^✖ REHEARSAL · DECIDE BY \d\d:\d\d London \(\d+ min\)")
        )
        await expect(page.locator("#board")).to_contain_text("All other networks work. Rule 1 is met.")
        await expect(card(page, 2)).to_contain_text("Rule 1, signed")
        await expect(card(page, 2)).to_contain_text("mno-b still routes to the old network")
        await expect(card(page, 2).get_by_role("button")).to_have_text(["A Port back", "B Fix first…", "C Continue…"])
    await night.shot(lena, "decision-card")
    await phone.evaluate("scrollTo(0, 0)")
    await night.shot(phone, "phone")


async def port_back(night: Night, lena: Page, phone: Page) -> None:
    await press(lena, 2, "A Port back", sure=True)
    await expect(private(lena)).to_contain_text(
        "Your vote counts: decision 2, A (PORT BACK). Still needed: mno-partner"
    )
    await expect(card(phone, 2)).to_contain_text("Given: A Lena (cutover-lead)")
    await become(phone, "Pia · mno-partner")
    await press(phone, 2, "A Port back", sure=True)
    for page in (lena, phone):
        await expect(headline(page)).to_contain_text(re.compile(r"^▲ REHEARSAL · PORTED BACK \d\d:\d\d London"))
        await expect(page.locator("#board")).to_contain_text("PORT BACK, by Lena, Pia. Done: Port the numbers back")
        await expect(card(page, 2)).to_contain_text(re.compile(r"A, PORT BACK\. Lena .* · Pia .* Evidence "))
        await expect(page.locator(".timeline .message:not(.private) .actions")).to_have_count(0)
    await expect(lena.locator("#timeline")).to_contain_text("PORTED BACK, by decision 2")
    await night.shot(lena, "ported-back")


async def test_two_people_take_the_night_from_signing_to_porting_back(night: Night) -> None:
    lena, phone = await night.page("U0LEAD", LAPTOP), await night.page("U0NOCA", PHONE)
    for part in (sign, start, go, fail, port_back):
        await part(night, lena, phone)
    await lena.get_by_role("button", name="executive").click()
    await expect(lena.locator("#timeline")).to_contain_text("decision 2 was PORT BACK")
    for page in (lena, phone):
        assert not NUMBER.search(await page.content())
    run = night.on.run()
    assert run is not None
    assert run.status.value == "rolled_back"
    assert run.decisions[2].decided is not None
    assert run.decisions[2].decided.voters == ("lead", "partner-a")
