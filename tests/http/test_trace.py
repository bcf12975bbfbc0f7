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


@pytest.mark.parametrize(
    ("sent", "goes_on"),
    [
        ("", ""),
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1 ,\t,  b=x y", "a=1,b=x y"),
        ("tenant@system=1,0digit=2,a_-*/z=!~", "tenant@system=1,0digit=2,a_-*/z=!~"),
        ("a=1,b=2,a=3", "a=1,b=2"),
        (f"{'k' * 256}={'v' * 254}", f"{'k' * 256}={'v' * 254}"),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (f"a=1,b={'v' * 200},c={'v' * 200},d={'v' * 200},e=2", "a=1,e=2"),
        # Too long without a long member: the last ones go.
        (
            ",".join(f"k{n}={'v' * 96}" for n in range(9)),
            ",".join(f"k{n}={'v' * 96}" for n in range(5)),
        ),
    ],
)
def test_a_tracestate_goes_on(sent: str, goes_on: str) -> None:
    assert next_tracestate(PARENT, sent) == goes_on


@pytest.mark.parametrize(
    "sent",
    [
        "a",
        "a=",
        "=1",
        "A=1",
        "a=1=2",
        "a =1",
        "a@b@c=1",
        "good=1,bad",
        "a=\x7f",
        "a=\xe9",
        "a=1\r\nEvil: 1",
        f"{'k' * 257}=1",
        f"a={'v' * 257}",
        ",".join(f"k{n}=1" for n in range(33)),
    ],
)
def test_a_malformed_tracestate_is_dropped_whole(sent: str) -> None:
    assert next_tracestate(PARENT, sent) == ""


@pytest.mark.parametrize(
    ("sent", "goes_on"),
    [
        ("", ""),
        ("user=7,is%20vip=yes;ttl=9;flag", "user=7,is%20vip=yes;ttl=9;flag"),
        ("a = 1 ; p = 2 ,, b=", "a = 1 ; p = 2,b="),
        ("a=1,bad member=2,b=3", "a=1,b=3"),
        ('a="1",b=2', "b=2"),
        ("a=1\r\nEvil: 1,b=2", "b=2"),
        ("a=1;=2,b=2", "b=2"),
        ("a=\xe9,=1,a,b=2", "b=2"),
        (",".join(f"k{n}=1" for n in range(70)), ",".join(f"k{n}=1" for n in range(64))),
        (f"a=1,b={'v' * 8187},c=2", "a=1"),
        (f"a={'v' * 8190}", f"a={'v' * 8190}"),
        (f"a={'v' * 8191}", ""),
    ],
)
def test_the_well_formed_members_of_a_baggage_go_on_whole(sent: str, goes_on: str) -> None:
    assert next_baggage(sent) == goes_on


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
