"""
The embedded war room: a Slack-compatible server with its page.

`start_room(RoomConfig(...))` opens one inside this process; `python -m bot.room CONFIG.json` as a process of its own.
`RoomPerson` is somebody in it, for scripts and tests.
"""

from bot.room.config import RoomChannel, RoomConfig, RoomGroup, RoomUser, Timing
from bot.room.person import NotSeen, RoomPerson, RoomSaysNo
from bot.room.server import RunningRoom, start_room

__all__ = [
    "NotSeen",
    "RoomChannel",
    "RoomConfig",
    "RoomGroup",
    "RoomPerson",
    "RoomSaysNo",
    "RoomUser",
    "RunningRoom",
    "Timing",
    "start_room",
]
