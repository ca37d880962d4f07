"""
Make text from people, probes and runbooks fit to be shown.

Deny by default: a plain `str` is scrubbed and escaped the moment it meets a phrase; only `Said`, the type
that this file and the catalogue make, passes unchanged. Knows no run, no phrase and no block.
"""

import re
import unicodedata
from collections.abc import Iterable

#: A longer text of one person or probe is cut; the ledger keeps the whole.
MOST_CHARS = 400
#: So many digits, separators not counted, are a phone number, a SIM or a subscription. Short codes have fewer.
_LEAST_DIGITS = 7

#: Dates, times and addresses of machines are runs of digits too, and people need them whole.
_KEPT = (
    r"(?<![\d.+])(?:"
    r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?![\d])"
    r"|(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
    r")"
)
_BETWEEN = r"[\s().\-\u2010-\u2015\u2212_/]{0,3}"
_DIGITS = (
    rf"(?P<word>\b(?:number|msisdn|imsi|iccid|sim)\s+)?(?P<digits>\+?\(?\d(?:{_BETWEEN}\d){{{_LEAST_DIGITS - 1},}})"
)
_PRIVATE = re.compile(rf"(?P<kept>{_KEPT})|{_DIGITS}", re.IGNORECASE)
_UNSEEN = frozenset({"Cf", "Cs", "Co", "Cn", "Me"})
_FILLERS = frozenset("\u034f\u115f\u1160\u3164\uffa0")
_SPACES = re.compile(r"\s+")
_PART_OF_ENTITY = re.compile(r"&[a-z]{0,3}$")


class Said(str):
    """Text that may be shown as it is: escaped, scrubbed, or our own words."""

    __slots__ = ()


def escape(text: str) -> str:
    """Return *text* with the three characters that mean something to Slack written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def scrub(text: str, most: int = MOST_CHARS) -> str:
    """
    Return *text* on one line, without invisible characters and without the digits of a number or SIM.

    `+447700900123` becomes `number ending 123`. A run of digits is masked whatever it is, unless it
    is a date, a time or an IP address: a figure too few is better than a subscriber too many.
    """
    visible = _SPACES.sub(" ", "".join(_visible(sign) for sign in text)).strip()
    masked = _PRIVATE.sub(_masked, visible)
    return masked if len(masked) <= most else f"{masked[: most - 1].rstrip()}…"


def said(text: str, most: int = MOST_CHARS) -> Said:
    """Return *text* scrubbed and escaped; what was said before is returned as it is."""
    return text if isinstance(text, Said) else Said(escape(scrub(text, most)))


def parted(text: str) -> Said:
    """Return *text* with the names of its cells told as words: `mno-b, number ending 001`, nothing for `all`."""
    return Said(said(text).replace("/number ending", ", number ending").replace(" all: ", ": "))


def joined(between: str, parts: Iterable[str]) -> Said:
    """Return *parts*, each made safe, with our own *between* between them; empty ones are left out."""
    return Said(between.join(said(part) for part in parts if part))


def cut(text: str, most: int) -> Said:
    """Return *text* (safe already) in at most *most* characters, never ending inside an entity."""
    if len(text) <= most:
        return Said(text)
    return Said(f"{_PART_OF_ENTITY.sub('', text[: most - 1]).rstrip()}…")


def _visible(sign: str) -> str:
    """Return *sign*, a space for white space and control characters, or nothing for what cannot be seen."""
    kind = unicodedata.category(sign)
    if kind in {"Cc", "Zl", "Zp", "Zs"}:
        return " " if sign.isspace() else ""
    # Cf holds the zero-width and bidirectional marks, Cs halves of characters, Co and Cn nothing we could show,
    # Me the frames around keycap digits; fillers and variation selectors are invisible letters and marks.
    return "" if kind in _UNSEEN or sign in _FILLERS or "\ufe00" <= sign <= "\ufe0f" else sign


def _masked(found: re.Match[str]) -> str:
    if found["kept"]:
        return found["kept"]
    digits = [sign for sign in found["digits"] if sign.isdigit()]
    return f"{found['word'] or 'number '}ending {''.join(digits[-3:])}"
