"""
SIP and RTP as the checks need them: place one call, measure it, take it down on every path.

Messages and RTP packets are aiosipua's and aiortp's. The client transactions are ours: those of aiosipua do not
acknowledge a refusal, do not retransmit, and lose the route set of an answer, so a call through a proxy would
look broken when it is not.
"""
