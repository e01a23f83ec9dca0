"""Tickets prove what they were made for, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from contracts.trust.tickets import SECRET_BYTES, BadSecret, Tickets, load_secret

SECRET = b"a secret of exactly 32 bytes ..."
OFFERED: dict[str, Any] = {"request": "br-17", "signature": "gtk>=3", "run": 21, "made": 1.5}
GRANTED: dict[str, Any] = {**OFFERED, "session": "s-1", "user": "builder7"}
SHOWN = {"request": "br-17", "session": "s-1", "user": "builder7"}


def tickets(secret: bytes = SECRET, master: str = "m1") -> Tickets:
    return Tickets(secret, master=master)


@pytest.mark.parametrize("kind", ["build", "command"])
def test_an_offers_ticket_is_its_request_s_for_whoever_shows_it(kind: Any) -> None:
    ticket = tickets().for_offer(kind, **OFFERED)
    for shown in (SHOWN, {**SHOWN, "session": "s-2"}, {**SHOWN, "user": "builder8"}):
        proof = tickets().proves(ticket, **shown)
        assert proof is not None
        assert (proof.kind, proof.run, proof.made) == (kind, 21, 1500)


def test_a_grants_ticket_is_for_its_session_and_account_alone() -> None:
    ticket = tickets().for_grant(**GRANTED)
    proof = tickets().proves(ticket, **SHOWN)
    assert proof is not None
    assert (proof.kind, proof.run, proof.made) == ("grant", 21, 1500)
    for other in ({"request": "br-18"}, {"session": "s-2"}, {"user": "builder8"}):
        assert tickets().proves(ticket, **{**SHOWN, **other}) is None


@pytest.mark.parametrize("place", range(5))
def test_no_part_of_a_ticket_can_be_changed(place: int) -> None:
    """Kind, run, signature, time and the code itself."""
    for ticket in (tickets().for_grant(**GRANTED), tickets().for_offer("build", **OFFERED)):
        parts = ticket.split(":")
        others = (("grant", "build", "command"), ("22", str(2**53 - 1)), ("0" * 16,), ("1501",), ("0" * 32,))[place]
        for other in others:
            if other != parts[place]:
                forged = ":".join([*parts[:place], other, *parts[place + 1 :]])
                assert tickets().proves(forged, **SHOWN) is None


@pytest.mark.parametrize(
    "ticket",
    ["", ":", "grant", "grant:1:2:3", "grant:x:y:z:w", "grant:1_0:0:0:0", ":::::", "grant:" + "9" * 5000,
     "build:1:\ud800:1:0"],
)  # fmt: skip
def test_what_is_no_ticket_proves_nothing(ticket: str) -> None:
    assert tickets().proves(ticket, **SHOWN) is None


def test_another_master_s_and_another_secret_s_tickets_prove_nothing() -> None:
    ticket = tickets().for_grant(**GRANTED)
    assert tickets(master="m2").proves(ticket, **SHOWN) is None
    assert tickets(secret=SECRET[::-1]).proves(ticket, **SHOWN) is None


def test_texts_cannot_be_shifted_from_one_part_into_the_next() -> None:
    """ "ab" + "c" and "a" + "bc" are two things."""
    ticket = tickets().for_grant(**{**GRANTED, "session": "s-1", "user": "builder7"})
    assert tickets().proves(ticket, request="br-17", session="s-", user="1builder7") is None


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = load_secret(path)
    assert len(first) == SECRET_BYTES
    assert load_secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["secret"], "nothing is left beside it"


@pytest.mark.parametrize("content", ["", "00", "not hexadecimal" * 10])
def test_a_broken_secret_is_not_replaced_in_silence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(BadSecret) as told:
        load_secret(path)
    assert str(told.value) == (
        f"secret for tickets {path}: not 64 hexadecimal digits; delete it, and a new one is made "
        "(agents that run commands then give up those of before)"
    )


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    load_secret(path)
    path.chmod(0o640)
    with pytest.raises(BadSecret, match="chmod 600"):
        load_secret(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSecret, match=f"{tmp_path / 'no' / 'such'}: No such file or directory"):
        load_secret(tmp_path / "no" / "such")


def test_who_comes_second_takes_the_first_one_s_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two masters of one name that start at once."""
    path, link = tmp_path / "secret", os.link

    def somebody_was_first(source: Path, target: Path) -> None:
        path.write_text("ab" * SECRET_BYTES)
        path.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", somebody_was_first)
    assert load_secret(path) == b"\xab" * SECRET_BYTES
    assert os.listdir(tmp_path) == ["secret"]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(BadSecret, match=r"^a secret for tickets has at least 32 bytes, this one has 5$"):
        Tickets(b"short", master="m1")


def test_a_trace_is_its_request_s_also_after_a_restart() -> None:
    """Another request, master or secret has another; each has 16 bytes."""
    traces = {
        tickets().trace_id("br-17"),
        tickets().trace_id("br-18"),
        tickets(master="m2").trace_id("br-17"),
        tickets(secret=SECRET[::-1]).trace_id("br-17"),
    }
    assert len(traces) == 4
    assert tickets().trace_id("br-17") == 0x0DB0E745B10A538678CC46E62BEC717C, "of another version of this program"
    assert all(0 < trace < 2**128 for trace in traces)
