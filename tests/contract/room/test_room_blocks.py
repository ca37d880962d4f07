"""Blocks that Slack would refuse are refused here, with the place; blocks that Slack takes are taken."""

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import Block
from slack_sdk.web.async_client import AsyncWebClient

from bot.room.blockkit import check_blocks
from bot.room.viewkit import check_view, fill, is_too_large

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**changes: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain("Go"), "value": "7", **changes}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def select(count: int) -> Json:
    options = [{"text": plain(str(number)), "value": str(number)} for number in range(count)]
    return {"type": "static_select", "action_id": "s", "options": options}


CONFIRM: Json = {"title": plain("Sure?"), "text": mrkdwn("*Really*"), "confirm": plain("Yes"), "deny": plain("No")}

BAD: list[tuple[str, list[Json], str]] = [
    ("unknown block", [{"type": "sektion"}], "/0/type"),
    ("unknown field", [{"type": "divider", "colour": "red"}], "/0: invalid additional property: colour"),
    ("empty section", [{"type": "section"}], "/0: must provide text or fields"),
    ("empty text", [{"type": "section", "text": mrkdwn("")}], "/0/text/text"),
    ("section of 3001", [{"type": "section", "text": mrkdwn("x" * 3001)}], "/0/text/text: must be less than 3001"),
    ("field of 2001", [{"type": "section", "fields": [mrkdwn("x" * 2001)]}], "/0/fields/0/text"),
    ("eleven fields", [{"type": "section", "fields": [mrkdwn("x")] * 11}], "/0/fields"),
    ("header of 151", [{"type": "header", "text": plain("x" * 151)}], "/0/text/text"),
    ("header in mrkdwn", [{"type": "header", "text": mrkdwn("x")}], "/0/text/type"),
    ("button in mrkdwn", [actions(button(text=mrkdwn("x")))], "/0/elements/0/text/type"),
    ("button label of 76", [actions(button(text=plain("x" * 76)))], "/0/elements/0/text/text"),
    ("button value of 2001", [actions(button(value="x" * 2001))], "/0/elements/0/value"),
    ("button url of 3001", [actions(button(url="https://" + "x" * 3000))], "/0/elements/0/url"),
    ("button style", [actions(button(style="warning"))], "/0/elements/0/style"),
    ("action id of 256", [actions(button(action_id="x" * 256))], "/0/elements/0/action_id"),
    ("block id of 256", [{"type": "divider", "block_id": "x" * 256}], "/0/block_id"),
    ("action id twice", [actions(button(), button())], "/0/elements/1/action_id"),
    ("block id twice", [{"type": "divider", "block_id": "a"}] * 2, "/1/block_id"),
    ("no actions", [actions()], "/0/elements"),
    ("26 actions", [actions(*(button(action_id=str(n)) for n in range(26)))], "/0/elements"),
    ("confirm title of 101", [actions(button(confirm={**CONFIRM, "title": plain("x" * 101)}))], "confirm/title"),
    ("confirm text of 301", [actions(button(confirm={**CONFIRM, "text": mrkdwn("x" * 301)}))], "confirm/text"),
    ("11 in a context", [{"type": "context", "elements": [mrkdwn("x")] * 11}], "/0/elements"),
    ("101 options", [actions(select(101))], "/0/elements/0/options"),
    ("no options", [actions(select(0))], "/0/elements/0/options"),
    ("51 blocks", [{"type": "divider"}] * 51, ": no more than 50"),
    ("image without words", [{"type": "image", "image_url": "https://x.example/i.png"}], "/0/alt_text"),
    ("input where a button belongs", [actions({"type": "plain_text_input", "action_id": "t"})], "/0/elements/0/type"),
]

GOOD: list[Json] = [
    {"type": "divider"},
    {"type": "header", "text": plain("DECISION 7")},
    {"type": "section", "text": mrkdwn("*x*"), "accessory": button()},
    {"type": "section", "fields": [mrkdwn("x"), plain("y")]},
    {"type": "context", "elements": [mrkdwn("x"), plain("y")]},
    actions(button(style="danger", confirm=CONFIRM), select(3)),
    {"type": "image", "image_url": "https://x.example/i.png", "alt_text": "a chart"},
    {
        "type": "rich_text",
        "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "PASS 7/7"}]}],
    },
]


