"""Ways to break our own agent, one for each requirement of the conformance kit.

A fault is a pair of functions around the agent's state machine: `hear` gets each input and returns those that the
machine is given instead, `do` gets each action and returns those that are carried out instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.messages import (
    Accept,
    Alive,
    Claim,
    Event,
    Gone,
    Grant,
    Hold,
    Interrupt,
    Message,
    Ping,
    Pull,
    Refuse,
    Replay,
    Resume,
    Seal,
    Start,
)
from worker_agent.core import actions as do_
from worker_agent.core import inputs as in_
from worker_agent.core.machine import AgentMachine


@dataclass
class Memory:
    """What a fault remembers, and the machine that it is about."""

    machine: AgentMachine
    seen: set[Any] = field(default_factory=set)
    links: int = 0


Hear = Callable[[in_.Input, Memory], list[in_.Input]]
Do = Callable[[do_.Action, Memory], list[do_.Action]]


@dataclass(frozen=True)
class Fault:
    hear: Hear = lambda what, _: [what]
    do: Do = lambda action, _: [action]
    #: after an input was handled; may reach into the machine
    after: Callable[[in_.Input, Memory], None] = lambda what, _: None
    #: a fault of the transport: see `broken_worker`
    wire: str = ""


# ---- builders


def says(kind: type[Message], change: Callable[[Any], Any], where: Callable[[Any], bool] = lambda _: True) -> Fault:
    """What it publishes of this kind is changed; None: not published."""

    def do(action: do_.Action, _: Memory) -> list[do_.Action]:
        if isinstance(action, do_.Publish) and isinstance(action.message, kind) and where(action.message):
            changed = change(action.message)
            if changed is None:
                return []
            return [do_.Publish(message=changed, master=action.master, to=action.to, token=action.token,
                                expires=action.expires)]  # fmt: skip
        return [action]

    return Fault(do=do)


def fields(kind: type[Message], **update: Any) -> Fault:
    return says(kind, lambda message: message.model_copy(update=update))


def silent(*kinds: type[Message]) -> Fault:
    """It never says these."""

    def do(action: do_.Action, _: Memory) -> list[do_.Action]:
        return [] if isinstance(action, do_.Publish) and isinstance(action.message, kinds) else [action]

    return Fault(do=do)


def deaf(*kinds: type[Message]) -> Fault:
    """It ignores these."""
    return Fault(
        hear=lambda what, _: [] if isinstance(what, in_.MessageReceived) and isinstance(what.message, kinds) else [what]
    )


def hears(kind: type[Message], change: Callable[[Any, Memory], list[Message]]) -> Fault:
    def hear(what: in_.Input, memory: Memory) -> list[in_.Input]:
        if isinstance(what, in_.MessageReceived) and isinstance(what.message, kind):
            return [replace(what, message=message) for message in change(what.message, memory)]  # type: ignore[arg-type]
        return [what]

    return Fault(hear=hear)


def event(kind: str, change: Callable[[Event], Event | None], key: str | None = None) -> Fault:
    """Events of this kind are changed; `key`: updates of that key only."""
    return says(Event, change, lambda e: e.kind == kind and (key is None or e.value[0] == key))


def update(key: str, value: Any) -> Fault:
    return event("update", lambda e: e.model_copy(update={"value": [key, value]}), key)


def data(kind: str, change: Callable[[bytes], bytes]) -> Fault:
    return event(kind, lambda e: e.model_copy(update={"data": change(e.data)}))


def runs(change: Callable[[dict[str, Any], int], None]) -> Fault:
    """Commands run with other arguments than those asked for."""

    def do(action: do_.Action, _: Memory) -> list[do_.Action]:
        if isinstance(action, do_.RunCommand):
            args = dict(action.command.args)
            change(args, action.command.n)
            command = action.command.model_copy(update={"args": args})
            return [do_.RunCommand(session=action.session, command=command)]
        return [action]

    return Fault(do=do)


def sets(**args: Any) -> Fault:
    """Commands run with these arguments, where they have such."""
    return runs(lambda given, _: given.update({k: v for k, v in args.items() if k in given}))


def instead(wrong: type, make: Callable[[Any], list[do_.Action]]) -> Fault:
    """Another action in place of this one."""
    return Fault(do=lambda action, _: make(action) if isinstance(action, wrong) else [action])


def offers(**update: Any) -> Fault:
    """Offers are read as if they said this."""

    def hear(what: in_.Input, _: Memory) -> list[in_.Input]:
        if isinstance(what, in_.OfferDelivered):
            offer = what.offer.model_copy(update=update)
            return [in_.OfferDelivered(delivery=what.delivery, queue=what.queue, offer=offer,
                                       redelivered=False, deaths=0)]  # fmt: skip
        return [what]

    return Fault(hear=hear)


def after_reconnect(fault: Fault) -> Fault:
    """Well at first; broken once the link was lost."""

    def hear(what: in_.Input, memory: Memory) -> list[in_.Input]:
        memory.links += isinstance(what, in_.LinkDown)
        return fault.hear(what, memory) if memory.links else [what]

    return Fault(
        hear=hear, do=lambda action, memory: fault.do(action, memory) if memory.links else [action], after=fault.after
    )


def _once(key: Callable[[Any], Any], kind: type[Message]) -> Fault:
    """What was said once is not said again."""

    def do(action: do_.Action, memory: Memory) -> list[do_.Action]:
        if isinstance(action, do_.Publish) and isinstance(action.message, kind):
            if key(action.message) in memory.seen:
                return []
            memory.seen.add(key(action.message))
        return [action]

    return Fault(do=do)


def _reach(kind: type[Message], touch: Callable[[Any, Any], None]) -> Fault:
    """After a message of this kind: `touch(session, message)` of its session."""

    def after(what: in_.Input, memory: Memory) -> None:
        if isinstance(what, in_.MessageReceived) and isinstance(what.message, kind):
            session = memory.machine._state.sessions.get(getattr(what.message, "session", ""))
            if session is not None:
                touch(session, what.message)

    return Fault(after=after)


# ---- faults that need more than a line


def _no_window(action: do_.Action, memory: Memory) -> list[do_.Action]:
    if isinstance(action, do_.Publish) and isinstance(action.message, Event):
        window = memory.machine._state.sessions[action.message.session].window
        window._under_way.clear()
        window._bytes = 0
    return [action]


def _no_cancel(action: do_.Action, _: Memory) -> list[do_.Action]:
    return [] if isinstance(action, (do_.CancelConsumers, do_.GiveBack)) else [action]


def _says_too_early(action: do_.Action, _: Memory) -> list[do_.Action]:
    if isinstance(action, do_.Publish) and isinstance(action.message, Claim):
        early = Pull(session=action.message.session, n=1, offset=0, length=1)
        return [action, do_.Publish(message=early, master=action.master, to="events")]
    return [action]


def _wrong_queue(action: do_.Action, _: Memory) -> list[do_.Action]:
    if isinstance(action, do_.Publish) and isinstance(action.message, Accept):
        return [do_.Publish(message=action.message, master=action.master, to="events", token=action.token)]
    return [action]


def _of_another(text: bytes) -> bytes:
    """The process that the command names is one that lives on: to the kit, a child that was left behind."""
    return re.sub(rb"\d+", str(os.getpid()).encode(), text)


def _sulks(what: in_.Input, memory: Memory) -> list[in_.Input]:
    """After an interrupt it starts nothing."""
    if isinstance(what, in_.MessageReceived):
        if isinstance(what.message, Interrupt):
            memory.seen.add("interrupt")
        if isinstance(what.message, Start) and "interrupt" in memory.seen:
            return []
    return [what]


def _any_incarnation(message: Interrupt, memory: Memory) -> list[Message]:
    session = memory.machine._state.sessions[message.session]
    return [message.model_copy(update={"incarnation": session.incarnation})]


def _runs_again(message: Start, memory: Memory) -> list[Message]:
    if (message.session, message.command.n) in memory.seen:
        command = message.command.model_copy(update={"n": message.command.n + 100})
        return [message.model_copy(update={"command": command})]
    memory.seen.add((message.session, message.command.n))
    return [message]


def _believes_digest(message: Start, memory: Memory) -> list[Message]:
    known = memory.machine._state.sessions[message.session].commands.get(message.command.n)
    command = message.command.model_copy(update={"digest": known.digest}) if known else message.command
    return [message.model_copy(update={"command": command})]


def _follows_nothing(message: Start, memory: Memory) -> list[Message]:
    known = memory.machine._state.sessions[message.session].commands
    return [] if message.command.n in known else [message]


def _opens_gate(session: Any, _: Grant) -> None:
    session.followed = set(session.commands)


def _resumes_always(session: Any, _: Ping) -> None:
    session.resume_due = 0.0


def _never_silent(what: in_.Input, _: Memory) -> list[in_.Input]:
    if isinstance(what, in_.OfferDelivered):
        alive = Alive(master=what.offer.master, incarnation="inc-invented")
        return [in_.MessageReceived(message=alive, user=what.offer.user), what]
    return [what]


def stops(what: in_.Input, _: Memory) -> list[in_.Input]:
    return [in_.Stop()] if type(what).__name__ in ("Drain", "Leave") else [what]


def _invalid(message: Event) -> Event:
    return Event.model_construct(**{**message.model_dump(), "data": message.data, "seq": 0})


_shift = says(Event, lambda e: e.model_copy(update={"seq": e.seq + 1}), lambda e: e.seq > 2)
_zeros = instead(do_.FeedData, lambda a: [do_.FeedData(session=a.session, n=a.n, offset=a.offset, size=a.size,
                                                       data=b"\0" * len(a.data))])  # fmt: skip
_ack_is_give_back = instead(do_.Ack, lambda a: [do_.GiveBack(delivery=a.delivery)])
_at_once = offers(ask=False, published=4e9, fencing=None)
_cut = data("stdout", lambda text: text[:-1])


#: id of a requirement -> a fault that breaks it
def in_plain(kind: type[Message]) -> Fault:
    """In a session with a seal it says this in plain text; of a claim: without its key."""

    def do(action: do_.Action, _: Memory) -> list[do_.Action]:
        plain = isinstance(action, do_.Publish) and isinstance(action.message, kind)
        changed: Any = action
        return [replace(changed, sealed=False)] if plain else [action]

    return Fault(do=do)


def _takes_plain(what: in_.Input, _: Memory) -> list[in_.Input]:
    return [replace(what, sealed=True)] if isinstance(what, in_.MessageReceived) else [what]


FAULTS: dict[str, Fault] = {
    "seal.offer": in_plain(Claim),
    "seal.session": in_plain(Event),
    "seal.changed": Fault(hear=_takes_plain),
    "seal.grant": hears(
        Grant, lambda grant, _: [grant.model_copy(update={"seal": grant.seal or Seal(key="09" * 32, signature="x")})]
    ),
    "claim.answers": says(Claim, lambda claim: claim.model_copy(update={"run": claim.run + 1})),
    "claim.capabilities": fields(Claim, capabilities=()),
    "claim.expires": Fault(do=lambda a, _: [do_.Publish(message=a.message, master=a.master, to=a.to, token=a.token)]
                           if isinstance(a, do_.Publish) else [a]),
    "claim.session": fields(Claim, session="always-the-same"),
    "claim.accept": silent(Accept),
    "claim.accept-again": _once(lambda message: message.session, Accept),
    "claim.nothing-before-grant": Fault(do=_says_too_early),
    "claim.refused": _ack_is_give_back,
    "claim.later": instead(do_.Park, lambda a: [do_.Ack(delivery=a.delivery)]),
    "claim.unanswered": instead(do_.Park, lambda a: [do_.Ack(delivery=a.delivery)]),
    "claim.silent-master": Fault(hear=_never_silent),
    "claim.one-in-hand": Fault(do=_no_cancel, wire="prefetch"),
    "claim.refuse-after-grant": deaf(Refuse),
    "shell.runs": data("stdout", lambda text: text + b"!"),
    "shell.rc": update("rc", 0),
    "shell.streams": event("stderr", lambda e: e.model_copy(update={"kind": "stdout"})),
    "shell.argv": runs(lambda args, _: args.update(command=" ".join(map(str, args["command"])))),
    "shell.string": runs(lambda args, _: args.update(command=[args["command"]])),
    "shell.workdir": sets(workdir="elsewhere"),
    "shell.environment": sets(env={}),
    "shell.stdin": sets(initial_stdin=None),
    "shell.timeout": sets(timeout=None),
    "shell.max-time": sets(maxTime=None),
    "shell.secrets": data("header", lambda text: text + b"s3cret"),
    "shell.missing": update("rc", 0),
    "shell.log-files": sets(logfiles={}),
    "commands.several": runs(lambda args, n: args.update(workdir=f"build-{n}")),
    "commands.unknown": event("completed", lambda e: e.model_copy(update={"value": None})),
    "files.mkdir": update("rc", 7),
    "files.rmdir": runs(lambda args, _: args.update(dir="build/none") if "dir" in args else None),
    "files.stat": update("stat", [1, 2, 3]),
    "files.listdir": update("files", []),
    "files.glob": update("files", []),
    "files.rmfile": update("rc", 0),
    "files.cpdir": runs(lambda args, _: args.update(todir="build/other") if "todir" in args else None),
    "messages.valid": event("stderr", _invalid),
    "messages.routing": Fault(do=_wrong_queue),
    "messages.properties": Fault(wire="type"),
    "events.numbered": _shift,
    "events.order": event("started", lambda e: e.model_copy(update={"kind": "header"})),
    "events.any-bytes": data("stdout", lambda text: text.decode("utf-8", "replace").encode()),
    "events.large": _cut,
    "events.size": data("stdout", lambda text: text + text),
    "events.window": Fault(do=_no_window),
    "events.small": Fault(do=_no_window),
    "journal.replay": deaf(Replay),
    "journal.resend": _once(lambda message: (message.session, message.seq), Event),
    "journal.grant-rewinds": _once(lambda message: (message.session, message.seq), Event),
    "journal.stored-beyond": deaf(Ping),
    "interrupt.ends": instead(do_.InterruptCommand, lambda _: []),
    "interrupt.tree": data("stdout", _of_another),
    "interrupt.before-start": deaf(Interrupt),
    "interrupt.after-end": Fault(hear=_sulks),
    "interrupt.other-incarnation": hears(Interrupt, _any_incarnation),
    "release.ends-processes": instead(do_.CloseSession, lambda _: []),
    "release.frees": instead(do_.Ack, lambda _: []),
    "release.forgets": silent(Gone),
    "upload.file": data("write", lambda text: text[:-1]),
    "upload.missing": update("rc", 0),
    "upload.maxsize": sets(maxsize=None),
    "upload.keepstamp": sets(keepstamp=False),
    "upload.directory": event("writer", lambda e: e.model_copy(update={"value": ["close"]})),
    "download.file": _zeros,
    "download.empty": update("rc", 1),
    "download.mode": sets(mode=None),
    "download.pull-again": _once(lambda message: (message.session, message.n, message.offset), Pull),
    "download.duplicate-data": _zeros,
    "download.interrupt": instead(do_.InterruptCommand, lambda _: []),
    "journal.run-once": hears(Start, _runs_again),
    "journal.diverged": hears(Start, _believes_digest),
    "journal.gate": _reach(Grant, _opens_gate),
    "journal.follow": hears(Start, _follows_nothing),
    "journal.diverged-later": hears(Start, _believes_digest),
    "journal.roll-call": fields(Resume, commands=()),
    "journal.hold": hears(Hold, lambda hold, _: [
        Refuse(session=hold.session, master=hold.master, re="resume", reason="misunderstood")]),
    "journal.refused-resume": instead(do_.GiveBack, lambda a: [do_.Ack(delivery=a.delivery)]),
    "reconnect.idle": after_reconnect(instead(do_.Consume, lambda _: [])),
    "reconnect.resumes": fields(Resume, epoch=0),
    "reconnect.large": after_reconnect(_cut),
    "reconnect.claim": after_reconnect(silent(Claim)),
    "redelivery.settled": after_reconnect(instead(do_.Ack, lambda a: [do_.Park(delivery=a.delivery)])),
    "silence.resumes": silent(Resume),
    "silence.patient": _reach(Ping, _resumes_always),
    "gone.unknown": silent(Gone),
    "ticket.offer": fields(Claim, ticket="made-up"),
    "ticket.grant": fields(Resume, ticket="made-up"),
    "sender.unnamed": Fault(wire="unnamed"),
    "sender.dead-lettered": Fault(wire="dead-lettered"),
    "sender.other-way": Fault(wire="other way"),
    "input.unknown-fields": Fault(wire="strict"),
    "input.newer-peer": Fault(wire="one version"),
    "input.unknown-type": Fault(wire="exit"),
    "input.unknown-version": Fault(wire="any version"),
    "input.nonsense": Fault(wire="exit"),
    "input.control-to-dead": Fault(wire="bury nothing"),
    "input.offer-to-dead": Fault(wire="bury nothing"),
    "input.offer-of-other-version": Fault(wire="any version"),
    "command-offer.granted": Fault(do=lambda a, _: [] if isinstance(a, do_.RunCommand) and a.command.n == 2 else [a]),
    "command-offer.none": Fault(do=lambda a, _: [] if isinstance(a, do_.RunCommand) and a.command.n == 2 else [a]),
    "command-offer.asks": _at_once,
    "command-offer.old": _at_once,
    "command-offer.fenced": _at_once,
    "command-offer.at-once": offers(ask=True),
    "command-offer.aside": instead(do_.Ack, lambda a: [do_.Park(delivery=a.delivery)]),
    "statuses.seldom": Fault(wire="tells often"),
    "statuses.often": Fault(wire="tells seldom"),
    "leave.drain": Fault(hear=stops),
    "leave.idle": instead(do_.Exit, lambda _: []),
    "leave.killed": silent(Resume, Claim),
    "leave.killed-told": silent(Resume, Gone),
}  # fmt: skip
