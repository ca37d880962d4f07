"""The contract of a check, and the words it uses for durations and targets."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

import checks
from bot.core.errors import SettingsRefused
from bot.core.model import Cell, Outcome, Reading
from checks import Check, Measured, Params, Targets, close_all, kinds
from checks.targets import HttpEndpoint, SipTrunk, SmppBind, parse_targets, secret, target
from checks.units import Duration, said

Take = Callable[..., Awaitable[Reading]]
LEAST: dict[str, dict[str, Any]] = {
    "voice": {},
    "ivr": {"expect": "welcome"},
    "sms": {},
    "data": {},
    "http": {"target": "npdb"},
}


def test_the_five_kinds_are_found_by_their_files() -> None:
    assert set(LEAST) == set(kinds())
    for name, kind in kinds().items():
        assert isinstance(kind(kind.Params.model_validate(LEAST[name])), Check)


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_every_kind_refuses_unknown_words_and_says_its_limit_and_targets(kind: str) -> None:
    model = kinds()[kind].Params
    params = model.model_validate(LEAST[kind])
    assert params.service_limit_s() > 0
    assert params.has_condition()
    ((section, key),) = params.targets(Cell(origin="mno-a", service="mno-a", number="+447700900001"))
    assert section in {"sip", "smpp", "http", "data"}
    assert key in {"mno-a", "npdb"}
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate({**LEAST[kind], "nonsense": 1})


@pytest.mark.parametrize("kind", sorted(LEAST))
def test_parameters_survive_a_dump_and_have_a_schema(kind: str) -> None:
    params = kinds()[kind].Params.model_validate(LEAST[kind])
    assert kinds()[kind].Params.model_validate(params.model_dump(mode="json")) == params
    assert kinds()[kind].Params.model_json_schema()["additionalProperties"] is False


async def test_bad_parameters_and_unknown_kinds_are_our_error(take: Take) -> None:
    bad = await take("voice", Cell(origin="x", number="1"), {}, answer_within="soon")
    unknown = await take("telepathy", Cell(), {})

    assert (bad.outcome, unknown.outcome) == (Outcome.ERROR, Outcome.ERROR)
    assert "answer_within" in bad.detail
    assert "write 10s, 500ms, 2m, 1h" in bad.detail
    assert "it knows data, http, ivr, sms, voice" in unknown.detail


class EndlessCheck:
    """Measures what no number can say."""

    KIND: ClassVar[str] = "endless"
    Params: ClassVar[type[Params]] = Params

    def __init__(self, params: object) -> None:
        self.params = params

    async def take(self, _cell: Cell, _targets: Targets, _deadline: float) -> Measured:
        metrics = {"jitter_s": float("nan"), "lag_s": float("inf"), "fine_s": 1.0}
        return Measured(outcome=Outcome.PASS, metrics=metrics, detail="all well")


async def test_a_metric_of_any_kind_that_is_no_finite_number_is_our_error(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "kinds", lambda: {"endless": EndlessCheck})
    reading = await take("endless", Cell(), {})

    assert reading.outcome is Outcome.ERROR
    assert reading.metrics == {"fine_s": 1.0}
    assert reading.detail == ("not measured: jitter_s, lag_s came out as no finite number; the check said: all well")


async def test_closing_with_nothing_open_does_nothing() -> None:
    await close_all()
    assert Params().service_limit_s() == 0


@pytest.mark.parametrize(
    ("written", "seconds"), [("10s", 10), ("500ms", 0.5), ("2m", 120), ("1.5h", 5400), (3, 3), (0.6, 0.6), (" 4 s ", 4)]
)
def test_durations_are_read_as_people_write_them(written: object, seconds: float) -> None:
    assert TypeAdapter(Duration).validate_python(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["10", "ten", "-1s", -1, True, None, float("inf"), float("nan"), "1d", [1]])
def test_what_is_no_duration_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValidationError, match=r"write 10s|cannot be waited for"):
        TypeAdapter(Duration).validate_python(written)


def test_a_sentence_never_says_zero_for_a_short_time() -> None:
    assert (said(0.00065), said(0.0), said(0.123), said(12.34)) == ("0.65 ms", "0.00 s", "0.12 s", "12.3 s")


def test_targets_are_filled_in_with_their_defaults() -> None:
    targets = parse_targets({"sip": {"mno-a": {"host": "10.0.0.1"}}})
    assert targets["sip"]["mno-a"]["port"] == 5060
    assert target(targets, "sip", "mno-a", SipTrunk) == SipTrunk(host="10.0.0.1")
    assert parse_targets(None)["http"] == {}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"spi": {}}, "targets.spi: is not known here. Did you mean 'sip'?"),
        ({"sip": {"a": {"host": "h", "prot": 1}}}, "targets.sip.a.prot: is not known here. Did you mean 'port'?"),
        ({"sip": {"a": {"host": "h", "port": 70000}}}, "targets.sip.a.port: "),
        ({"sip": {"a": {"host": "h", "port": "5060"}}}, "targets.sip.a.port: "),
        ({"sip": {"a": {"host": "h", "transport": "tls"}}}, "targets.sip.a.transport: "),
        ({"smpp": {"a": {"host": "h", "system_id": "x"}}}, "targets.smpp.a.password: Field required"),
        ({"http": {"a": {"url": "ftp://x"}}}, "targets.http.a.url: a URL starts with http:// or https://"),
        ({"data": {"a": {"host": "h", "resolver": "r"}}, "dns": {"r1": {"host": "h"}}}, "Did you mean 'r1'?"),
        ({"data": {"a": {"host": "h", "path": "x"}}}, "targets.data.a.path: "),
        (["not a mapping"], "targets: "),
    ],
)
def test_a_faulty_target_is_named_with_its_place(raw: object, why: str) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        parse_targets(raw)
    assert why in str(refusal.value)


def test_a_secret_may_be_a_reference_and_is_read_at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = {"smpp": {"c": {"host": "h", "system_id": "s", "password": {"env": "SMSC_C"}}}}
    targets = parse_targets(raw)
    bind = target(targets, "smpp", "c", SmppBind)
    assert targets["smpp"]["c"]["password"] == {"env": "SMSC_C"}
    with pytest.raises(SettingsRefused, match="SMSC_C is not set"):
        secret(bind.password)
    monkeypatch.setenv("SMSC_C", "pw")
    assert secret(bind.password) == "pw"
    assert secret(HttpEndpoint(url="http://x").token) == ""
