"""
The simulated carrier's configuration: its numbers, its ports, how quick it is.

Numbers come from the range that the UK regulator keeps free for drama, so that a mistake rings nobody.
"""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from bot.core.model import Value
from checks.carrier.faults import CARRIERS, ORIGINS

Number = Annotated[str, StringConstraints(pattern=r"^\+4477009009?\d{2,3}$")]

#: The trunk on which our own subscribers call out.
OWN = "mvno"
TRUNKS = (*ORIGINS, OWN)
#: Every socket the carrier opens, by the name that `ports` uses.
SOCKETS = (
    "control",
    "site",
    "dns",
    "rtp",
    *(f"sip-{trunk}" for trunk in TRUNKS),
    *(f"smpp-{name}" for name in CARRIERS),
)


class CarrierConfig(Value):
    """What may be set; every field has a default that suits a demo."""

    host: str = "127.0.0.1"
    ports: dict[str, Annotated[int, Field(ge=0, le=65535)]] = Field(
        default_factory=dict
    )  #: by socket name; what is not named is free
    test_numbers: tuple[Number, ...] = ("+447700900001", "+447700900002")
    control_numbers: tuple[Number, ...] = ("+447700900901",)
    ivr_number: Number = "+447700900100"
    outbound_numbers: tuple[Number, ...] = ("+447700900201", "+447700900202", "+447700900203")
    ivr_prompt: str = "welcome"
    answer_after_s: float | None = Field(default=None, ge=0, le=60)  #: None: each origin has its own
    npdb_takes_s: float = Field(default=0.2, ge=0, le=3600)
    receipt_after_s: float = Field(default=0.05, ge=0, le=600)
    slow_dns_s: float = Field(default=3.0, ge=0, le=60)
    system_id: Annotated[str, StringConstraints(max_length=15)] = "switchroom"
    password: Annotated[str, StringConstraints(max_length=8)] = "practice"  # noqa: S105 - the password of a simulated SMSC on loopback
    domain: str = "portal.mvno.test"
    batch: int = Field(default=5000, ge=1)  #: how many subscribers the figures of the status APIs speak of

    @model_validator(mode="after")
    def _known_sockets(self) -> Self:
        unknown = sorted(set(self.ports) - set(SOCKETS))
        if unknown:
            raise ValueError(f"no socket {', '.join(unknown)}; there are: {', '.join(SOCKETS)}")
        return self
