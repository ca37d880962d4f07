"""
The state machine: decide what happens, fold it, say what must go out.

`decide(house, order, now) -> events`, `evolve(house, event, seen) -> house`,
`react(house, event, position) -> effects`. Pure: the writer draws ids and `now` and hands them in.
"""

from bot.core.cutover.decide import Decision, decide
from bot.core.cutover.due import next_due
from bot.core.cutover.evolve import Seen, evolve, observe
from bot.core.cutover.react import react

__all__ = ["Decision", "Seen", "decide", "evolve", "next_due", "observe", "react"]
