"""Do commands run as a user of their own, and is everything of the agent's kept from that user? Asked of the system:
a process of that user tries (`separation_probe`).
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts.operations.amqp_url import has_password
from contracts.operations.findings import Finding
from worker_agent.keeper.second_user import NoSecondUser, SecondUser, own_name
from worker_agent.program.settings import Settings

#: Seconds for the process that tries; it takes a tenth of one.
_PATIENCE = 30.0
_PROBE = "from worker_agent.program.separation_probe import main; main(sys.argv[2])"
_RIGHTS = (
    "start the agent as root (deploy/install-worker.sh and the container image do what is needed), or give its service "
    "AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL"
)
#: What a process without any right has in /proc/self/status.
_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


class NotAllowed(NoSecondUser):
    """This process may not start one of the other user: nothing is known of what that one can do."""


def second_user(settings: Settings) -> SecondUser | None:
    """The user of `--run-as`, whom commands can run as and who is kept from what is the agent's. None: not asked for.

    Raises `NoSecondUser`, with all that is wrong. An own state folder that others may enter is closed first.
    """
    if settings.run_as is None:
        return None
    user = SecondUser.named(settings.run_as)
    with contextlib.suppress(OSError):  # it is not there yet, or another's: the probe says what follows
        found = settings.state.stat()
        if found.st_uid == os.geteuid() and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            settings.state.chmod(0o700)
    wrong = _problems(user, settings, _tried(user, settings))
    if wrong:
        raise NoSecondUser("; ".join(wrong))
    return user


def findings(settings: Settings) -> tuple[SecondUser | None, Finding]:
    """For the doctor: whom commands run as, if that can be tried from here, and what of it holds."""
    check = "separation"
    try:
        user = second_user(settings)
    except NotAllowed as error:
        return None, Finding(check=check, verdict="warn", seen=f"--run-as {settings.run_as}: {error}",
                             remedy="run this as root: only then can be tried what that user may do")  # fmt: skip
    except NoSecondUser as error:
        return None, Finding(check=check, verdict="fail", seen=f"--run-as {settings.run_as}: {error}",
                             remedy="see docs/how-to/security.md, \"Two users\"")  # fmt: skip
    if user is None:
        return None, Finding(check=check, verdict="warn", seen=f"commands run as the agent's own user, {own_name()}: "
                             "a build can read the broker's password, the state folder and its journals",
                             remedy="give commands a user of their own: --run-as USER")  # fmt: skip
    return user, Finding(check=check, verdict="pass", seen=f"commands run as {user.name}, the agent as {own_name()}: "
                         "password, state folder, journals and keepers are out of a build's reach")  # fmt: skip


def secrets(settings: Settings) -> list[Path]:
    """What a build must not read: the state folder, and files that hold keys or passwords."""
    files = (settings.config_file, settings.amqp_url_file, settings.tls_key, settings.tls_cert)
    return [settings.state, *(file for file in files if isinstance(file, Path))]  # text is in the first of them


def _tried(user: SecondUser, settings: Settings) -> dict[str, Any]:
    """What the probe says. Raises `NoSecondUser`."""
    url = settings.amqp_url.get_secret_value() if settings.amqp_url is not None else ""
    if url and has_password(url) and any(url in argument for argument in sys.orig_argv):
        raise NoSecondUser(
            "the broker's password is on this agent's command line, which every user can read: use --url-file"
        )
    asked = {"secrets": [str(path) for path in secrets(settings)], "basedir": str(settings.basedir)}
    try:
        process = subprocess.Popen(
            user.python(_PROBE, "worker-agent separation", json.dumps(asked)),
            env=user.environ(os.environ),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise NoSecondUser(f"no process can be started as that user: {error.strerror}") from None
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()  # it ends with its standard input at the latest
        killable = _may_signal(process.pid) if line else True
        try:
            _, complaint = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise NoSecondUser(f"a process of that user did not end within {_PATIENCE:g} s") from None
    said = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"status {process.returncode}"]
    if not line and said[0].startswith("setpriv:") and "ermitted" in said[0]:
        raise NotAllowed(f"this process may not change to that user ({said[0]}): {_RIGHTS}")
    if not killable:
        raise NotAllowed(f"this process may not end those of that user: {_RIGHTS}")
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        raise NoSecondUser(
            f"this program does not run as that user ({said[0]}): install it and its Python where that user may read "
            "them, as in /opt/worker-agent"
        ) from None
    return found


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    return True


def _problems(user: SecondUser, settings: Settings, found: dict[str, Any]) -> list[str]:
    wrong = []
    kept = [name for name in _SETS if int(found["status"].get(name, "0"), 16)]
    if kept or found["uid"] != user.uid:
        wrong.append(f"a process of that user keeps rights of the agent ({', '.join(kept)})")
    for path in found["readable"]:
        wrong.append(
            f"{user.name} can read {path}: let it be the agent's only (chmod 0700 a folder, 0600 a file; 0640 where "
            f"{user.name} is not in its group)"
        )
    for path in found["replaceable"]:
        wrong.append(f"{user.name} can replace what is in {path}: keep what is the agent's elsewhere")
    if found["basedir"]:
        wrong.append(
            f"{user.name} cannot use the base directory {settings.basedir} ({found['basedir']}): choose another with "
            f"--basedir, outside of the state folder, or make it (install -d -o {user.name} {settings.basedir})"
        )
    return wrong