@pytest.mark.parametrize(("blocks", "where"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_bad_block_is_named_with_its_place(blocks: list[Json], where: str) -> None:
    faults = check_blocks(blocks)
    assert len(faults) >= 1
    assert where in faults[0]


def test_good_blocks_pass_here_and_in_the_sdk_unchanged() -> None:
    assert check_blocks(GOOD) == []
    for block in GOOD:
        parsed = Block.parse(block)
        assert parsed is not None
        assert parsed.to_dict() == block


def test_the_longest_that_is_allowed_is_allowed() -> None:
    assert check_blocks([{"type": "section", "text": mrkdwn("x" * 3000)}] * 50) == []
    assert check_blocks([actions(*(button(action_id=str(n)) for n in range(25)))]) == []
    assert check_blocks([{"type": "divider"}] * 100, view=True) == []
    assert check_blocks([{"type": "divider"}] * 101, view=True) != []


async def test_the_api_answers_invalid_blocks_with_the_places(client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as refusal:
        await client.chat_postMessage(channel="C0ROOM", text="x", blocks=[{"type": "section", "text": mrkdwn("")}])
    assert refusal.value.response["error"] == "invalid_blocks"
    assert refusal.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be more than 0 characters [json-pointer:/blocks/0/text/text]"
    ]
    with pytest.raises(SlackApiError, match="invalid_blocks_format"):
        await client.chat_postMessage(channel="C0ROOM", text="x", blocks="[{")
    assert (await client.conversations_history(channel="C0ROOM"))["messages"] == []


def asks(**element: Any) -> Json:
    return {
        "type": "modal",
        "title": plain("Why?"),
        "submit": plain("Record"),
        "blocks": [
            {"type": "input", "block_id": "b", "label": plain("Reason"), "element": {"action_id": "a", **element}}
        ],
    }


TEXT: Json = {"type": "plain_text_input"}


def bad_views() -> Iterator[tuple[Json, str]]:
    yield {**asks(**TEXT), "title": plain("x" * 25)}, "/title/text"
    yield {**asks(**TEXT), "submit": None}, "/submit: missing"
    yield {**asks(**TEXT), "close": plain("x" * 25)}, "/close/text"
    yield {**asks(**TEXT), "private_metadata": "x" * 3001}, "/private_metadata"
    yield {**asks(**TEXT), "callback_id": "x" * 256}, "/callback_id"
    yield {**asks(**TEXT), "type": "sheet"}, "/type"
    yield {**asks(**TEXT), "colour": "red"}, "invalid additional property: colour"
    yield {**asks(**TEXT), "blocks": [{"type": "input"}]}, "/blocks/0/label"


@pytest.mark.parametrize(("view", "where"), list(bad_views()))
def test_a_bad_view_is_named_with_its_place(view: Json, where: str) -> None:
    assert any(where in fault for fault in check_view(view)), check_view(view)


def test_a_view_over_250_kb_is_too_large() -> None:
    assert not is_too_large(asks(**TEXT))
    assert is_too_large({**asks(**TEXT), "private_metadata": "x" * 250_000})


@pytest.mark.parametrize(
    ("element", "typed", "wrong"),
    [
        (TEXT, "", "Please fill in this field."),
        (TEXT, "x" * 3001, "Write at most 3000 characters; this has 3001."),
        ({**TEXT, "min_length": 5}, "no", "Write at least 5 characters; this has 2."),
        ({"type": "number_input", "is_decimal_allowed": False}, "soon", "Write a number."),
        ({"type": "number_input", "is_decimal_allowed": False}, "1.5", "Write a whole number."),
        ({"type": "number_input", "is_decimal_allowed": False, "max_value": "20"}, "25", "The largest number is 20."),
        ({"type": "number_input", "is_decimal_allowed": False, "min_value": "1"}, "0", "The smallest number is 1."),
        (select(3), "9", "Choose one of the options."),
        ({**TEXT, "min_length": 5}, "enough", ""),
        (select(3), "2", ""),
    ],
)
def test_a_form_is_checked_as_the_client_does_before_anything_is_sent(element: Json, typed: str, wrong: str) -> None:
    _, errors = fill(asks(**element), {"b": typed})
    assert errors == ({"b": wrong} if wrong else {})


@pytest.mark.parametrize(
    ("element", "typed", "state"),
    [
        (TEXT, "why", {"type": "plain_text_input", "value": "why"}),
        ({**TEXT, "initial_value": "kept"}, None, {"type": "plain_text_input", "value": "kept"}),
        ({"type": "users_select"}, "U0LENA", {"type": "users_select", "selected_user": "U0LENA"}),
        ({"type": "datepicker"}, "2026-12-08", {"type": "datepicker", "selected_date": "2026-12-08"}),
        ({"type": "timepicker"}, "03:24", {"type": "timepicker", "selected_time": "03:24"}),
        (select(2), "1", {"type": "static_select", "selected_option": {"text": plain("1"), "value": "1"}}),
        (
            {**select(2), "type": "checkboxes"},
            ["0", "1"],
            {
                "type": "checkboxes",
                "selected_options": [{"text": plain("0"), "value": "0"}, {"text": plain("1"), "value": "1"}],
            },
        ),
    ],
)
def test_what_was_typed_becomes_slacks_state(element: Json, typed: object, state: Json) -> None:
    view = asks(**element)
    action_id = view["blocks"][0]["element"]["action_id"]
    values, errors = fill(view, {} if typed is None else {"b": typed})
    assert errors == {}
    assert values == {"b": {action_id: state}}
