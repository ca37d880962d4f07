"""
The simulated carrier network: real SIP, RTP, SMPP, DNS and HTTP servers on loopback, in one process.

    async with running_carrier() as carrier:
        carrier.targets        # a fragment for the deployment file
        carrier.set_fault("stale-routing", True)

or `python -m checks.carrier [CONFIG.json]`, which prints one line of JSON when it is ready.
"""

from checks.carrier.config import CarrierConfig
from checks.carrier.network import Carrier, running_carrier

__all__ = ["Carrier", "CarrierConfig", "running_carrier"]
