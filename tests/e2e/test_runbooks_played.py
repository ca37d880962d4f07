"""Each shipped runbook is opened and played to its end by people in the room, in one migration and in its order."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.ports import EventRow, ReadingRow
from bot.core.proof import verify
from bot.core.state import RunState, RunStatus
from bot.rehearsal.crew import Line, Script
from bot.rehearsal.modelled import Fault
from tests.e2e.played import MAIN, SIDE, Migration, migration

#: In an order that satisfies every `requires`, each with how long before its window its people come together.
SEQUENCE: dict[str, timedelta | None] = {
    "destination-readiness": None,
    "mediation": None,
    "subscriber-cohort": None,
    "parallel-operations": None,
    "api-integrations": None,
    "number-portability-cutover": timedelta(minutes=12),
    "bss-cutover": timedelta(days=7, hours=1),
    "completion": None,
}


async def test_a_migration_is_played_from_the_first_runbook_to_the_last(tmp_path: Path) -> None:
    async with migration(tmp_path) as played:
        too_early = await refused_at_start(played, "mediation")
        assert "destination-readiness must be completed" in too_early

        for name, before in SEQUENCE.items():
            # The run that was refused waits in its own channel: now it may start.
            played.channel = SIDE if name == "mediation" else MAIN
            if before is not None:
                await played.until(played.at_the_window(name, before))
            result = await played.played(name)
            assert (name, result.outcome, result.run) == (name, "completed", f"{name}-1")
            assert "COMPLETED" in played.board(played.channel).splitlines()[0]

        house = played.service.house
        assert house.completed("wave-1") == set(SEQUENCE)
        assert not house.parked
        for run in house.runs.values():
            assert run.holes == ()
            assert run.missed == 0
            assert went_as_signed(run)
        assert performed(played) == ACTIONS
        assert played.carrier.npdb.state()["activated"]
        assert proven(played) == played.prober.taken
        # People who know their runbook are refused nothing, but what was tried on purpose.
        assert refusals(played) == [too_early]


async def refused_at_start(played: Migration, name: str) -> str:
    """Open *name* in the side channel, sign it, and return what its starter is told."""
    played.channel = SIDE
    await played.opened(name)
    for person in ("lead", "noc-a", "finance"):
        await played.act(Line(person, "sign"))
    await played.act(Line("lead", "start"))
    answer = await played.people["lead"].wait_for(
        lambda me: [told for told in me.ephemerals(SIDE) if "Not started" in told["text"]]
    )
    run = played.look()
    assert run is not None
    assert (run.status, run.started_at) == (RunStatus.OPENED, None)
    return str(answer[0]["text"])


def refusals(played: Migration) -> list[str]:
    """Return everything that anybody was refused."""
    told = [str(message["text"]) for person in played.people.values() for message in person.ephemerals()]
    no = ("Not ", "Nothing ", "Too late", "I do not know", "Your vote does not", "Your vote was not", "Your vote for")
    return [text for text in told if text.removeprefix("REHEARSAL · ").startswith(no)]


#: What the systems outside were told to do, in this order and once each.
ACTIONS = [
    "provision-destination",
    "replay-traffic",
    "start-mediation",
    "replay-usage",
    "move-cohort-1",
    "move-cohort-2",
    "start-dual-write",
    "move-bi-pipeline",
    "move-reseller-portal",
    "move-self-service-app",
    "move-payment-gateway",
    "switch-bss",
    "decommission-legacy",
]


def performed(played: Migration) -> list[str]:
    return [str(action["action"]) for action in played.carrier.figures.actions]


def went_as_signed(run: RunState) -> bool:
    """Return whether every step is done, and every gate by a decision of the people whose policy it is."""
    decided = {d.opened.about: d.decided for d in run.decisions.values() if d.opened.subject == "gate"}
    gates = [step for step in run.plan.steps if step.kind == "gate"]
    by_people = all((said := decided.get(gate.id)) is not None and len(said.voters) >= 2 for gate in gates)
    return by_people and all(state.status.settled for key, state in run.steps.items() if key not in back(run))


def back(run: RunState) -> set[str]:
    return {step.id for step in run.plan.rollback}


def proven(played: Migration) -> int:
    """Check the whole ledger, and return how many readings it holds."""
    rows: list[EventRow | ReadingRow] = list(played.store.rows())
    report = verify(rows)
    assert report.broken is None, report.sentence
    assert (report.position, report.unsealed) == (len(rows), 0)
    return report.readings


@dataclass(frozen=True, slots=True)
class Night:
    """A night that ends with going back: what breaks during which step, and what that leads to."""

    runbook: str
    step: str
    fault: Fault
    trigger: str
    voters: tuple[str, ...]
    told: tuple[str, ...]  #: what the systems outside were told, in order


NIGHTS = (
    Night(
        "number-portability-cutover",
        "validate",
        Fault(check="voice-inbound", origin="mno-b", detail="not found (404): still routed to the old network"),
        "inbound-voice-failing",
        ("lead", "partner-a"),
        ("activate", "port-back"),
    ),
    Night(
        "bss-cutover",
        "validate",
        Fault(check="rating", detail="6 events rated differently", metrics={"changed": 6}),
        "rating-differs",
        ("lead",),
        ("switch-bss", "switch-bss-back"),
    ),
    Night(
        "subscriber-cohort",
        "watch-1",
        Fault(check="cohort", detail="12 subscribers missing", metrics={"missing_right": 12}),
        "subscribers-differ",
        ("lead",),
        ("move-cohort-1", "move-cohorts-back"),
    ),
)


@pytest.mark.parametrize("night", NIGHTS, ids=[night.runbook for night in NIGHTS])
async def test_a_fault_after_the_move_is_met_by_a_signed_rule_and_people_go_back(night: Night, tmp_path: Path) -> None:
    before = SEQUENCE[night.runbook]
    others = tuple(name for name in SEQUENCE if name != night.runbook)
    async with migration(tmp_path, assumes=others) as played:
        if before is not None:
            await played.until(played.at_the_window(night.runbook, before))
        played.fault_when = (night.step, night.fault)
        result = await played.played(night.runbook, Script.ROLLBACK)
        run = played.look()
        assert run is not None
        assert (result.outcome, run.status) == ("rolled_back", RunStatus.ROLLED_BACK)
        assert (result.trigger, result.voters) == (night.trigger, night.voters)
        assert all(run.steps[step].status.settled for step in back(run))
        orders = [str(order["operation"]) for order in played.carrier.npdb.state()["orders"]]
        assert (*orders, *performed(played)) == night.told
        assert "COMPLETED" not in played.board(MAIN)
        assert proven(played) == played.prober.taken
