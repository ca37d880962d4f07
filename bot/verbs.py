"""
Every verb a person may say, once.

Slack, the command line and the page read this table: a verb is one function here, its docstring is
its help, and what it returns is either a command for the service or a message to read. To add a
verb, add one function.
"""

import asyncio
import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bot.core import messages as m
from bot.core.deployment import Deployment
from bot.core.errors import Reason, Refused, RunbookRefused, StoreUnavailable
from bot.core.ledger import decode
from bot.core.model import Actor, Utc, Via
from bot.core.ports import Store
from bot.core.spans import duration
from bot.core.state import House, RunState
from bot.service import Service
from bot.words import answers, card
from bot.words.message import Message
from bot.words.replies import done as done_words
from bot.words.safe import said as safe


@dataclass(frozen=True, slots=True)
class Book:
    """A runbook's text, and the fingerprints of the deployment entries that it names."""

    text: str
    fingerprints: Mapping[str, str]


class Library(Protocol):
    """The runbooks that may be opened."""

    def names(self) -> Sequence[str]:
        """Return the names, sorted."""
        ...

    def book(self, name: str) -> "Book":
        """Return a runbook, checked against kinds and deployment. Raise RunbookRefused."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What a verb may look at and act through."""

    service: Service
    store: Store
    deployment: Deployment
    library: Library
    scenario: m.Scenario | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One line that a person said, where and when. `place` is the channel, empty on the command line."""

    desk: Desk
    person: str
    place: str
    words: tuple[str, ...]
    now: Utc
    run_id: str = ""

    @property
    def house(self) -> House:
        """The state the line meets."""
        return self.desk.service.house

    @property
    def run(self) -> RunState:
        """The run meant: named, else the channel's, else the only one. Raise Refused listing them."""
        if self.run_id:
            found = self.house.runs.get(self.run_id)
            if found is None:
                raise Refused(
                    Reason.UNKNOWN_WORD, f'There is no run "{self.run_id}". {_runs(self.house, self.desk.deployment)}'
                )
            return found
        here = self.house.active_in(self.place) if self.place else None
        active = self.house.active()
        if here is not None:
            return here
        if len(active) == 1 and not self.place:
            return active[0]
        if not active or self.place:
            latest = [run for run in self.house.runs.values() if not self.place or run.place == self.place]
            if latest:
                return max(latest, key=lambda run: run.opened_at)
        remedy = "no run was opened in this channel" if self.place else "say which run with --run ID"
        raise Refused(Reason.UNKNOWN_WORD, f"Nothing was done: {remedy}. {_runs(self.house, self.desk.deployment)}")

    @property
    def rest(self) -> str:
        """Every word after the verb, as one text."""
        return " ".join(self.words)

    def after(self, count: int) -> str:
        """The words from *count* on, as one text; a leading "because" is left out."""
        words = self.words[count:]
        return " ".join(words[1:] if words and words[0].lower() == "because" else words)

    def word(self, index: int, what: str) -> str:
        """Return the word at *index*. Raise Refused when it is missing."""
        if index >= len(self.words):
            raise Refused(Reason.BAD_ARGUMENT, f"Nothing was done: {what} is missing.")
        return self.words[index]

    def somebody(self, word: str) -> str:
        """Return the person that `@noc-a`, `noc-a` or a Slack mention means. Raise Refused naming the nearest."""
        mention = re.fullmatch(r"<@(\w+)(?:\|[^>]*)?>", word)
        key = word.lstrip("@")
        if mention is not None:
            key = _mentioned(self.desk.deployment, mention[1])
        if key not in self.desk.deployment.people:
            key = _named(self.desk.deployment, key)
        if key not in self.desk.deployment.people:
            raise Refused(
                Reason.BAD_ARGUMENT,
                f'Nothing was done: "{word}" is not listed.{_nearest(key, self.desk.deployment.people)}',
            )
        return key

    def time(self, word: str) -> Utc:
        """Return the next time it is *word* (`03:30`) in the run's zone, or an ISO time. Raise Refused."""
        return next_time(word, self.run.plan.zone, self.now)


def _named(deployment: Deployment, name: str) -> str:
    """Return who is shown in the room by *name*, if one person is; else *name* itself."""
    found = [key for key, person in deployment.people.items() if person.name.casefold() == name.casefold()]
    return found[0] if len(found) == 1 else name


def _mentioned(deployment: Deployment, user: str) -> str:
    """Return whose Slack or room user id *user* is, or the id itself for nobody listed."""
    for key, person in deployment.people.items():
        if any(account.replace("/", ":").rsplit(":", 1)[-1] == user for account in person.accounts):
            return key
    return user


