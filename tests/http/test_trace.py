"""The caller's trace and baggage go on to other services, and nothing but these."""

import pytest

from utils import context
from utils.trace import next_baggage, next_traceparent, next_tracestate

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("caller", "flags"),
    [(PARENT, "01"), (f"cc-{TRACE_ID}-{'b' * 16}-ff-and-more", "03"), (PARENT[:-2] + "00", "00")],
)
def test_a_trace_is_continued_under_a_new_parent(caller: str, flags: str) -> None:
    version, trace_id, parent, sent_flags = next_traceparent(caller).split("-")
    assert (version, trace_id, sent_flags) == ("00", TRACE_ID, flags)
    assert parent not in caller


@pytest.mark.parametrize(
    "caller",
    [
        "",
        "x",
        PARENT.upper(),
        f"{PARENT}-more",
        f"{PARENT}-",
        f"{PARENT}\n",
        f"{PARENT}\r\nEvil: 1",
        f"{PARENT},{PARENT}",
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
    ],
)
def test_a_malformed_trace_is_replaced_and_its_state_dropped(caller: str) -> None:
    assert TRACE_ID not in next_traceparent(caller)
    assert next_traceparent(caller).endswith("-00")
    assert next_tracestate(caller, "a=1") == ""


@pytest.mark.parametrize("sent", ["", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1 ,\t, b=x y"])
def test_a_tracestate_and_a_baggage_go_on_as_they_came(sent: str) -> None:
    assert next_tracestate(PARENT, sent) == next_baggage(sent) == sent
    assert next_tracestate(PARENT, f" {sent}\t") == next_baggage(f" {sent}\t") == sent


def test_as_much_as_the_standards_ask_for_goes_on() -> None:
    for size, tracestate, baggage in [(512, True, True), (8192, False, True), (8193, False, False)]:
        sent = "a=" + "v" * (size - 2)
        assert bool(next_tracestate(PARENT, sent)) == tracestate
        assert bool(next_baggage(sent)) == baggage


@pytest.mark.parametrize(
    "sent",
    [
        "a=1\r\nEvil: 1",
        "a=1\n",
        "a=1\nb",
        "a=\r1",
        "a=\0",
        "a=\x7f",
        "a=\xe9",
        "a=\u2028",
        "a=\x85",
    ],
)
def test_what_no_header_may_have_is_dropped_whole(sent: str) -> None:
    assert next_tracestate(PARENT, f"b=2,{sent}") == next_baggage(f"b=2,{sent}") == ""


def test_a_dropped_tracestate_does_not_come_back_with_the_next_call() -> None:
    context.traceparent.set("malformed")
    context.tracestate.set("a=1")
    first, second = context.outbound_headers(1), context.outbound_headers(1)
    assert first["traceparent"].split("-")[1] == second["traceparent"].split("-")[1]
    assert "tracestate" not in {**first, **second}


def test_a_request_without_a_trace_sends_neither_state_nor_baggage() -> None:
    assert not {"tracestate", "baggage"} & set(context.outbound_headers(1))


@pytest.fixture(autouse=True)
def _no_trace_of_another_test() -> None:
    for variable in (context.traceparent, context.tracestate, context.baggage):
        variable.set("")
