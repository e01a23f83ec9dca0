"""What two peers that speak different versions agree on."""

from __future__ import annotations

import json

import pytest

from contracts import protocol_version
from contracts.codec import decode, encode
from contracts.errors import UnknownVersion
from contracts.messages import AnyMessage, Greeting, Later, Ping, Refuse, RollCall
from contracts.protocol_version import OURS, Agreements, Versions
from master_bridge.link.incompatible import incompatible

PING = Ping(session="s", incarnation="i", stored=3)


def spoken(oldest: int, newest: int) -> Versions:
    return Versions(oldest=oldest, newest=newest)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [((1, 1), (1, 1), 1), ((1, 2), (1, 2), 2), ((1, 2), (2, 3), 2), ((1, 1), (2, 3), None), ((3, 4), (1, 2), None)],
)
def test_the_newest_version_in_common_is_agreed_on(
    ours: tuple[int, int], theirs: tuple[int, int], agreed: int | None
) -> None:
    """The same from both sides."""
    assert spoken(*ours).common(spoken(*theirs)) == agreed
    assert spoken(*theirs).common(spoken(*ours)) == agreed


def test_a_message_without_upto_is_of_its_version_alone() -> None:
    """As an older peer, or one in another language, writes it."""
    assert Versions.of_message({"v": 2}) == spoken(2, 2)
    assert Versions.of_message({"v": 2, "upto": 4}) == spoken(2, 4)
    for wrong in ({"v": 0}, {"v": True}, {"v": "1"}, {"v": 2, "upto": 1}, {"v": 1, "upto": None}):
        with pytest.raises(ValueError, match="version"):
            Versions.of_message(wrong)


def test_a_message_without_any_is_of_the_oldest() -> None:
    assert Versions.of_message({}) == spoken(protocol_version.OLDEST_VERSION, protocol_version.OLDEST_VERSION)


def test_versions_are_told_to_people() -> None:
    assert (str(spoken(2, 2)), str(spoken(2, 4))) == ("2", "2 to 4")
    with pytest.raises(ValueError, match=f"^'{'9' * 40}' is no version of the protocol$"):
        Versions.of_message({"v": "9" * 60})


def test_a_greeting_of_a_newer_peer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it means the same in our version; what is said in a session of the newer one is not."""
    greeting = json.dumps({**RollCall(master="m", incarnation="i").model_dump(), "upto": OURS.newest + 5})
    assert decode(greeting.encode()) == RollCall(master="m", incarnation="i", upto=OURS.newest + 5)
    newer = encode(PING, OURS.newest + 1)
    with pytest.raises(UnknownVersion, match=f"protocol version {OURS.newest + 1}; this program speaks {OURS}") as said:
        decode(newer.body)
    assert said.value.fields["session"] == "s"
    assert said.value.versions == str(OURS.newest + 1)


def test_what_was_agreed_is_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greetings stay as they are: they are for everybody."""
    assert json.loads(encode(PING, 7).body)["v"] == 7
    hello = RollCall(master="m", incarnation="i")
    assert json.loads(encode(hello, 7).body) == json.loads(encode(hello).body)
    monkeypatch.setattr(protocol_version, "OURS", spoken(1, 3))
    agreements = Agreements()
    assert agreements.with_peer("agent.u.i.n") == 1  # nothing is known of it yet
    agreements.learn("agent.u.i.n", spoken(2, 9))
    assert agreements.with_peer("agent.u.i.n") == 3
    with pytest.raises(ValueError, match="nothing in common"):
        agreements.learn("agent.u.i.n", spoken(4, 4))


def test_peers_that_are_long_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent has a new address with each connection, for years."""
    monkeypatch.setattr(protocol_version, "PEERS_MAX", 3)
    monkeypatch.setattr(protocol_version, "OURS", spoken(1, 2))
    agreements = Agreements()
    for number in range(5):
        agreements.learn(f"agent-{number}", spoken(1, 2))
    assert [agreements.with_peer(f"agent-{number}") for number in range(5)] == [1, 1, 2, 2, 2]


def test_all_that_is_said_without_a_session_is_a_greeting() -> None:
    """Whoever adds a message decides it here."""
    union = AnyMessage.__args__[0].__args__  # type: ignore[attr-defined]  # Annotated[Union[…], …]
    assert {kind.__name__ for kind in union if issubclass(kind, Greeting)} == {
        "Offer", "Claim", "Resume", "Gone", "RollCall", "Alive", "Status", "Catalogue", "Work", "Steer",
            "Move",
    }  # fmt: skip


CLAIM = {
    "session": "s", "offer": "o", "request": "br-1", "master": "m1", "run": 1, "instance": "i", "agent": "old-box",
    "epoch": 1, "address": "agent.u.i.n", "ticket": "t", "v": 7, "upto": 8,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["claim", "resume"])
def test_an_unreadable_claim_is_answered_in_its_own_version(kind: str) -> None:
    """The offer of a claim is parked, a resume is refused; both versions are named."""
    found = incompatible(UnknownVersion("", fields={**CLAIM, "t": kind}, versions="7 to 8"), "u")
    assert found is not None
    assert (found.address, found.version) == ("agent.u.i.n", 7)
    assert found.reason.startswith(f"agent 'old-box@u' speaks protocol version 7 to 8, master 'm1' speaks {OURS}: ")
    expected = (
        Later(session="s", master="m1", request="br-1", reason=found.reason)
        if kind == "claim"
        else Refuse(session="s", master="m1", re="resume", reason=found.reason)
    )
    assert found.answer == expected


@pytest.mark.parametrize("fields", [{}, {**CLAIM, "t": "event"}, {**CLAIM, "t": "claim", "address": "nowhere"}])
def test_anything_else_of_another_version_has_no_answer(fields: dict[str, object]) -> None:
    """It goes to `dead` with the reason."""
    assert incompatible(UnknownVersion("", fields=fields, versions="7"), "u") is None
