"""Commands run once: repeated and changed starts, a new incarnation (docs/protocol.md, "The journal")."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.session import Session
from conformance.stage import Stage, shell_args
from contracts.messages import Event, Message

requirement = Topic()
RULE = "The journal"
#: Seconds in which something that must not happen would have happened.
QUIET = 1.0


@requirement(
    "journal.run-once", "A start that comes again with the same digest does not run the command again", rule=RULE
)
def run_once(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo ran >> trace")
    last = max(session.events)
    stage.master.start(session, session.started[1])
    stage.master.pump(QUIET)
    new = [session.events[seq] for seq in session.events if seq > last]
    expect(not new, "the repeated start made new events", new[0] if new else None)
    completed = stage.shell(session, 2, "cat trace")
    expect(session.data(2, "stdout") == b"ran\n", "the command ran again", completed)
    stage.finish(session)


@requirement(
    "journal.diverged",
    "A start of a known number with another digest: `gone` (diverged), the offer goes back",
    rule=RULE,
)
def diverged(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "echo $$; exec sleep 600")
    pid = stage.pid_of(session, 1)
    stage.master.start(session, stage.master.command(1, "shell", shell_args("echo another")))
    gone = stage.gone(session.id)
    expect(gone.reason == "diverged", f"its reason is {gone.reason!r}", gone)
    stage.pid_gone(pid, "the command")
    stage.was_given_back(session.offer)


def _new_incarnation(stage: Stage, session: Session) -> Message:
    """The bridge restarts, calls the roll, and grants the session anew from event 0."""
    stage.master.restart()
    stage.roll_call()
    resume = stage.resumed(session)
    stage.master.grant(session.offer, resume, stored=0)
    return resume


def _since(stage: Stage, session: Session, before: int) -> list[Event]:
    return session.copies[before:]


@requirement("journal.gate", "After a new incarnation's grant, events of a command follow its start only", rule=RULE)
def gate(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo first")
    stage.shell(session, 2, "echo second")
    last = max(session.events)
    stage.master.pump(0.3)
    session.auto_stored = False
    before = len(session.copies)
    _new_incarnation(stage, session)
    stage.master.pump(QUIET)
    early = _since(stage, session, before)
    expect(
        not early,
        "it published an event of a command that this incarnation has not started",
        early[0] if early else None,
    )
    stage.master.start(session, session.started[1])
    stage.master.wait(
        lambda: any(e.kind == "completed" and e.n == 1 for e in _since(stage, session, before)),
        "the events of command 1 again",
    )
    second = [event for event in _since(stage, session, before) if event.n == 2]
    expect(not second, "it published events of command 2, which was not started", second[0] if second else None)
    stage.master.start(session, session.started[2])
    stage.master.wait(lambda: len(_since(stage, session, before)) >= last, f"events 1 to {last} again")
    again = [event.seq for event in _since(stage, session, before)]
    expect(again[:last] == list(range(1, last + 1)), f"it published {again}", session.copies[-1])
    session.auto_stored = True
    stage.finish(session)


@requirement("journal.follow", "A new incarnation's start of a command that still runs follows it", rule=RULE)
def follow(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "echo ran >> trace; sleep 2; echo end")
    before = len(session.copies)
    _new_incarnation(stage, session)
    stage.master.start(session, session.started[1])
    stage.master.completed(session, 1)
    again = b"".join(event.data for event in _since(stage, session, before) if event.kind == "stdout")
    expect(again == b"ready\nend\n", f"after the restart stdout was {again!r}", session.completed(1))
    completed = stage.shell(session, 2, "cat trace")
    expect(session.data(2, "stdout") == b"ran\n", "the command ran again", completed)
    stage.finish(session)


@requirement(
    "journal.diverged-later",
    "After a new incarnation, a changed command ends the session before any of its events",
    rule=RULE,
)
def diverged_later(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo first")
    stage.master.pump(0.3)
    before = len(session.copies)
    _new_incarnation(stage, session)
    stage.master.start(session, stage.master.command(1, "shell", shell_args("echo another")))
    gone = stage.gone(session.id)
    expect(gone.reason == "diverged", f"its reason is {gone.reason!r}", gone)
    wrong = _since(stage, session, before)
    expect(not wrong, "it published an event of the other command", wrong[0] if wrong else None)
    stage.was_given_back(session.offer)


@requirement(
    "journal.roll-call", "A roll call is answered by a resume that lists the commands and what became of them", rule=12
)
def roll_call(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "true")
    stage.begin_shell(session, 2, "sleep 600")
    stage.roll_call()
    resume = stage.resumed(session)
    found = {command.n: (command.digest, command.completed) for command in resume.commands}
    wanted = {n: (command.digest, n == 1) for n, command in session.started.items()}
    expect(found == wanted, f"it lists {found}", resume)
    expect((resume.request, resume.offer) == (session.offer.request, session.offer.offer), "of another offer", resume)
    stage.finish(session)


@requirement("journal.hold", "A resume answered `hold` is kept: what runs, runs on", rule=5)
def hold(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "sleep 2; echo end")
    stage.roll_call()
    stage.hold(stage.resumed(session))
    completed = stage.master.completed(session, 1)
    expect(session.data(1, "stdout") == b"ready\nend\n", "the command did not go on", completed)
    stage.finish(session)


@requirement("journal.refused-resume", "A refused resume ends the session: processes end, the offer goes back", rule=8)
def refused_resume(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "echo $$; exec sleep 600")
    pid = stage.pid_of(session, 1)
    stage.roll_call()
    session.silent = True
    stage.master.refuse(stage.resumed(session), "resume")
    stage.pid_gone(pid, "the command")
    stage.was_given_back(session.offer)
