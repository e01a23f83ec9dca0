"""Interrupts, and the processes of a session that is over (rule 14)."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage
from contracts.messages import Claim, Interrupt

requirement = Topic()
#: A command with a child that would outlive it.
TREE = "sleep 600 & echo $!; wait"


@requirement("interrupt.ends", "An interrupt ends the command; its completion says that, and why", rule=14)
def ends(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "exec sleep 600")
    stage.master.interrupt(session, 1, "stopped by the kit")
    completed = stage.master.completed(session, 1)
    expect(completed.interrupted == "stopped by the kit", f"`interrupted` is {completed.interrupted!r}", completed)
    expect(session.updates(1).get("rc") != 0, "rc is 0", completed)
    stage.shell(session, 2, "true")
    expect(session.updates(2).get("rc") == 0, "the next command does not run", session.completed(2))
    stage.finish(session)


@requirement("interrupt.tree", "An interrupt ends all processes that the command has started", rule=14)
def tree(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, TREE)
    child = stage.pid_of(session, 1)
    stage.master.interrupt(session, 1, "stopped")
    stage.master.completed(session, 1)
    stage.pid_gone(child, "the command's child")
    stage.finish(session)


@requirement(
    "interrupt.before-start",
    "An interrupt of a command that has not started is remembered: it completes unrun",
    rule=14,
)
def before_start(stage: Stage) -> None:
    session = stage.session()
    stage.master.interrupt(session, 1, "too early")
    completed = stage.shell(session, 1, "echo ran > trace; echo ran")
    expect(completed.interrupted == "too early", f"`interrupted` is {completed.interrupted!r}", completed)
    expect(b"ran" not in session.data(1, "stdout"), "it ran", completed)
    stage.shell(session, 2, "mkdir -p . && test ! -e trace")
    expect(session.updates(2).get("rc") == 0, "it ran", session.completed(2))
    stage.finish(session)


@requirement("interrupt.after-end", "An interrupt of a completed command changes nothing", rule=14)
def after_end(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "true")
    stage.master.interrupt(session, 1, "too late")
    stage.shell(session, 2, "true")
    expect(completed.interrupted is None, "it says that it was interrupted", completed)
    expect(session.completed(2) is not None, "the next command does not run")
    stage.finish(session)


@requirement("interrupt.other-incarnation", "What another incarnation than the last grant's says is ignored", rule=3)
def other_incarnation(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, "sleep 1.5; echo end")
    stage.master.tell(session, Interrupt(session=session.id, incarnation="inc-of-before", n=1, reason="stale"))
    completed = stage.master.completed(session, 1)
    expect(completed.interrupted is None, "it obeyed an incarnation that has not granted the session", completed)
    expect(session.data(1, "stdout").endswith(b"end\n"), "the command did not end by itself", completed)
    stage.finish(session)


@requirement("release.ends-processes", "A release ends whatever still runs in the session", rule=7)
def release_ends_processes(stage: Stage) -> None:
    session = stage.session()
    stage.begin_shell(session, 1, TREE)
    child = stage.pid_of(session, 1)
    stage.finish(session)
    stage.pid_gone(child, "the command's child")


@requirement("release.frees", "A release acknowledges the offer and frees the slot", rule=8)
def release_frees(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "true")
    stage.finish(session)
    stage.cutter.cut()  # whatever was not acknowledged comes back now
    stage.master.wait(lambda: stage.master.broker.consumers() == 0, "the broker to notice")
    stage.is_free_again()
    again = [claim for claim in stage.master.all(Claim) if claim.offer == session.offer.offer][1:]
    expect(not again, "the offer of a released session was not acknowledged", again[0] if again else None)
    expect(stage.master.broker.waiting() == 0, "the offer of a released session is in its queue again", session.claim)


@requirement("release.forgets", "A message for a released session is answered `gone`", rule=7)
def release_forgets(stage: Stage) -> None:
    session = stage.session()
    stage.finish(session)
    stage.master.ping(session)
    stage.gone(session.id)