def _runs(house: House, deployment: Deployment) -> str:
    active = ", ".join(f"{run.run} in {deployment.channel_of(run.place)}" for run in house.active())
    return f"Active runs: {active}." if active else "No run is open. To open one: /cutover open RUNBOOK"


def _nearest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else f" Listed: {', '.join(sorted(known))}."


def next_time(word: str, zone: ZoneInfo, now: Utc) -> Utc:
    """Return the next time the clock of *zone* shows *word* (`03:30`), or the ISO time it is. Raise Refused."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", word)
    if match is not None:
        local = now.astimezone(zone).replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        return local if local > now else local + timedelta(days=1)
    try:
        when = datetime.fromisoformat(word)
    except ValueError:
        raise Refused(
            Reason.BAD_ARGUMENT, f'Nothing was done: "{word}" is not a time. Write 03:30 or 2026-12-08T03:30.'
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=zone)


Answer = m.Command | Message
_Says = Callable[[Said], Answer]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: its name, how to write it, what it does, and whether it changes anything."""

    name: str
    usage: str
    help: str
    says: _Says
    aliases: tuple[str, ...] = field(default=())


VERBS: dict[str, Verb] = {}


def verb(usage: str, *aliases: str) -> Callable[[_Says], _Says]:
    """List a verb under its function's name; *usage* is what follows `/cutover`."""

    def listed(says: _Says) -> _Says:
        name = usage.split(maxsplit=1)[0]
        VERBS[name] = Verb(name, usage, (says.__doc__ or "").strip(), says, aliases)
        return says

    return listed


# ------------------------------------------------------------------------------------------- runs


@verb("help [VERB]")
def help_(said: Said) -> Answer:
    """What you can say here."""
    wanted = said.words[0] if said.words else ""
    if wanted and wanted in VERBS:
        return Message(text=f"/cutover {VERBS[wanted].usage}\n{VERBS[wanted].help}", blocks=())
    lines = [f"/cutover {one.usage}: {one.help.splitlines()[0]}" for one in VERBS.values()]
    return Message(text="\n".join(lines), blocks=())


@verb("open RUNBOOK [MIGRATION]")
def open_(said: Said) -> Answer:
    """Open a run of a runbook in this channel. Days before the night: signatures come next."""
    name = said.word(0, "the runbook's name")
    library = said.desk.library
    if name not in library.names():
        raise Refused(
            Reason.UNKNOWN_WORD, f'There is no runbook "{name}". Nothing was opened.{_nearest(name, library.names())}'
        )
    deployment = said.desk.deployment
    migration = said.words[1] if len(said.words) > 1 else deployment.migration
    taken = [run for run in said.house.runs if run.startswith(name)]
    book = library.book(name)
    return m.Open(
        run=f"{name}-{len(taken) + 1}",
        migration=migration,
        place=said.place or deployment.channel_of("main"),
        text=book.text,
        scenario=said.desk.scenario,
        people=deployment.names(),
        deployment=book.fingerprints,
    )


@verb("amend RUNBOOK because REASON")
def amend(said: Said) -> Answer:
    """Change the runbook of the run. Votes are void; signatures too, where the criteria changed."""
    name = said.word(0, "the runbook's name")
    if name not in said.desk.library.names():
        raise Refused(Reason.UNKNOWN_WORD, f'There is no runbook "{name}".{_nearest(name, said.desk.library.names())}')
    book = said.desk.library.book(name)
    return m.Amend(run=said.run.run, text=book.text, reason=said.after(1), deployment=book.fingerprints)


@verb("criteria")
def criteria(said: Said) -> Answer:
    """Show the list that people sign, with its digest and who has signed."""
    return answers.criteria(said.run, said.now)


@verb("sign [DIGEST]")
def sign(said: Said) -> Answer:
    """Sign the list of criteria for every role you fill. With the digest you read, another list is not signed."""
    return m.Sign(run=said.run.run, digest=said.words[0] if said.words else "")


@verb("start [STEP]")
def start(said: Said) -> Answer:
    """Start the run, or one of its steps; a gate that was answered "not yet" is asked again."""
    return m.Start(run=said.run.run, step=said.words[0] if said.words else "")


@verb("abort because REASON")
def abort(said: Said) -> Answer:
    """Give the run up, with a reason, while no action was sent; the channel is then free for another run."""
    return m.Abort(run=said.run.run, reason=said.after(0))


@verb("here")
def here(said: Said) -> Answer:
    """Answer the roll call."""
    return m.Here(run=said.run.run)


