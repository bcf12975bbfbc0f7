"""W3C Trace Context and Baggage: what of a caller's headers may go on to other services.

tracestate and baggage are passed on unparsed: only their length and characters are checked.
"""

import re
import secrets

# A later version may have more at the end, 00 may not (W3C Trace Context, 3.2.4).
TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-[!-~]*)?"
)
PRINTABLE = re.compile(r"[ -~\t]*")  # no line break can reach the next service's head
# In bytes; as much as the standards ask everyone to pass on.
TRACESTATE_LIMIT, BAGGAGE_LIMIT = 512, 8192


def next_traceparent(caller: str) -> str:
    """Return the traceparent of a call that continues the caller's trace, or starts one."""
    # Of the flags, those are kept that this version knows: sampled and random (3.2).
    match = TRACEPARENT.fullmatch(caller)
    trace_id, flags = (match[1], int(match[2], 16)) if match else (secrets.token_hex(16), 0)
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags & 3:02x}"


def next_tracestate(traceparent: str, tracestate: str) -> str:
    """Return the tracestate, or "" if it or the traceparent is malformed."""
    return passable(tracestate, TRACESTATE_LIMIT) if TRACEPARENT.fullmatch(traceparent) else ""


def next_baggage(baggage: str) -> str:
    return passable(baggage, BAGGAGE_LIMIT)


def passable(header: str, limit: int) -> str:
    """Return the header, or "" if it is too long or has what no header may have."""
    header = header.strip(" \t")
    return header if len(header) <= limit and PRINTABLE.fullmatch(header) else ""
