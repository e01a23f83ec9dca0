"""Signatures: what they cover, what is refused, and how keys are changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from contracts.codec import HEADER
from contracts.trust import signing
from contracts.trust.signing import MARGIN, BadKey, NotTrusted, Signer, Verifier, generate

BODY = b'{"t":"start"}'
KEY = "agent.u.i.n"


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    generate(tmp_path / "key")
    return tmp_path / "key"


def signer(path: Path, clock: Clock) -> Signer:
    made = Signer.from_file(path)
    made._clock = clock
    return made


def verifier(clock: Clock, *paths: Path) -> Verifier:
    made = Verifier.from_pem(path.with_name(path.name + ".pub") for path in paths)
    made._clock = clock
    return made


def test_a_signed_message_is_taken_once(pair: Path, clock: Clock) -> None:
    """The next one too; the same one again is refused."""
    signs, checks = signer(pair, clock), verifier(clock, pair)
    assert checks.key_ids == (signs.key_id,)
    assert len(signs.key_id) == 16
    first = signs.headers("bb.control", KEY, BODY, {})
    checks.check("bb.control", KEY, BODY, first)
    with pytest.raises(NotTrusted, match="number 1 of its sender after number 1"):
        checks.check("bb.control", KEY, BODY, first)
    checks.check("bb.control", KEY, BODY, signs.headers("bb.control", KEY, BODY, {}))
    with pytest.raises(NotTrusted, match="sent again"):
        checks.check("bb.control", KEY, BODY, first)


def test_the_json_header_is_signed_too(pair: Path, clock: Clock) -> None:
    """A message that has its fields there is taken with them."""
    carried = {HEADER: '{"t":"data"}'}
    headers = {**carried, **signer(pair, clock).headers("bb.control", KEY, BODY, carried)}
    verifier(clock, pair).check("bb.control", KEY, BODY, headers)


def test_what_is_fresh_is_told_by_the_clock_that_was_given(pair: Path, clock: Clock) -> None:
    """Up to the last of its seconds."""
    signs = Signer(signer(pair, clock)._key, clock=clock)
    headers = signs.headers("bb.control", KEY, BODY, {})
    clock.now += MARGIN
    Verifier([signs.public_key], clock=clock).check("bb.control", KEY, BODY, headers)


def test_a_header_is_read_up_to_its_length() -> None:
    """And of one that is longer nothing."""
    longest = "x" * signing.HEADER_TEXT_MAX
    assert signing._text(longest) == signing._text(longest.encode()) == longest
    assert signing._text(longest + "x") == ""


@pytest.mark.parametrize("left_out", ["bb-key", "bb-stamp", "bb-signature"])
def test_what_lacks_a_part_of_its_signature_is_not_signed(pair: Path, clock: Clock, left_out: str) -> None:
    """None of them says anything alone."""
    headers = signer(pair, clock).headers("bb.control", KEY, BODY, {})
    del headers[left_out]
    with pytest.raises(NotTrusted, match="not signed"):
        verifier(clock, pair).check("bb.control", KEY, BODY, headers)


@pytest.mark.parametrize(
    "what", ["body", "exchange", "routing key", "bb header", "stamp", "signature", "signature's text", "no signature"]
)
def test_whatever_is_changed_is_refused(pair: Path, clock: Clock, what: str) -> None:
    """Body, JSON header, exchange, addressee and stamp are all covered."""
    signs, checks = signer(pair, clock), verifier(clock, pair)
    carried = {HEADER: '{"t":"data"}'}
    message: dict[str, Any] = {"exchange": "bb.control", "routing_key": KEY, "body": BODY}
    headers = {**carried, **signs.headers(**message, headers=carried)}
    if what == "body":
        message["body"] = BODY + b" "
    elif what == "exchange":
        message["exchange"] = "bb.offers"
    elif what == "routing key":
        message["routing_key"] = "agent.u.another.n"
    elif what == "bb header":
        headers[HEADER] = '{"t":"datum"}'
    elif what == "stamp":
        headers["bb-stamp"] = headers["bb-stamp"].replace(":1:", ":2:")
    elif what == "signature":
        headers["bb-signature"] = "AAAA"
    elif what == "signature's text":
        headers["bb-signature"] = f"!{headers['bb-signature']}"  # which a lenient reader of base64 skips
    else:
        del headers["bb-signature"]
    with pytest.raises(NotTrusted):
        checks.check(**message, headers=headers)


@pytest.mark.parametrize(("header", "json"), [(None, b""), ("{}", b"{}"), (b"{}", b"{}")])
def test_what_is_signed_is_what_others_sign_too(header: Any, json: bytes) -> None:
    """Workers in other languages make the same bytes: each part behind its length, 8 bytes, the greatest first."""
    parts = (b"buildbot-amqp signed message 1", b"bb.control", b"all", b"i:1:2", json, b"body")
    covered = b"".join(bytes([0, 0, 0, 0, 0, 0, 0, len(part)]) + part for part in parts)
    assert signing.signed_bytes("bb.control", "all", "i:1:2", header, b"body") == covered


def test_parts_cannot_be_moved_from_one_field_to_the_next(pair: Path, clock: Clock) -> None:
    """Each part is signed with its length: "ab" + "c" is not "a" + "bc"."""
    headers = signer(pair, clock).headers("bb.control", "all", b"x", {})
    with pytest.raises(NotTrusted):
        verifier(clock, pair).check("bb.controla", "ll", b"x", headers)


@pytest.mark.parametrize("seconds", [MARGIN + 1, -MARGIN - 1])
def test_what_is_not_fresh_is_refused_unless_it_may_wait(pair: Path, clock: Clock, seconds: float) -> None:
    """A control message of another time is refused; an offer may have waited for hours, and comes back."""
    signs, checks = signer(pair, clock), verifier(clock, pair)
    headers = signs.headers("bb.offers", "cap.any", BODY, {})
    clock.now += seconds
    with pytest.raises(NotTrusted, match="clocks differ"):
        checks.check("bb.offers", "cap.any", BODY, headers)
    for _ in range(2):
        checks.check("bb.offers", "cap.any", BODY, headers, fresh=False)


def test_an_offer_is_new_once_and_for_a_while(pair: Path, clock: Clock) -> None:
    """Whoever sends it again, or only later than the margin, does not pass for the master: its commands must ask."""
    signs, checks = signer(pair, clock), verifier(clock, pair)
    first, other, late = (signs.headers("bb.offers", "cap.any", BODY, {}) for _ in range(3))
    assert [checks.repetition(each) for each in (other, first, first, other)] == [None, None, "seen", "seen"]
    clock.now += MARGIN + 1
    assert checks.repetition(late) == "old"
    assert checks.repetition(signs.headers("bb.offers", "cap.any", BODY, {})) is None


def test_offers_of_one_key_are_not_taken_for_those_of_another(pair: Path, clock: Clock) -> None:
    """Whoever has a trusted key chooses its stamps: they say nothing of another master's."""
    headers = signer(pair, clock).headers("bb.offers", "cap.any", BODY, {})
    checks = verifier(clock, pair)
    assert checks.repetition({**headers, "bb-key": "0" * 16}) is None
    assert checks.repetition(headers) is None