@verb("status", "")
def status(said: Said) -> Answer:
    """Catch me up: where the run stands, and what you can do now."""
    return answers.status(said.house, said.run, said.now, said.person)


# ------------------------------------------------------------------------------------------ steps


@verb("done STEP [NOTE]")
def done(said: Said) -> Answer:
    """A manual step, a task, or a step in doubt is done."""
    return m.Done(run=said.run.run, step=said.word(0, "the step"), note=said.after(1))


@verb("skip STEP because REASON")
def skip(said: Said) -> Answer:
    """Leave a step out, with a reason. Gates, watches, roll calls and the switch are never left out."""
    return m.Skip(run=said.run.run, step=said.word(0, "the step"), reason=said.after(1))


@verb("fail STEP because REASON")
def fail(said: Said) -> Answer:
    """A step did not work, with a reason."""
    return m.Fail(run=said.run.run, step=said.word(0, "the step"), reason=said.after(1))


@verb("retry STEP")
def retry(said: Said) -> Answer:
    """Do a failed step, or one in doubt, again."""
    return m.Retry(run=said.run.run, step=said.word(0, "the step"))


@verb('add "TEXT" @PERSON [by HH:MM]')
def add(said: Said) -> Answer:
    """Add an unplanned task for a person, to be done by a time."""
    text = said.word(0, "the text in quotes")
    person = said.somebody(said.word(1, "the person"))
    late = said.words[3] if len(said.words) > 3 and said.words[2] == "by" else ""
    return m.AddTask(run=said.run.run, text=text, person=person, by=said.time(late) if late else None)


@verb("check CHECK")
def check(said: Said) -> Answer:
    """Probe every cell of a check at once."""
    return m.CheckNow(run=said.run.run, check=said.word(0, "the check"))


# -------------------------------------------------------------------------------------- decisions


@verb("decide NUMBER [LETTER] [@OWNER TIME] [because REASON]")
def decide(said: Said) -> Answer:
    """Choose an option of a decision by its letter; with the number alone, show its card. Fix first needs an owner and a time."""
    number = _number(said.word(0, "the decision's number"))
    run = said.run
    if len(said.words) == 1:
        decision = run.decisions.get(number)
        if decision is None:
            raise Refused(Reason.UNKNOWN_WORD, f"There is no decision {number} in this run.")
        return card.card(said.house, run, decision, said.now)
    owner, minutes, used = "", 0.0, 2
    if len(said.words) > 3 and said.words[2].startswith(("@", "<@")):
        owner, minutes, used = said.somebody(said.words[2]), _minutes(said.words[3]), 4
    return m.CastVote(
        run=run.run, number=number, option=said.words[1], owner=owner, minutes=minutes, reason=said.after(used)
    )


@verb("reason NUMBER TEXT")
def reason(said: Said) -> Answer:
    """Say why you voted so; it goes into the record."""
    return m.GiveReason(run=said.run.run, number=_number(said.word(0, "the decision's number")), reason=said.after(1))


@verb("undo [because REASON]")
def undo(said: Said) -> Answer:
    """Ask to go back, before the point of no return."""
    return m.GoBack(run=said.run.run, word="undo", reason=said.after(0))


@verb("port-back [because REASON]", "rollback")
def port_back(said: Said) -> Answer:
    """Ask to port back, after the point of no return: a new port, not an undo."""
    return m.GoBack(run=said.run.run, word="port-back", reason=said.after(0))


@verb("pause [because REASON]", "hold")
def pause(said: Said) -> Answer:
    """Stop going forward; probing goes on. One person with a role is enough."""
    return m.Pause(run=said.run.run, reason=said.after(0))


@verb("resume [because REASON]")
def resume(said: Said) -> Answer:
    """Ask to go forward again; it is decided like a go."""
    return m.Resume(run=said.run.run, reason=said.after(0))


@verb("postpone OPENS CLOSES [because REASON]")
def postpone(said: Said) -> Answer:
    """Move the window to a later time, before the point of no return."""
    opens = said.time(said.word(0, "when the window opens"))
    closes = said.time(said.word(1, "when the window closes"))
    return m.Postpone(run=said.run.run, opens=opens, closes=closes, reason=said.after(2))


# ----------------------------------------------------------------------------------------- ledger


@verb("note TEXT")
def note(said: Said) -> Answer:
    """Write a line into the ledger."""
    return m.Note(run=said.run.run, text=said.rest)


@verb("ledger [COUNT]")
def ledger(said: Said) -> Answer:
    """The newest entries of the ledger, with its head."""
    count = min(50, max(1, _number(said.words[0]))) if said.words else 10
    position, head = said.desk.store.head()
    lines = [_entry(*decode(row)) for row in said.desk.store.newest(count)]
    return Message(text="\n".join([*lines, f"Head: entry {position}, {head.hex()[:12]}"]), blocks=())


