"""What comes from outside is shown without a subscriber's digits and without a way to command Slack."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.words.safe import Said, cut, escape, joined, said, scrub

_SEPARATORS = st.sampled_from(["", " ", "-", ".", "\u00a0", "\u202f", "\u2011", "/", "\u200b", "\u2066", ") ", " ("])


@st.composite
def _numbers(draw: st.DrawFn) -> tuple[str, str]:
    """An MSISDN, IMSI or ICCID as somebody may write it, with its bare digits."""
    digits = draw(
        st.one_of(
            st.from_regex(r"447700900\d{3}", fullmatch=True),
            st.from_regex(r"07700900\d{3}", fullmatch=True),
            st.from_regex(r"23410\d{10}", fullmatch=True),
            st.from_regex(r"8944\d{15,16}", fullmatch=True),
        )
    )
    written = digits[0]
    for digit in digits[1:]:
        written += draw(_SEPARATORS) + digit
    return draw(st.sampled_from(["", "+", "(", "tel:", "imsi "])) + written, digits


@given(number=_numbers(), before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_number_survives_whatever_stands_around_it(number: tuple[str, str], before: str, after: str) -> None:
    written, _ = number
    shown = said(f"{before} {written} {after}", most=4000)
    assert not re.search(
        r"\d(?:[\s().\-/]{0,3}\d){6,}",
        re.sub(r"\d{4}-\d\d-\d\d|\d+:\d\d(?::\d\d(?:\.\d+)?)?|\d+(?:\.\d+){3}", "", shown),
    )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("call to +447700900123 failed", "call to number ending 123 failed"),
        ("07700 900 123", "number ending 123"),
        ("(07700) 900-123", "(number ending 123"),
        ("number 447700900123", "number ending 123"),
        ("IMSI 234101234567890", "IMSI ending 890"),
        ("ICCID 8944 1000 3000 0000 1234", "ICCID ending 234"),
        ("mno-b/+447700900001/control", "mno-b/number ending 001/control"),
    ],
)
def test_a_number_is_named_by_its_last_three_digits(written: str, shown: str) -> None:
    assert scrub(written).replace("(number", "number") == shown.replace("(number", "number")


@pytest.mark.parametrize(
    "kept",
    [
        "112", "999", "call 116117 now", "11 of 19 failed", "9.4 s, limit 4 s", "2026-12-08 02:41", "2026-12-08T02:41:09.123456",
        "10.0.12.254:5060", "240/240", "5,000 of 5,000",
    ],
)  # fmt: skip
def test_short_codes_counts_dates_and_addresses_stay(kept: str) -> None:
    assert scrub(kept) == kept


@given(st.text())
@example("<!channel> & <@U1>")
@example("a\x00b\r\nc\u202e")
def test_what_is_said_cannot_command_slack_nor_break_its_line(text: str) -> None:
    shown = said(text)
    assert "<" not in shown
    assert ">" not in shown
    assert not re.search(r"&(?!amp;|lt;|gt;)", shown)
    assert not any(
        ord(sign) < 32 or sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff" for sign in shown
    )
    assert len(shown.splitlines()) <= 1


@given(st.text())
def test_what_was_said_is_not_escaped_twice(text: str) -> None:
    assert said(said(text)) == said(text)


def test_a_long_text_is_cut_after_it_was_masked() -> None:
    shown = scrub("x" * 390 + " +447700900123 failed", most=400)
    assert len(shown) <= 400
    assert "4477" not in shown


@given(text=st.text(alphabet="&<>a", min_size=1), most=st.integers(min_value=2, max_value=40))
def test_a_cut_never_ends_inside_an_entity(text: str, most: int) -> None:
    shown = cut(Said(escape(text)), most)
    assert len(shown) <= most
    assert not re.search(r"&(?!amp;|lt;|gt;)", shown)


def test_a_plain_text_among_safe_ones_is_made_safe() -> None:
    assert joined(" · ", [Said("<ours>"), "<theirs>", ""]) == "<ours> · &lt;theirs&gt;"
