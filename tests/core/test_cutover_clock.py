"""A machine whose clock cannot be trusted opens no window, and says so in every room."""

from bot.core import messages as m
from bot.core.errors import Reason
from tests.core.play import Play, names

SWITCH = m.Start(step="switch-routing")


def test_a_stepped_clock_holds_the_point_of_no_return_and_nothing_else() -> None:
    play = Play().gone()
    play.orders(m.ReportClock(off_s=47))
    no = play.refused(SWITCH, "lead")
    assert no.reason is Reason.NOT_READY
    assert no.sentence == (
        "Not started: the clock of this machine has stepped by 47 s, so no time here can be trusted; "
        "set it right (timedatectl), then restart switchroom."
    )
    assert "Paused" in names(play.says(m.Pause(), "care"))


def test_a_clock_that_is_right_again_holds_nothing() -> None:
    play = Play().gone()
    play.orders(m.ReportClock(off_s=47))
    play.orders(m.ReportClock(off_s=0))
    assert "StepStarted" in names(play.says(SWITCH, "lead"))


def test_a_restart_takes_the_clock_as_it_finds_it() -> None:
    play = Play().gone()
    play.orders(m.ReportClock(off_s=47))
    play.restarts()
    assert "StepStarted" in names(play.says(SWITCH, "lead"))


def test_every_room_that_shows_a_run_hears_of_a_stepped_clock() -> None:
    play = Play().gone()
    play.orders(m.ReportClock(off_s=-5))
    assert [(effect.kind, effect.place) for effect in play.effects[-1:]] == [("line", play.run.place)]