def _entry(envelope: object, event: m.Event) -> str:
    position, at, actor = (getattr(envelope, name) for name in ("position", "at", "actor"))
    about = ", ".join(
        f"{name} {value}" for name, value in event.model_dump(mode="json").items()
        if name in {"step", "number", "option", "person", "trigger", "check", "after", "because", "reason", "role"} and value
    )  # fmt: skip
    return f"{position} {at:%H:%M:%S} UTC {type(event).__name__} by {actor.person}" + (
        f": {safe(about)}" if about else ""
    )


def _number(word: str) -> int:
    if not word.isdigit():
        raise Refused(Reason.BAD_ARGUMENT, f'Nothing was done: "{word}" is not a number.')
    return int(word)


def _minutes(word: str) -> float:
    try:
        return duration(word).total_seconds() / 60
    except ValueError as error:
        raise Refused(Reason.BAD_ARGUMENT, f"Nothing was done: {error!s}") from None


# ------------------------------------------------------------------------------------------ doing


def parse(line: str) -> tuple[Verb, tuple[str, ...]]:
    """Return the verb of *line* and the words after it. Raise Refused naming the nearest verb and its usage."""
    line = line.encode("utf-8", "replace").decode()  # half a character could be written nowhere
    try:
        words = shlex.split(line.replace("“", '"').replace("”", '"'))
    except ValueError:
        words = line.split()
    name = words[0].lower() if words else "status"
    found = VERBS.get(name) or next((one for one in VERBS.values() if name in one.aliases), None)
    if found is None:
        close = difflib.get_close_matches(
            name, [*VERBS, *(a for v in VERBS.values() for a in v.aliases if a)], n=1, cutoff=0.4
        )
        near = (
            VERBS.get(close[0]) or next(v for v in VERBS.values() if close[0] in v.aliases) if close else VERBS["help"]
        )
        raise Refused(
            Reason.UNKNOWN_WORD, f'I do not know "{name}". Nothing was done. Did you mean: /cutover {near.usage}'
        )
    return found, tuple(words[1:])


def understand(line: str, desk: Desk, person: str, place: str, run_id: str = "") -> Answer:
    """Return the command or message that *line* means. Raise Refused or RunbookRefused; nothing is done."""
    found, words = parse(line)
    try:
        return found.says(Said(desk, person, place, words, desk.service.now(), run_id))
    except Refused as refusal:
        if refusal.reason is Reason.BAD_ARGUMENT and "/cutover" not in refusal.sentence:
            raise Refused(refusal.reason, f"{refusal.sentence} Write: /cutover {found.usage}") from None
        raise


async def say(
    line: str, desk: Desk, actor: Actor, via: Via, place: str,
    *, run_id: str = "", command_id: str | None = None, inbox: str | None = None,
) -> tuple[bool, Message]:  # fmt: skip
    """
    Do what *line* says and return whether it was done and the private answer.

    Never raises for what people say: a refusal is an answer. The inbox row is settled in any case.
    """
    try:
        # In a thread: a runbook is read, or the ledger, and others are to be heard meanwhile.
        meant = await asyncio.to_thread(understand, line, desk, actor.person, place, run_id)
        if isinstance(meant, Message):
            answer = meant
        else:
            finished = await desk.service.handle(meant, actor, via, command_id=command_id, inbox=inbox)
            return True, done_words(
                meant, finished.house, finished.events, desk.service.now(), repeated=finished.repeated
            )
    except Refused as refusal:
        await _settle(desk, inbox, "refused")
        return False, answers.refused(refusal.sentence, _shown(desk, place, run_id))
    except RunbookRefused as refusal:
        await _settle(desk, inbox, "refused")
        return False, answers.refused(f"Not opened. {refusal}", _shown(desk, place, run_id))
    except StoreUnavailable as trouble:
        return False, Message(
            text=f"NOT recorded, say it again when the room says that the ledger can be written. {trouble}", blocks=()
        )
    await _settle(desk, inbox, "handled")
    return True, answer


def _shown(desk: Desk, place: str, run_id: str) -> RunState | None:
    """Return the run that a refusal concerns, so that a rehearsal's says so."""
    house = desk.service.house
    return house.runs.get(run_id) or (house.active_in(place) if place else None)


async def _settle(desk: Desk, inbox: str | None, how: str) -> None:
    if inbox is not None:
        await desk.service.settle(inbox, how)
