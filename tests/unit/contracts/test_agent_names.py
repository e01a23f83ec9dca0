"""Whose name an agent bears: what it says, and what its account says."""

from __future__ import annotations

import pytest

from contracts.agent_names import NAME_MAX, agent_name, named, text_encoding
from contracts.messages import Capability, Event, Gone, SlotStatus, Status, WorkerInfo
from tests.unit.bridge_core.scene import Agent


@pytest.mark.parametrize(
    ("name", "account", "shown"),
    [
        ("alice", "alice", "alice"),
        ("b c", "b:20c", "b c"),
        ("alice@home", "alice:40home", "alice@home"),
        ("bob", "mallory", "bob@mallory"),
        ("alice", "mallory", "alice@mallory"),
        ("alice@alice", "mallory", "alice@alice@mallory"),
        ("b c", "mallory", "b c@mallory"),
        ("builder7", "guest", "builder7"),
        ("builder7@alice", "guest", "builder7@alice@guest"),
        ("\x1b]0;x\x07", "mallory", "\\x1b]0;x\\x07@mallory"),
        ("a" * 200, "mallory", "a" * (NAME_MAX - 1) + "…@mallory"),
    ],
)
def test_only_an_accounts_own_name_is_shown_alone(name: str, account: str, shown: str) -> None:
    """Whoever was heard before. Agents that share the broker's first account have names of their own."""
    assert agent_name(name, account) == shown


def test_all_that_tells_a_name_tells_it_with_its_account() -> None:
    """Claims, resumes, accepts and statuses; what tells none stays as it is."""
    alice, thief = Agent("alice", user="alice"), Agent("alice", user="mallory")
    assert named(alice.claim("o"), "alice").agent == "alice"
    status = Status(
        instance="i", agent="alice", epoch=1, address="agent.mallory.i.n", version="1", now=1.0, state="ready",
        slots=(SlotStatus(state="idle"),), capabilities=(),
    )  # fmt: skip
    for message in (thief.claim("o"), thief.resume(), thief.accept(), status):
        assert named(message, "mallory").agent == "alice@mallory"
    gone: Gone = thief.gone()
    assert named(gone, "mallory") is gone


HOSTILE = "\x1b]0;x\x07\u202e\ud800"
SHOWN = "\\x1b]0;x\\x07\\u202e\\ud800"


def test_what_an_agent_says_for_people_is_printable() -> None:
    """On a build's and a worker's page, in properties and in the text of a build that is lost."""
    worker = WorkerInfo(
        version=HOSTILE, system=HOSTILE, basedir=HOSTILE, admin=HOSTILE, host=f"a\n{HOSTILE}", access_uri=HOSTILE,
        facts={HOSTILE: HOSTILE}, encoding="zlib",
    )  # fmt: skip
    claim = Agent("alice", user="alice").claim("o").model_copy(
        update={"worker": worker, "capabilities": (Capability(name="x\x1b", version="\u202e"), Capability(name="gtk"))}
    )  # fmt: skip
    heard = named(claim, "alice")
    told = heard.worker
    assert (told.version, told.system, told.admin, told.access_uri) == (SHOWN,) * 4
    assert (told.host, told.facts, told.encoding) == (f"a\n{SHOWN}", {SHOWN: SHOWN}, "utf-8")
    assert told.basedir == HOSTILE, "a folder is what it is"
    assert heard.capabilities == (Capability(name="x\\x1b", version="\\u202e"), Capability(name="gtk"))
    gone = Agent("alice", user="alice").gone().model_copy(update={"detail": HOSTILE})
    assert named(gone, "alice").detail == SHOWN
    event = Event(session="s", seq=1, n=1, kind="completed", infrastructure=HOSTILE)
    assert named(event, "alice").infrastructure == SHOWN


@pytest.mark.parametrize(
    "name", ["zlib", "bz2", "hex", "base64", "rot13", "quopri", "uu", "idna", "punycode", "unicode_escape",
             "raw_unicode_escape", "undefined", "no such", "", "a\0b", "../os", "x" * 100_000, "\ud800"]
)  # fmt: skip
def test_a_codec_that_is_no_machines_encoding_is_not_used(name: str) -> None:
    """Each piece of output would raise, and its build with it."""
    assert text_encoding(name) == "utf-8"


@pytest.mark.parametrize("name", ["utf-8", "UTF-8", "latin-1", "cp1252", "shift_jis", "ascii", "utf-16"])
def test_a_machines_encoding_is_used(name: str) -> None:
    assert text_encoding(name) == name
