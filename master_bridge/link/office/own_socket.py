"""The socket in a master's folder by which its own user comes in without an account. Linux and other Unixes.

Whoever may open it may read that folder, and so make accounts, too: the folder's owner alone. It needs no Twisted.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from master_bridge.link.office.accounts import KnownAgent

#: In the master's folder, mode 0600.
SOCKET_FILE = "operators.sock"
#: As whom who comes in there is known; no account is called so, for accounts' names are not checked here.
OWN_OPERATOR = KnownAgent(user="operator@master", role="operator")


def remove_stale(folder: Path) -> None:
    """That of a master which was killed. Only whoever has the master's port calls this, so nobody listens there."""
    path = folder / SOCKET_FILE
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
