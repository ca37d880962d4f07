"""
The requests of one outgoing call, as RFC 3261 wants them: INVITE, ACK, CANCEL, BYE.

Builds messages from a dialog's values; sends nothing and remembers nothing.
"""

from dataclasses import dataclass, field

from aiosipua import SipMessage, SipRequest, SipResponse, generate_branch, parse_uri, stringify_uri

from checks.sip.datagram import Address

_AGENT = "Switchroom"
_LOCAL_METHODS = "INVITE, ACK, BYE, CANCEL, OPTIONS"


@dataclass(slots=True)
class Dialog:
    """What the requests of one call share."""

    uri: str
    call_id: str
    local: str  #: From, with its tag
    remote: str  #: To; gains its tag from the answer
    contact: str
    here: Address
    next_hop: Address
    sequence: int = 1
    invited: int = 1  #: the sequence number of the INVITE
    branch: str = field(default_factory=generate_branch)
    route: list[str] = field(default_factory=list)
    target: str = ""  #: the answer's Contact

    def invite(self, body: str, authorization: tuple[str, str] | None = None) -> SipRequest:
        """Return the INVITE with its offer."""
        request = self._request("INVITE", self.uri, self.branch)
        request.set_header("Contact", self.contact)
        request.set_header("Allow", _LOCAL_METHODS)
        if authorization is not None:
            request.set_header(*authorization)
        request.set_header("Content-Type", "application/sdp")
        request.text = body
        return request

    def renew(self) -> None:
        """Begin a new INVITE transaction in the same call, as an answer to a challenge does."""
        self.sequence += 1
        self.invited = self.sequence
        self.branch = generate_branch()

    def ack_refusal(self, response: SipResponse) -> SipRequest:
        """Return the ACK of a 3xx to 6xx: the same transaction, the To of the response (17.1.1.3)."""
        request = self._request("ACK", self.uri, self.branch, self.invited)
        request.set_header("To", response.get_header("to") or self.remote)
        return request

    def cancel(self) -> SipRequest:
        """Return the CANCEL of the INVITE: the same branch and sequence (9.1)."""
        return self._request("CANCEL", self.uri, self.branch, self.invited)

    def ack_answer(self) -> SipRequest:
        """Return the ACK of a 2xx: a transaction of its own, along the route set."""
        return self._in_dialog("ACK", self.invited)

    def bye(self) -> SipRequest:
        """Return the BYE."""
        self.sequence += 1
        return self._in_dialog("BYE", self.sequence)

    def learn(self, answer: SipResponse) -> None:
        """Take tag, remote target and route set from a 2xx (12.1.2)."""
        self.remote = answer.get_header("to") or self.remote
        self.route = list(reversed(answer.get_header_values("record-route")))
        try:
            self.target = stringify_uri(answer.contact[0].uri)
        except (ValueError, IndexError):
            self.target = self.uri  # an answer without a Contact that can be read: the number is all we have

    def way(self) -> Address:
        """Return where requests within the dialog go: the first route, else the remote target."""
        first = self.route[0].strip().removeprefix("<").split(">")[0] if self.route else self.target
        try:
            uri = parse_uri(first)
        except ValueError:
            return self.next_hop
        host = uri.host
        return (host, uri.port or 5060) if host.replace(".", "").isdecimal() else self.next_hop

    def _in_dialog(self, method: str, sequence: int) -> SipRequest:
        request = self._request(method, self.target, generate_branch(), sequence)
        for hop in self.route:
            request.add_header("Route", hop)
        return request

    def _request(self, method: str, uri: str, branch: str, sequence: int | None = None) -> SipRequest:
        request = SipRequest(method=method, uri=uri)
        request.set_header("Via", f"SIP/2.0/UDP {self.here[0]}:{self.here[1]};branch={branch};rport")
        request.set_header("Max-Forwards", "70")
        request.set_header("From", self.local)
        request.set_header("To", self.remote)
        request.set_header("Call-ID", self.call_id)
        request.set_header("CSeq", f"{sequence or self.sequence} {method}")
        request.set_header("User-Agent", _AGENT)
        return request


def reply(request: SipRequest, status: int, phrase: str) -> SipResponse:
    """Return a response to a request that reached us."""
    response = SipResponse(status_code=status, reason_phrase=phrase)
    copy_headers(request, response, ("via", "from", "to", "call-id", "cseq"))
    return response


def copy_headers(source: SipMessage, to: SipMessage, names: tuple[str, ...]) -> None:
    """Copy headers with all their values."""
    for name in names:
        for value in source.get_header_values(name):
            to.add_header(name, value)
