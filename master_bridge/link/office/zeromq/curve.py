"""CURVE keys of ZeroMQ: this master's, made at the first start, and those of accounts. In text, hexadecimal digits."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from master_bridge.link.errors import BadSettings

#: In the master's folder: its secret key, 64 hexadecimal digits.
KEY_FILE = "agents-curve.key"


def new_pair() -> tuple[str, str]:
    """Public and secret key. Raises `BadSettings` where ZeroMQ has no CURVE."""
    import zmq
    from zmq.utils import z85

    try:
        public, secret = zmq.curve_keypair()
    except zmq.ZMQError as error:
        raise BadSettings(f"url: this machine's libzmq {zmq.zmq_version()} has no CURVE: {error}") from None
    return z85.decode(public).hex(), z85.decode(secret).hex()


def public_of(secret: str) -> str:
    """The public key that belongs to this secret one."""
    import zmq
    from zmq.utils import z85

    return z85.decode(zmq.curve_public(z85.encode(bytes.fromhex(secret)))).hex()


def server_keys(folder: Path) -> tuple[str, str]:
    """The master's public and secret key, which are made and kept in `folder` at the first time.

    Raises `BadSettings`.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text("ascii").strip()
        if path.stat().st_mode & 0o077:
            raise BadSettings(f"{path}: others than its owner may read or write it; chmod 600 {path}")
        if len(secret) != 64:
            raise ValueError
        return public_of(secret), secret
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except ValueError:  # UnicodeDecodeError is one
        raise BadSettings(f"{path} holds no key, 64 hexadecimal digits: without it this master makes another, which "
                          "its agents' configurations have to name") from None  # fmt: skip


def _make(path: Path) -> None:
    """In one step; where somebody else was quicker, theirs counts."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{new_pair()[1]}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
