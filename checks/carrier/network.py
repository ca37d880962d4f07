"""
The carrier as a whole: opens every server, tells where they are, closes them all.

It decides the order of opening and closing and which target is where; what each server does is in its own file.
"""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from bot.core.errors import SettingsRefused
from checks.carrier.api import Api, site
from checks.carrier.config import TRUNKS, CarrierConfig
from checks.carrier.directory import Directory
from checks.carrier.exchange import Exchange
from checks.carrier.faults import CARRIERS, Faults
from checks.carrier.figures import Figures
from checks.carrier.lines import Lines
from checks.carrier.npdb import Npdb, Order
from checks.carrier.smsc import Smsc
from checks.carrier.trunk import SipTrunk


class Carrier:
    """A running carrier. Make one with `running_carrier`."""

    def __init__(self, config: CarrierConfig) -> None:
        self.config = config
        self.faults = Faults()
        self.npdb = Npdb(config.test_numbers, config.batch, config.npdb_takes_s)
        self.figures = Figures(config.batch, self.faults)
        self.ports: dict[str, int] = {}  #: by socket name; give them back as `ports` to keep them over a restart
        self._trunks: list[SipTrunk] = []
        self._exchange = Exchange(config, self.faults, self.npdb)
        self._open = AsyncExitStack()

    @property
    def control(self) -> str:
        """The base address of the control API."""
        return f"http://{self.config.host}:{self.ports['control']}"

    @property
    def targets(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The `targets:` of a deployment file for this carrier."""
        host, account = self.config.host, {"system_id": self.config.system_id, "password": self.config.password}
        apis = ("npdb", "reconciliation", "status", "actions", "faults")
        return {
            "sip": {trunk: {"host": host, "port": self.ports[f"sip-{trunk}"], "transport": "udp"} for trunk in TRUNKS},
            "smpp": {name: {"host": host, "port": self.ports[f"smpp-{name}"], **account} for name in CARRIERS},
            "http": {
                **{name: {"url": f"{self.control}/{name}"} for name in apis},
                "portal": {"url": f"http://{host}:{self.ports['site']}"},
                "platform": {"url": self.control},  # what runbooks call by /actions/NAME and /status/NAME
            },
            "dns": {"subscriber": {"host": host, "port": self.ports["dns"]}},
            "data": {
                "internet": {
                    "host": self.config.domain,
                    "port": self.ports["site"],
                    "tls": False,
                    "path": "/portal",
                    "resolver": "subscriber",
                }
            },
        }

    def set_fault(self, fault: str, on: bool = True) -> None:
        """Switch a fault; it works on the next call, message or query."""
        self.faults.switch(fault, on)

    def set_answer_after(self, seconds: float | None) -> None:
        """Answer calls after *seconds*; None is each origin's own time again."""
        self._exchange.answer_after_s = seconds

    async def activate(self) -> None:
        """Port every test number to the new network, as `POST /npdb/activate` does."""
        await self.npdb.order("activate", Order())

    async def port_back(self) -> None:
        """Port every test number back."""
        await self.npdb.order("port-back", Order())

    @property
    def calls(self) -> int:
        """How many calls are up or being set up."""
        return sum(trunk.calls for trunk in self._trunks)

    async def start(self) -> None:
        """Open every server, or none."""
        try:
            for name, smsc in self._smscs().items():
                self.ports[f"smpp-{name}"] = await self._bound(
                    f"smpp-{name}", smsc.start(*self._address(f"smpp-{name}"))
                )
                self._open.push_async_callback(smsc.stop)
            await self._open_sip()
            await self._open_dns()
            await self._open_web("site", site(self.config.domain))
            await self._open_web("control", Api(self.faults, self.npdb, self.figures).application())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every server."""
        await self._open.aclose()

    def _smscs(self) -> dict[str, Smsc]:
        config = self.config
        return {
            name: Smsc(name, config.system_id, config.password, self.faults, config.receipt_after_s)
            for name in CARRIERS
        }

    async def _open_sip(self) -> None:
        lines = Lines()
        self.ports["rtp"] = await self._bound("rtp", lines.start(*self._address("rtp")))
        self._open.callback(lines.stop)
        for origin in TRUNKS:
            trunk, socket = SipTrunk(origin, self._exchange, lines), f"sip-{origin}"
            self.ports[socket] = await self._bound(socket, trunk.start(*self._address(socket)))
            self._open.callback(trunk.stop)
            self._trunks.append(trunk)

    async def _open_dns(self) -> None:
        config = self.config
        transport, _ = await self._bound(
            "dns",
            asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Directory(config.domain, config.host, self.faults, config.slow_dns_s),
                local_addr=self._address("dns"),
            ),
        )
        self._open.callback(transport.close)
        self.ports["dns"] = transport.get_extra_info("sockname")[1]

    async def _open_web(self, name: str, application: web.Application) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        host, port = self._address(name)
        await self._bound(name, web.TCPSite(runner, host, port).start())
        self.ports[name] = runner.addresses[0][1]

    def _address(self, name: str) -> tuple[str, int]:
        return self.config.host, self.config.ports.get(name, 0)

    async def _bound(self, name: str, opening: Any) -> Any:
        try:
            return await opening
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            port = self.config.ports.get(name, 0)
            remedy = f'choose another in the carrier\'s configuration: {{"ports": {{"{name}": 0}}}} takes any free one'
            raise SettingsRefused(f"port {port} for {name} of the simulated carrier is in use; {remedy}") from error


@asynccontextmanager
async def running_carrier(config: CarrierConfig | None = None) -> AsyncIterator[Carrier]:
    """Run a carrier in this process."""
    carrier = Carrier(config or CarrierConfig())
    await carrier.start()
    try:
        yield carrier
    finally:
        await carrier.stop()
