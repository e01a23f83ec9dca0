"""The line of `authorized_keys` that lets a key's owner in as one account, and do nothing else (sshd(8))."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import shutil
import sys
from pathlib import Path

from master_bridge.operating.errors import OperatingError

#: Types of keys as OpenSSH writes them: "ssh-ed25519", "sk-ecdsa-sha2-nistp256@openssh.com".
_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}")
#: Bytes of a file with a public key; one of 16,384 bits has 3 KiB.
_FILE_MAX = 16 * 1024


def public_key(path: Path) -> str:
    """Type and key of a `.pub` file of `ssh-keygen`, without its comment. Raises `OperatingError`."""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise OperatingError(f"{path}: {error.strerror}") from None
    if "PRIVATE KEY" in text:
        raise OperatingError(f"{path} is a private key, which stays where it is: give the .pub file beside it")
    words = text.split()
    if len(text.splitlines()) != 1 or len(words) < 2 or not _TYPE.fullmatch(words[0]):
        raise OperatingError(f"{path} is no public key of `ssh-keygen`: one line as `ssh-ed25519 AAAA… comment`")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        blob = b""
    name = words[0].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):  # RFC 4253, 6.6: a key begins with its type
        raise OperatingError(f"{path}: what stands behind {words[0]} is no such key; was it copied whole?")
    return f"{words[0]} {words[1]}"


def program() -> str:
    """The path of this `master-bridge`: sshd looks in few folders."""
    beside = Path(sys.executable).with_name("master-bridge")
    return str(beside) if beside.exists() else (shutil.which("master-bridge") or "master-bridge")


def line(account: str, folder: Path, key: str) -> str:
    """For `authorized_keys` of the master's user. `key`: as `public_key` gives it."""
    command = shlex.join([program(), "serve-agent", "--master-dir", str(folder.absolute()), "--account", account])
    quoted = command.replace('"', '\\"')  # and nothing else: OpenSSH, auth-options.c, opt_dequote
    return f'command="{quoted}",restrict {key} {account}'
