"""What gets a line in the channel, and what the board or a card says already."""

from datetime import timedelta

from bot.core import messages as m
from bot.core.cutover.react import gate_cards
from tests.core.play import Play


def _told(play: Play, kind: type[m.Event]) -> int:
    """Return how many events of *kind* put a line into the channel."""
    at = {seen.position for thing, seen in play.records if isinstance(thing, kind)}
    return len({effect.position for effect in play.effects if effect.kind == "line" and effect.position in at})


def test_signatures_are_told_once_all_are_given() -> None:
    play = Play().started()
    assert len(play.happened(m.CriteriaSigned)) > 1
    assert _told(play, m.CriteriaSigned) == 1


def test_a_check_that_begins_to_work_is_the_boards_affair() -> None:
    play = Play().watching()
    assert play.happened(m.CheckTurned)
    assert _told(play, m.CheckTurned) == 0


def test_cells_that_fall_silent_together_are_one_line_for_their_check_and_one_when_they_are_back() -> None:
    play = Play().watching()
    play.sweeps_until(play.now + timedelta(minutes=5), silent=("donor", "fixed"))
    holes = play.happened(m.HoleOpened)
    assert len(holes) > len({hole.check for hole in holes})
    assert _told(play, m.HoleOpened) == len({hole.check for hole in holes})
    assert _told(play, m.HoleClosed) == 0
    play.sweeps_until(play.now + timedelta(minutes=2))
    assert len(play.happened(m.HoleClosed)) == len(holes)
    assert _told(play, m.HoleClosed) == len({hole.check for hole in holes})
    assert _told(play, m.CheckTurned) == 0


def test_a_failing_check_is_told() -> None:
    play = Play().watching()
    play.sweeps_until(play.now + timedelta(minutes=3), failing=("mno-b",))
    assert _told(play, m.CheckTurned) == 1


def test_only_the_cards_of_open_gates_follow_the_readings() -> None:
    play = Play().called()
    assert [(card.kind, card.subject, card.replaces) for card in gate_cards(play.run, 9)] == [
        ("card-update", "1", "wave-1/card-1")
    ]
    assert gate_cards(Play().watching().run, 9) == ()
