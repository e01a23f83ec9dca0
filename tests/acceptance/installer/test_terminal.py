"""What root's installer runs as the worker's user has nothing of root's terminal, to type there or to order it."""

from __future__ import annotations

import os
import pty
import shutil
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "install-worker.sh"
#: What a process that took over the worker's program would look for; its exit status is 7.
PROGRAM = r"""
import os, sys
for fd in (0, 1, 2):
    print(fd, "is a terminal" if os.isatty(fd) else "is none")
try:
    os.open("/dev/tty", os.O_RDWR)
    print("it has a controlling terminal")
except OSError:
    print("it has no controlling terminal")
sys.stdout.flush()
os.write(2, b"uid %d \x1b]0;title\x07\xc2\x9b\n" % os.getuid())
sys.exit(7)
"""


def on_a_terminal(script: str, shell: str) -> str:
    """What `script`, run by `shell` with a terminal of its own, writes there."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(shell, [shell, "-c", script])
    written = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux says so that nobody has it open any more
            break
        if not data:
            break
        written += data
    os.waitpid(child, 0)
    os.close(terminal)
    return written.decode(errors="backslashreplace")


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("way", ["setpriv", "su"])
def test_a_command_of_the_workers_user_has_no_terminal(shell: str, way: str) -> None:
    """Its status and what it says come through; its orders to the terminal do not."""
    functions = SCRIPT.read_text().partition("# in one piece at the end")[0]
    without = "" if way == "setpriv" else "setpriv() { :; }\n"
    python = shutil.which("python3", path="/usr/bin:/bin")
    assert python is not None, "python3 is missing: apt-get install python3"
    said = on_a_terminal(
        f"{functions}\nset +e\n{without}system=linux STATE=/ USER_NAME=games\n"
        f"as_user {python} -I -c '{PROGRAM}'\necho status $?\n[ -t 0 ] && echo root has it",
        shell,
    )
    assert said.replace("\r", "").splitlines() == [
        "0 is none", "1 is none", "2 is none", "it has no controlling terminal", "uid 5 ]0;title", "status 7",
        "root has it",
    ], said  # fmt: skip
