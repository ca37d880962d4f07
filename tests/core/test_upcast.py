"""An older release's entries are lifted step by step; what cannot be read says who wrote it."""

from collections.abc import Mapping
from typing import Any

import pytest

from bot.core import upcast
from bot.core.errors import UnknownEntry
from bot.core.messages import EVENTS, NoteTaken
from bot.core.upcast import lift, lifts

Fields = Mapping[str, Any]


@pytest.fixture
def _two_old_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up past: version -1 said `message`, version 0 said `line` and did not trim it."""
    monkeypatch.setattr(upcast, "_LIFTS", {})

    @lifts("NoteTaken", -1)
    def _renamed(data: Fields) -> Fields:
        return {"run": data["run"], "line": data["message"]}

    @lifts("NoteTaken", 0)
    def _trimmed(data: Fields) -> Fields:
        return {"run": data["run"], "text": data["line"].strip()}


def test_an_entry_of_this_release_is_read_as_it_is() -> None:
    assert lift("NoteTaken", 1, {"run": "r1", "text": "bridge open"}) == NoteTaken(run="r1", text="bridge open")


@pytest.mark.usefixtures("_two_old_versions")
def test_an_old_entry_is_lifted_through_every_version_between() -> None:
    wanted = NoteTaken(run="r1", text="bridge open")
    assert lift("NoteTaken", 0, {"run": "r1", "line": " bridge open "}) == wanted
    assert lift("NoteTaken", -1, {"run": "r1", "message": "bridge open "}) == wanted


@pytest.mark.usefixtures("_two_old_versions")
def test_a_lift_leaves_what_was_stored_as_it_is() -> None:
    stored = {"run": "r1", "line": " bridge open "}
    lift("NoteTaken", 0, stored)
    assert stored == {"run": "r1", "line": " bridge open "}


@pytest.mark.usefixtures("_two_old_versions")
def test_two_lifts_of_the_same_step_are_refused() -> None:
    with pytest.raises(ValueError, match="NoteTaken has a lift from version 0 already"):
        lifts("NoteTaken", 0)(lambda data: data)


def test_an_unknown_type_names_who_wrote_it_and_what_to_do() -> None:
    with pytest.raises(UnknownEntry) as refused:
        lift("TeaMade", 1, {}, "0.9.2")
    assert str(refused.value) == (
        "This release cannot read entries of type TeaMade; switchroom 0.9.2 wrote it. Nothing was changed."
        " Start switchroom 0.9.2 or a later one on this ledger."
    )


def test_a_newer_version_is_refused_and_names_both_versions() -> None:
    with pytest.raises(UnknownEntry, match=r"NoteTaken in version 7, newer than its own 1; switchroom 2\.0\.0 wrote"):
        lift("NoteTaken", 7, {"text": "x"}, "2.0.0")


def test_an_old_version_without_a_lift_is_refused() -> None:
    with pytest.raises(UnknownEntry, match="NoteTaken in version -3: it has no lift from version -3; an unnamed"):
        lift("NoteTaken", -3, {})


def test_data_that_do_not_fit_are_refused_with_the_field() -> None:
    with pytest.raises(UnknownEntry, match=r"this NoteTaken in version 1 \(colour: .*\); switchroom 0\.2\.0 wrote"):
        lift("NoteTaken", 1, {"text": "x", "colour": "red"}, "0.2.0")


def test_every_event_type_can_be_reached() -> None:
    """A version that rose needs a lift from each version before it."""
    for name, event in EVENTS.items():
        for version in range(1, event.VERSION):
            assert (name, version) in upcast._LIFTS
