"""A destination is read by the agent that it is for, and by nobody else."""

from __future__ import annotations

import os

import pytest
from pydantic import SecretStr

from contracts.codec import decode, encode
from contracts.errors import BadMessage, BadSeal
from contracts.messages import Move
from contracts.trust import hpke
from contracts.trust.moving import Destination, open_move, seal_move

HERE = "agent.a1.i.n"
THERE = Destination(url=SecretStr("amps://a1:s3cret@m:9990"), tls_ca="-----BEGIN CERTIFICATE-----")
PRIVATE = bytes(range(32))
KEY = hpke.public_of(PRIVATE).hex()


def sealed() -> Move:
    return seal_move(THERE, key=KEY, address=HERE, instance="i", random=os.urandom)


def test_it_arrives_whole_and_says_nothing_on_its_way() -> None:
    move = sealed()
    wire = encode(move)
    read = decode(wire.body, wire.headers)
    assert isinstance(read, Move)
    opened = open_move(read, private=PRIVATE, address=HERE)
    assert opened == THERE
    assert b"s3cret" not in wire.body
    assert "s3cret" not in repr((move, THERE, opened))
    assert sealed().sealed != move.sealed


@pytest.mark.parametrize(
    ("move", "private", "address"),
    [
        (sealed(), bytes(32), HERE),
        (sealed(), PRIVATE, "agent.a1.i.other"),
        (sealed().model_copy(update={"sealed": "00" * 40}), PRIVATE, HERE),
        (sealed().model_copy(update={"key": "00" * 32}), PRIVATE, HERE),
    ],
)
def test_what_was_sealed_otherwise_does_not_open(move: Move, private: bytes, address: str) -> None:
    with pytest.raises(BadSeal):
        open_move(move, private=private, address=address)


def test_what_is_sealed_must_be_a_destination() -> None:
    encapsulated, context = hpke.send_to(bytes.fromhex(KEY), f"buildbot-amqp move 1 {HERE}".encode(), ephemeral=PRIVATE)
    move = Move(instance="i", key=encapsulated.hex(), sealed=context.cipher.seal(0, b'{"url": 3}').hex())
    with pytest.raises(BadSeal, match="no destination"):
        open_move(move, private=PRIVATE, address=HERE)


def test_a_key_that_is_none_and_a_text_that_is_too_long_are_refused() -> None:
    with pytest.raises(BadSeal):
        seal_move(THERE, key="00" * 32, address=HERE, instance="i", random=os.urandom)
    body = encode(sealed()).body.replace(sealed().sealed.encode()[:2], b"zz", 1)
    with pytest.raises(BadMessage):
        decode(body[: body.index(b'"sealed"')] + b'"sealed":"zz"}', {})
