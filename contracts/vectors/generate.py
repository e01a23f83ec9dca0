"""Makes the test vectors: one message of each type at least, the awkward values among them."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from contracts import messages as m
from contracts import topology
from contracts.codec import DATA_TYPE, HEADER, JSON_TYPE, encode
from contracts.digest import command_digest
from contracts.schema import message_types
from contracts.trust import sealing
from contracts.trust.tickets import Tickets

#: as the master of the vectors makes tickets; to a worker they are texts without meaning
TICKETS = Tickets(b"the secret of the test vectors ...", master="m1")
ADDRESS = "agent.builder7.7a0c3e5e-0000-4000-8000-000000000001.5f2a"
WHO: dict[str, Any] = {
    "session": "s-1", "offer": "o-1", "request": "br-17", "master": "m1", "run": 21,
    "instance": "7a0c3e5e-0000-4000-8000-000000000001", "agent": "builder7", "epoch": 3, "address": ADDRESS,
    "ticket": TICKETS.for_offer("build", request="br-17", signature="gtk>=3", run=21, made=1700000000.5),
}  # fmt: skip
HELD = {"session": "s-1", "incarnation": "inc-1"}
ARGS = {"command": ["sh", "-c", "echo ä; exit 3"], "workdir": "build", "env": {"A": None}, "timeout": 1200}
COMMAND = m.Command(n=1, name="shell", args=ARGS, digest=command_digest("shell", ARGS))
WORKER = m.WorkerInfo(
    version="4.3.0", basedir="/builds/m1/slot-0", worker_commands={"shell": "3.3"}, facts={"os_id": "debian"}
)
GRANTED: dict[str, Any] = {
    **WHO,
    "ticket": TICKETS.for_grant(
        request="br-17", signature="gtk>=3", run=21, session="s-1", user="builder7", made=1700000001.0
    ),
}
EVERY_BYTE = bytes(range(256))

#: rule 24: an agent's key pair, and what a master takes at random
PRIVATE, EPHEMERAL = bytes(range(32)), bytes(range(32, 64))
PARTIES = sealing.Parties(
    master="m1", incarnation="inc-1", request="br-17", signature="gtk>=3", run=21, session="s-1", address=ADDRESS
)


def _seals() -> tuple[sealing.SealedSession, sealing.SealedSession]:
    """The master's end and the agent's, with nothing sealed yet."""
    master = sealing.seal_to(sealing.public_key(PRIVATE), PARTIES, lambda _length: EPHEMERAL)
    return master, sealing.seal_of(master.key, PRIVATE, PARTIES)


SEALS = {"public": sealing.public_key(PRIVATE), "seal": _seals()[0].key}
SEALED = _seals()[0].seal(m.Start(**HELD, command=COMMAND))

MESSAGES: dict[str, m.Message] = {
    "offer": m.Offer(
        offer="o-1", request="br-17", master="m1", user="bridge", ticket=WHO["ticket"], run=21, signature="gtk>=3",
        kind="build", published=1700000000.5, builddir="linux-gtk", title="linux-gtk #17", builder="linux-gtk",
        build_number=17, locks=(m.AgentLock(name="database", capacity=2, takes=1, capacities={"builder7": 4}),),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "offer of a command": m.Offer(
        offer="o-2", request="br-17/step-4", master="m1", user="bridge:40example",
        ticket=TICKETS.for_offer("command", request="br-17/step-4", signature="any", run=21, made=1700000000.0),
        run=21, signature="any", kind="command", ask=True, published=1700000000.0, builddir="lint", fencing=60.0,
        commands=(COMMAND,),
    ),
    "claim": m.Claim(**WHO, capabilities=(m.Capability(name="gtk", version="3.24"),), worker=WORKER),
    "resume": m.Resume(
        **GRANTED, worker=WORKER, commands=(m.Executing(n=1, digest=COMMAND.digest, completed=True),)
    ),
    "accept": m.Accept(**GRANTED, incarnation="inc-1"),
    "gone": m.Gone(session="s-1", request="br-17", master="m1", epoch=3, address=ADDRESS, reason="diverged"),
    "grant": m.Grant(**HELD, master="m1", run=21, stored=0, ticket=GRANTED["ticket"]),
    "refuse": m.Refuse(session="s-1", master="m1", re="resume", reason="the build request is complete"),
    "later": m.Later(session="s-1", master="m1", request="br-17"),
    "hold": m.Hold(session="s-1", master="m1", request="br-17"),
    "start": m.Start(
        **HELD, command=COMMAND.model_copy(update={"step": "compile"}),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
    ),
    "interrupt": m.Interrupt(**HELD, n=1, reason='stopped by "Zoë"'),
    "ping": m.Ping(**HELD, stored=2**53 - 1),
    "stored": m.Stored(**HELD, stored=12),
    "replay": m.Replay(**HELD, stored=0),
    "release": m.Release(**HELD),
    "event started": m.Event(session="s-1", seq=1, n=1, kind="started", value={"name": "shell", "digest": "d"}),
    "event with every byte": m.Event(session="s-1", seq=2, n=1, kind="stdout", data=EVERY_BYTE),
    "event of a log file": m.Event(session="s-1", seq=3, n=1, kind="log", value="test.log", data=b"one\n"),
    "event update": m.Event(session="s-1", seq=4, n=1, kind="update", value=["rc", -1]),
    "event writer": m.Event(session="s-1", seq=5, n=1, kind="writer", value=["utime", [981173106.25, 981173106.0]]),
    "event completed": m.Event(session="s-1", seq=6, n=1, kind="completed", interrupted="Stop"),
    "event without its bytes": m.Event(session="s-1", seq=7, n=1, kind="stdout"),
    "offer of what is sealed": m.Offer(
        offer="o-3", request="br-17/step-5", master="m1", user="bridge",
        ticket=TICKETS.for_offer("command", request="br-17/step-5", signature="sealing", run=21, made=1700000000.0),
        run=21, signature="sealing", kind="command", ask=True, published=1700000000.0, builddir="deploy", seal=True,
    ),
    "claim with a key": m.Claim(**WHO, worker=WORKER, key=SEALS["public"]),
    "grant with a seal": m.Grant(
        **HELD, master="m1", run=21, stored=0, ticket=GRANTED["ticket"],
        seal=m.Seal(key=SEALS["seal"], signature="gtk>=3"),
    ),
    "sealed": SEALED,
    "pull": m.Pull(session="s-1", n=2, offset=262144, length=262144),
    "data": m.Data(**HELD, n=2, offset=0, size=256, data=EVERY_BYTE),
    "data of an empty file": m.Data(**HELD, n=2, offset=0, size=0),
    "rollcall": m.RollCall(master="m1", incarnation="inc-2"),
    "alive": m.Alive(master="m1", incarnation="inc-2"),
    "alive of a master with many agents": m.Alive(master="m1", incarnation="inc-2", status_every=25),
    "marker": m.Marker(incarnation="inc-2", k=7),
    "status": m.Status(
        instance=WHO["instance"], agent="builder7", epoch=3, address=ADDRESS, version="0.1.0", now=1700000000.25,
        state="ready", slots=(m.SlotStatus(state="idle"),), capabilities=(m.Capability(name="gtk"),),
        queues=("cap.gtk:ge:3",), started=1690000000.0, found={"gtk": "pkg-config /usr/lib/pkgconfig/gtk+-3.0.pc"},
    ),
    "status of one of many agents": m.Status(
        instance=WHO["instance"], agent="builder7", epoch=3, address=ADDRESS, version="0.1.0", now=1700000000.25,
        state="ready", slots=(m.SlotStatus(state="idle"),), capabilities=(m.Capability(name="gtk"),), every=25,
    ),
    "catalogue": m.Catalogue(master="m1", incarnation="inc-2", signatures=("gtk>=3", "any")),
    "work": m.Work(master="m1", incarnation="inc-2", now=1700000000.0, version="0.1.0"),
    "steer": m.Steer(order="drain", reason="new disk"),
    "move": m.Move(instance=WHO["instance"], key="ab" * 32, sealed="cd" * 40),
}  # fmt: skip

#: name -> why, body, headers
REFUSED: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "no JSON": ("json", b"hello", {}),
    "broken UTF-8": ("json", b"\xff\xfe{}", {}),
    "a list": ("json", b"[]", {}),
    "null": ("json", b"null", {}),
    "nothing": ("json", b"", {}),
    "no type": ("json", b'{"v": 1}', {}),
    "version of the future": ("version", b'{"t": "alive", "v": 99, "master": "m1", "incarnation": "i"}', {}),
    "version in words": ("schema", b'{"t": "alive", "v": "one", "master": "m1", "incarnation": "i"}', {}),
    "unknown type": ("schema", b'{"t": "sing", "v": 1}', {}),
    "a field is missing": ("schema", b'{"t": "ping", "v": 1, "session": "s-1", "incarnation": "inc-1"}', {}),
    "a number is negative": ("schema", b'{"t": "ping", "v": 1, "session": "s", "incarnation": "i", "stored": -1}', {}),
    "an id with a space": ("schema", b'{"t": "release", "v": 1, "session": "s 1", "incarnation": "i"}', {}),
    "bytes where there are none": (
        "schema",
        b"\x00",
        {HEADER: '{"t": "alive", "v": 1, "master": "m", "incarnation": "i"}'},
    ),
}

SIGNATURES = (
    "any", "gtk", "gtk+python2.3", "gtk>=3", "os==linux", "clang|gcc", "python~=3.9", "node>18", "x<2", "y<=1.0",
    "z!=2", "cpu==8GiB", "a:b", "weird@name",
)  # fmt: skip

COMMANDS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("shell", ARGS, ""),
    ("mkdir", {"dir": "build"}, ""),
    ("mkdir", {"logEnviron": True, "dir": "bäuild 😀"}, ""),
    ("downloadFile", {"workerdest": "f", "maxsize": None, "mode": 420, "blocksize": 16384}, "0" * 64),
)


#: Sealed in this order, numbered from 0 in each direction.
OF_MASTER = ("start", "data", "interrupt")
OF_AGENT = ("event started", "event with every byte", "pull", "event completed")


def documents() -> dict[str, str]:
    """File name -> text."""
    present = {type(message) for message in MESSAGES.values()}
    missing = [name for name, model in message_types() if model not in present]
    assert not missing, f"no vector for {missing}"
    return {
        "messages.json": _text([_good(name, message) for name, message in MESSAGES.items()]),
        "refused.json": _text([_bad(name, *refused) for name, refused in REFUSED.items()]),
        "digests.json": _text(
            [
                {"name": name, "args": args, "content": content, "digest": command_digest(name, args, content)}
                for name, args, content in COMMANDS
            ]
        ),
        "seals.json": _text(_sealed()),
        "signatures.json": _text([{"signature": text, "queue": topology.cap_queue(text)} for text in SIGNATURES]),
    }


def _sealed() -> dict[str, Any]:
    master, agent = _seals()
    return {
        "agent": {"private": PRIVATE.hex(), "public": SEALS["public"]},
        "ephemeral": EPHEMERAL.hex(),
        "parties": dataclasses.asdict(PARTIES),
        "info": _base64(PARTIES.info()),
        "seal": SEALS["seal"],
        "messages": [
            {
                "name": name,
                "from": "master" if end is master else "agent",
                "message": _good(name, MESSAGES[name]),
                "sealed": _good("sealed", end.seal(MESSAGES[name])),  # type: ignore[arg-type]  # all can be sealed
            }
            for end, names in ((master, OF_MASTER), (agent, OF_AGENT))
            for name in names
        ],
    }


def _good(name: str, message: m.Message) -> dict[str, Any]:
    wire = encode(message)
    return {
        "name": name,
        "message": json.loads(message.model_dump_json()),
        "data": _base64(getattr(message, "data", b"")),
        "wire": {
            "type": wire.type, "content_type": wire.content_type, "headers": dict(wire.headers),
            "body": _base64(wire.body),
        },
    }  # fmt: skip


def _bad(name: str, why: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    content_type = DATA_TYPE if headers else JSON_TYPE
    wire = {"type": "", "content_type": content_type, "headers": headers, "body": _base64(body)}
    return {"name": name, "why": why, "wire": wire}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"
