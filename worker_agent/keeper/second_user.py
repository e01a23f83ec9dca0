"""The user whom commands run as, where that is not the agent's own (`--run-as`). Linux; standard library only.

The agent has three capabilities for it: CAP_SETUID and CAP_SETGID to start a process as that user, CAP_KILL to end it.
What runs as that user has none: `setpriv` (util-linux) gives them all away between the fork and the program, so that no
line of Python runs with both that user's files and the agent's rights. See capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker_agent.keeper.isolated import isolated
from worker_agent.keeper.processes.environment import command_environment

#: Where distributions have it; not PATH, which may name folders that builds write to.
_PLACES = ("/usr/bin/setpriv", "/bin/setpriv", "/usr/sbin/setpriv", "/sbin/setpriv")
#: Of the agent's own login, and its service manager's: they lead nowhere for another user.
_OWN = ("XDG_", "DBUS_", "SSH_")
_OWN_NAMES = frozenset(
    {"MAIL", "SHELL", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY",
     "CONFIGURATION_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID"}
)  # fmt: skip
_PR_SET_DUMPABLE = 4
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


class NoSecondUser(Exception):
    """Commands cannot run as the user that was named: the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class SecondUser:
    """Of the password database. `setpriv`: the program's path."""

    name: str
    uid: int
    gid: int
    home: str
    setpriv: str

    @classmethod
    def named(cls, name: str) -> SecondUser:
        """Raises `NoSecondUser`: there is none of that name, or commands must not run as it."""
        if not sys.platform.startswith("linux"):
            raise NoSecondUser("this works on Linux only: leave it out, and give the agent a machine of its own")
        try:
            found = pwd.getpwnam(name)
        except (KeyError, ValueError):
            raise NoSecondUser(
                f"there is no user {name!r} on this machine: make one (useradd --system --user-group --create-home "
                f"{name}), or name another"
            ) from None
        if found.pw_uid == 0:
            raise NoSecondUser("commands must not run as root: name a user of their own")
        if found.pw_uid in {os.getuid(), os.geteuid()}:
            raise NoSecondUser(
                f"{name} is the user whom the agent runs as itself, so nothing is kept from commands: name another"
            )
        setpriv = next((place for place in _PLACES if os.access(place, os.X_OK)), None)
        if setpriv is None:
            raise NoSecondUser("the program setpriv is missing: install util-linux (Alpine: setpriv)")
        return cls(name=name, uid=found.pw_uid, gid=found.pw_gid, home=found.pw_dir, setpriv=setpriv)

    def argv(self, program: Sequence[str]) -> list[str]:
        """What to start so that `program` runs as this user, in its groups, without any capability."""
        return [
            self.setpriv, f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups",
            "--inh-caps=-all", "--ambient-caps=-all", "--", *program,
        ]  # fmt: skip

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base`, the agent's, without what is the agent's own, and with this user's names."""
        kept = {
            name: value
            for name, value in command_environment(base).items()
            if name not in _OWN_NAMES and not name.startswith(_OWN)
        }
        return {**kept, "HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def python(self, code: str, *arguments: str) -> list[str]:
        """What to start so that our own `code` runs as this user, isolated: nothing of this user's changes it."""
        return self.argv([*isolated(code), *arguments])


def own_name() -> str:
    """This process's user."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"number {os.geteuid()}"


def close_to_others() -> None:
    """Nothing of the same user may trace this process, or read its memory, from now on (prctl(2), PR_SET_DUMPABLE)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def give_up_ambient() -> None:
    """What this process starts inherits no capability from it. For an agent whose commands are of its own user."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