def test_offers_are_remembered_as_long_as_they_could_pass_for_new(
    pair: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: where it is full, a new one asks, too; what is too old by itself makes room."""
    monkeypatch.setattr(signing, "OFFERS", 3)
    signs, checks = signer(pair, clock), verifier(clock, pair)
    made = [signs.headers("bb.offers", "cap.any", BODY, {}) for _ in range(4)]
    assert [checks.repetition(each) for each in made] == [None, None, None, "old"]
    assert checks.repetition(made[0]) == "seen"
    clock.now += MARGIN + 1
    assert checks.repetition(signs.headers("bb.offers", "cap.any", BODY, {})) is None
    assert checks.repetition(made[0]) == "old"


def test_another_start_of_the_master_counts_anew(pair: Path, clock: Clock) -> None:
    """A restarted master begins with 1 under a new issuer; two masters with one key do not disturb each other."""
    checks = verifier(clock, pair)
    for _ in range(2):
        signs = signer(pair, clock)
        for _ in range(3):
            checks.check("bb.control", "all", BODY, signs.headers("bb.control", "all", BODY, {}))


def test_keys_are_changed_without_a_gap(tmp_path: Path, clock: Clock) -> None:
    """Rotation: agents trust old and new, the master changes, agents drop the old one."""
    old, new = tmp_path / "old", tmp_path / "new"
    generate(old)
    generate(new)

    def accepts(checks: Verifier, path: Path) -> bool:
        try:
            checks.check("bb.control", "all", BODY, signer(path, clock).headers("bb.control", "all", BODY, {}))
        except NotTrusted:
            return False
        return True

    before, both, after = verifier(clock, old), verifier(clock, old, new), verifier(clock, new)
    assert (accepts(before, old), accepts(before, new)) == (True, False)
    assert (accepts(both, old), accepts(both, new)) == (True, True)
    assert (accepts(after, old), accepts(after, new)) == (False, True)


def test_keygen_guards_the_secret_and_overwrites_nothing(tmp_path: Path) -> None:
    """The private file is the owner's alone, whatever the umask; an existing key is never replaced."""
    before = os.umask(0)
    try:
        generate(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key.pub").stat().st_mode) == 0o644
    with pytest.raises(BadKey, match="new file name"):
        generate(tmp_path / "key")
    with pytest.raises(BadKey, match="keygen"):
        Signer.from_file(tmp_path / "key.pub")
    with pytest.raises(BadKey, match=rf"^trusted key {tmp_path / 'key'}: .*\.pub file"):
        Verifier.from_pem([tmp_path / "key"])
    with pytest.raises(BadKey, match=r"^a trusted key's text: .*\.pub file"):
        Verifier.from_pem([(tmp_path / "key").read_text("ascii")])


#: What a header of a stranger's may be: AMQP has tables, lists, numbers and bytes, and aio-pika hands them over.
NONSENSE: tuple[Any, ...] = (
    None, "", " ", ":", "::", "1", "a:b:c", "i:1:" + "9" * 400, "i:" + "9" * 5000 + ":1", "i:-1:1", "i:1:1e400",
    "i:1:nan", "i:٣:1", "i:1:1\n", "ü", "\ud800", "\x00", "x" * 100_000, b"", b"\xff\xfe", b"i:1:" + b"9" * 400, 0, -1,
    2**70, True, 0.5, float("nan"), float("inf"), [], ["i:1:1"], {}, {"a": "b"}, object(),
)  # fmt: skip


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("header", ["bb-key", "bb-stamp", "bb-signature", HEADER])
@pytest.mark.parametrize("number", range(len(NONSENSE)))
def test_nonsense_in_a_header_is_not_trusted_and_nothing_else(
    pair: Path, clock: Clock, header: str, number: int, fresh: bool
) -> None:
    """One header is not what was signed, the others are right: `NotTrusted`, never another exception."""
    headers: dict[str, Any] = {HEADER: "{}"}
    headers |= signer(pair, clock).headers("bb.offers", "cap.any", BODY, headers)
    headers[header] = NONSENSE[number]
    with pytest.raises(NotTrusted):
        verifier(clock, pair).check("bb.offers", "cap.any", BODY, headers, fresh=fresh)


@pytest.mark.parametrize("number", range(len(NONSENSE)))
def test_a_stamp_of_nonsense_is_not_trusted_with_a_right_signature_either(
    pair: Path, clock: Clock, number: int
) -> None:
    """By `check`, and by `repetition` where somebody asks for it without."""
    import base64

    made, checks = signer(pair, clock), verifier(clock, pair)
    headers: dict[str, Any] = {"bb-key": made.key_id, "bb-stamp": NONSENSE[number]}
    try:
        covered = signing.signed_bytes("bb.offers", "cap.any", str(NONSENSE[number]), None, BODY)
    except UnicodeEncodeError:
        covered = b""
    headers["bb-signature"] = base64.b64encode(made._key.sign(covered)).decode()
    with pytest.raises(NotTrusted):
        checks.check("bb.offers", "cap.any", BODY, headers, fresh=False)
    with pytest.raises(NotTrusted):
        checks.repetition(headers)
