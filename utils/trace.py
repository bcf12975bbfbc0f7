"""W3C Trace Context and Baggage: what of a caller's headers may go on to other services.

The headers come from anywhere, so each is rebuilt from the members that have the standard's form:
nothing else, a line break least of all, can reach the next service's head.
"""

import re
import secrets
from collections.abc import Iterable

# A later version may have more at the end, 00 may not (W3C Trace Context, 3.2.4).
TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-[!-~]*)?"
)
# Level 2 of the standard lets a key begin with a digit; level 1 has `tenant@system`.
TRACESTATE_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  RFC 9110, 5.6.2
BAGGAGE_VALUE = r"[ \t]*=[ \t]*[!#-+\--:<-\[\]-~]*"
BAGGAGE_MEMBER = re.compile(rf"{TOKEN}{BAGGAGE_VALUE}([ \t]*;[ \t]*{TOKEN}({BAGGAGE_VALUE})?)*")
# As many as the standards ask everyone to pass on; what is longer may be dropped.
TRACESTATE_MEMBERS, TRACESTATE_BYTES, TRACESTATE_LONG_MEMBER = 32, 512, 128
BAGGAGE_MEMBERS, BAGGAGE_BYTES = 64, 8192


def next_traceparent(caller: str) -> str:
    """Return the traceparent of a call that continues the caller's trace, or starts one.

    The parent-id is a new one; of the flags, those are kept that this version knows: sampled and
    random (W3C Trace Context, 3.2).
    """
    match = TRACEPARENT.fullmatch(caller)
    trace_id, flags = (match[1], int(match[2], 16)) if match else (secrets.token_hex(16), 0)
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags & 3:02x}"


def next_tracestate(traceparent: str, tracestate: str) -> str:
    """Return the tracestate that goes on, or "" if it, or the traceparent, is malformed.

    Of two members with one key the first counts: it is the newer one. If the rest is too long,
    members of more than 128 bytes go first, then those at the end (3.3.1.5).
    """
    if not TRACEPARENT.fullmatch(traceparent):
        return ""
    members = split(tracestate)
    matches = [match for member in members if (match := TRACESTATE_MEMBER.fullmatch(member))]
    # One member that cannot be read spoils the list (3.3.1.1).
    if len(matches) < len(members) or len(members) > TRACESTATE_MEMBERS:
        return ""
    by_key: dict[str, str] = {}
    for match in matches:
        by_key.setdefault(match[1], match[0])
    kept = list(by_key.values())
    if len(",".join(kept)) > TRACESTATE_BYTES:
        kept = [member for member in kept if len(member) <= TRACESTATE_LONG_MEMBER]
    return within(kept, TRACESTATE_BYTES)


def next_baggage(baggage: str) -> str:
    """Return the members of the baggage that are well formed, whole, as far as there is room."""
    members = [member for member in split(baggage) if BAGGAGE_MEMBER.fullmatch(member)]
    return within(members[:BAGGAGE_MEMBERS], BAGGAGE_BYTES)


def split(header: str) -> list[str]:
    """Return a header's members; a list may have empty ones (RFC 9110, 5.6.1)."""
    return [member for part in header.split(",") if (member := part.strip(" \t"))]


def within(members: Iterable[str], limit: int) -> str:
    """Join members until the next one would exceed the limit."""
    joined = ""
    for member in members:
        longer = f"{joined},{member}" if joined else member
        if len(longer) > limit:
            break
        joined = longer
    return joined
