"""Events: numbers, order, size, the window, replay (rule 13; docs/protocol.md, "Flow control")."""

from __future__ import annotations

import time

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage, shell_args
from contracts.timing import EVENT_RESEND, WINDOW_BYTES, WINDOW_EVENTS

requirement = Topic()
MIB = 1024 * 1024


@requirement("messages.valid", "Every message is JSON of the published schema", rule="Messages")
def valid(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo x; echo y >&2")
    stage.finish(session)


@requirement(
    "messages.routing",
    "Replies go to bb.replies under <user>.<master>.claims or .events, from one's own user",
    rule="Topology",
)
def routing(stage: Stage) -> None:
    valid(stage)


@requirement(
    "messages.properties", "AMQP `type` is the message's `t`, and what goes to `claims` is persistent", rule="Topology"
)
def properties(stage: Stage) -> None:
    valid(stage)


@requirement("events.numbered", "Events of a session are numbered from 1 without gaps", rule=13)
def numbered(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo a; sleep 0.2; echo b >&2; sleep 0.2; echo c")
    stage.shell(session, 2, "echo d")
    expect(min(session.events) == 1, f"the first event is {min(session.events)}", session.events[min(session.events)])
    stage.finish(session)


@requirement("events.order", "A command's events begin with `started` (name, digest) and end with `completed`", rule=13)
def order(stage: Stage) -> None:
    numbered(stage)


@requirement("events.any-bytes", "Output passes byte by byte: NUL, broken UTF-8, no last newline", rule="Messages")
def any_bytes(stage: Stage) -> None:
    session = stage.session()
    octal = "".join(f"\\{number:03o}" for number in range(256))
    completed = stage.shell(session, 1, f"printf '{octal}'; printf '{octal}' >&2")
    for kind in ("stdout", "stderr"):
        found = session.data(1, kind)
        expect(found == bytes(range(256)), f"{kind} has {len(found)} bytes or other bytes than all 256", completed)
    stage.finish(session)


@requirement("events.large", "Output of any size arrives whole", rule="Flow control")
def large(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "head -c 25165824 /dev/zero | tr '\\0' x")
    found = session.data(1, "stdout")
    expect(len(found) == 24 * MIB, f"{len(found)} bytes of {24 * MIB} arrived", completed)
    expect(found.count(b"x") == len(found), "other bytes than those written arrived", completed)
    stage.finish(session)


@requirement("events.size", "No event carries more than 256 KiB", rule="Flow control")
def size(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "head -c 3145728 /dev/zero")
    stage.finish(session)


@requirement("events.window", "At most 2 MiB are under way that are not stored", rule="Flow control")
def window(stage: Stage) -> None:
    session = stage.session()
    session.auto_stored = False
    stage.master.start(session, stage.master.command(1, "shell", shell_args("head -c 8388608 /dev/zero")))
    stage.master.wait(lambda: _under_way(session) > WINDOW_BYTES // 2 or len(session.events) >= WINDOW_EVENTS, "output")
    stage.master.pump(2.0)  # it goes on here, if it does not keep to the window
    session.auto_stored = True
    completed = stage.master.completed(session, 1)
    expect(len(session.data(1, "stdout")) == 8 * MIB, "output was lost", completed)
    stage.finish(session)


def _under_way(session: Session) -> int:
    return sum(len(event.data) for event in session.events.values())


@requirement("events.small", "Many small events are held to 64 under way, too", rule="Flow control")
def small(stage: Stage) -> None:
    session = stage.session()
    session.auto_stored = False
    for n in range(1, WINDOW_EVENTS):  # at least three events each
        stage.master.start(session, stage.master.command(n, "shell", shell_args(f"echo {n}")))
    stage.master.wait(lambda: len(session.events) >= WINDOW_EVENTS, f"the first {WINDOW_EVENTS} events")
    stage.master.pump(2.0)  # it goes on here, if it does not keep to the window
    session.auto_stored = True
    for n in range(1, WINDOW_EVENTS):
        completed = stage.master.completed(session, n)
        expect(session.data(n, "stdout") == b"%d\n" % n, f"stdout of {n} is {session.data(n, 'stdout')!r}", completed)
    stage.finish(session)


@requirement("journal.replay", "`replay` publishes all after `stored` again, the same under the same numbers", rule=13)
def replay(stage: Stage) -> None:
    session = stage.session()
    session.auto_stored = False
    stage.shell(session, 1, "echo a; sleep 0.2; echo b >&2")
    last = max(session.events)
    before = len(session.copies)
    stage.master.replay(session, 1)
    stage.master.wait(lambda: len(session.copies) - before >= last - 1, f"events 2 to {last} again")
    again = [event.seq for event in session.copies[before:]]
    expect(again[: last - 1] == list(range(2, last + 1)), f"it published {again} again", session.copies[-1])
    session.auto_stored = True
    stage.finish(session)


@requirement("journal.resend", "Events that are not stored for 5 s are published again by themselves", rule=13)
def resend(stage: Stage) -> None:
    session = stage.session()
    session.auto_stored = False
    stage.shell(session, 1, "echo a")
    last = max(session.events)
    begun, before = time.monotonic(), len(session.copies)
    stage.master.wait(
        lambda: last in [event.seq for event in session.copies[before:]],
        "unstored events to be published again",
        EVENT_RESEND * 2 + stage.master.patience,
    )
    took = time.monotonic() - begun
    expect(took > EVENT_RESEND / 2, f"it did not wait: {took:.1f} s", session.copies[-1])
    session.auto_stored = True
    stage.finish(session)


@requirement("journal.grant-rewinds", "A grant with `stored` is followed by all events after that", rule=13)
def grant_rewinds(stage: Stage) -> None:
    session = stage.session()
    session.auto_stored = False
    stage.shell(session, 1, "echo a")
    last, before = max(session.events), len(session.copies)
    stage.master.grant(session.offer, session.claim, stored=0)
    stage.master.wait(lambda: len(session.copies) - before >= last, f"events 1 to {last} again")
    session.auto_stored = True
    stage.finish(session)


@requirement(
    "journal.stored-beyond", "A bridge that has stored more than the journal holds is told `gone` (lost)", rule=7
)
def stored_beyond(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "true")
    session.auto_stored = False
    session.stored = max(session.events) + 100
    stage.master.ping(session)
    gone = stage.gone(session.id)
    expect(gone.reason == "lost", f"its reason is {gone.reason!r}", gone)
    stage.was_given_back(session.offer)
