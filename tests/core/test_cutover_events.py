"""Every word has its arm, survives its JSON, and means the same each time it is folded."""

import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from bot.core import messages as m
from bot.core.cutover import react
from bot.core.cutover.decide import _ARMS
from bot.core.cutover.evolve import arm
from bot.core.runbook import Policy
from tests.core.play import Play, at, codec

#: Answered before a run is looked up.
_DEPLOYMENT_EVENTS = {m.ServiceStarted, m.ReadingsSealed, m.EffectParked, m.ClockStepped, m.RunOpened}
_DEPLOYMENT_COMMANDS = {m.RecordReading, m.Wake, m.StartService, m.ParkEffect, m.ReportClock}

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
_POLICIES = st.one_of(
    st.builds(
        Policy,
        one_of_each=st.lists(st.sampled_from(("lead", "ops")), min_size=1, max_size=2).map(tuple),
        not_requester=st.booleans(),
        at_most=st.none() | st.integers(1, 10**7).map(lambda s: timedelta(seconds=s)),
    ),
    st.builds(Policy, any=st.integers(1, 3), of=st.just(("lead", "ops"))),
)
_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: _TEXTS,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: _TIMES,
    Policy: _POLICIES,
}


def _of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line for each form of type
    """Return values of a field's type."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Annotated:
        return _of(inside[0])
    if origin is Literal:
        return st.sampled_from(inside)
    if origin in {Union, types.UnionType}:
        return st.one_of(*map(_of, inside))
    if origin is tuple:
        return st.lists(_of(inside[0]), max_size=3).map(tuple) if Ellipsis in inside else st.tuples(*map(_of, inside))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(_of(inside[0]), _of(inside[1]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    assert issubclass(kind, BaseModel), f"no values known for {kind}"
    return _model(kind)


def _model(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: _of(field.annotation) for name, field in kind.model_fields.items()})


@pytest.mark.parametrize("kind", m.EVENTS.values(), ids=m.EVENTS)
def test_every_event_has_an_arm_in_the_fold(kind: type[m.Event]) -> None:
    assert kind in _DEPLOYMENT_EVENTS or arm.dispatch(kind) is not arm.dispatch(m.Event)


@pytest.mark.parametrize("kind", m.COMMANDS.values(), ids=m.COMMANDS)
def test_every_command_has_an_arm_in_the_decision(kind: type[m.Command]) -> None:
    assert (kind in _DEPLOYMENT_COMMANDS) != (kind in _ARMS)


@pytest.mark.parametrize("kind", m.EVENTS.values(), ids=m.EVENTS)
def test_every_event_survives_its_json(kind: type[m.Event]) -> None:
    @settings(max_examples=15, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_model(kind))
    def survives(event: m.Event) -> None:
        assert codec(event) == event

    survives()


def _night() -> Play:
    play = Play().watching()
    play.fails("mno-b")
    play.says(m.CastVote(number=2, option="B", owner="noc-a", minutes=5, reason="restart the trunk"), "noc-a")
    play.sweeps_until(play.now + timedelta(minutes=6), failing=("mno-b",), silent=("fixed",))
    play.says(m.Pause(reason="storm"), "care")
    play.restarts()
    play.votes("A", "lead", "partner-a")
    play.reports("port-back", "unknown", "no answer")
    play.says(m.Done(step="port-back", note="donor confirms"), "lead")
    return play


def test_what_happened_folds_to_the_same_state_after_its_json() -> None:
    play = _night()
    assert play.again() == play.house
    assert play.run.status.over


def test_the_same_event_always_has_the_same_effects_with_the_same_ids() -> None:
    play = _night()
    for event in play.events:
        first = react(play.house, event, 7)
        assert first == react(play.house, event, 7)
        assert [effect.id for effect in first] == [f"7.{ordinal}" for ordinal in range(len(first))]


def test_every_effect_of_a_night_has_an_id_of_its_own() -> None:
    ids = [effect.id for effect in _night().effects]
    assert len(ids) == len(set(ids))


def test_the_board_is_one_message_that_is_replaced() -> None:
    boards = [effect for effect in _night().effects if effect.kind == "board"]
    assert {(effect.place, effect.replaces) for effect in boards} == {("C1", "wave-1/board")}


def test_after_a_silence_the_room_is_told_that_we_are_back() -> None:
    play = Play(at(1, 0)).started()
    mark = len(play.effects)
    play.restarts()
    assert next(effect.kind for effect in play.effects[mark:]) == "line"
