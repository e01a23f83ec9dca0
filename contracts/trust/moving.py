"""Where an agent is to move, encrypted to that agent alone: a URL has a password or a token in it. Pure.

An agent tells a public key in its status; the private one is in its memory only. Whoever tells it to move (`Move`)
seals the destination to that key with HPKE (`hpke`), for this one address: nobody else reads it, on whatever broker or
disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from contracts.errors import BadSeal
from contracts.messages import Move
from contracts.trust import hpke

#: Characters of a URL, and of certificates in PEM.
URL_MAX, PEM_MAX = 4096, 32 * 1024
_LABEL = "buildbot-amqp move 1 "


class Destination(BaseModel):
    """`url`: the agent's own, with its password or token; `tls_ca`: PEM of authorities that may have signed there."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    url: Annotated[SecretStr, Field(max_length=URL_MAX)]
    tls_ca: Annotated[str, Field(max_length=PEM_MAX)] | None = None

    def text(self) -> str:
        """JSON with the secret in it."""
        return json.dumps({"url": self.url.get_secret_value(), "tls_ca": self.tls_ca})


def seal_move(
    destination: Destination, *, key: str, address: str, instance: str, random: Callable[[int], bytes]
) -> Move:
    """For the agent that told `key` and `address` in one status. Raises `BadSeal` for what is no public key."""
    encapsulated, context = hpke.send_to(bytes.fromhex(key), _info(address), ephemeral=random(hpke.KEY_BYTES))
    sealed = context.cipher.seal(0, destination.text().encode())
    return Move(instance=instance, key=encapsulated.hex(), sealed=sealed.hex())


def open_move(move: Move, *, private: bytes, address: str) -> Destination:
    """Raises `BadSeal` for what was sealed to another key or address, or changed on its way."""
    context = hpke.received(bytes.fromhex(move.key), private, _info(address))
    plain = context.cipher.open(0, bytes.fromhex(move.sealed))
    try:
        return Destination.model_validate_json(plain)
    except ValidationError:
        raise BadSeal("what is sealed is no destination") from None


def _info(address: str) -> bytes:
    return (_LABEL + address).encode()
