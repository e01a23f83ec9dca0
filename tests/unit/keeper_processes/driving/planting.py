"""A tree of processes that tries to get away, planted by a command of a driven keeper."""

from __future__ import annotations

import sys
import textwrap

from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven

# A tree as bad as they come: children in the group, in another group, in another session, a daemon by double fork, one
# that ignores SIGTERM, and one that clears its environment. Each writes its pid into a file of its own.
TREE = """
    import os, signal, sys, time

    def child(name, prepare, env=None):
        if os.fork() == 0:
            prepare()
            code = ("import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                    f"open('pid-{name}.tmp', 'w').write(str(os.getpid()));"
                    f"os.rename('pid-{name}.tmp', 'pid-{name}'); time.sleep(300)")
            os.execve(sys.executable, [sys.executable, "-c", code], os.environ if env is None else env)

    def twice():
        os.setsid()
        if os.fork():
            os._exit(0)

    child("plain", lambda: None)
    child("group", lambda: os.setpgid(0, 0))
    child("session", os.setsid)
    child("daemon", twice)
    child("bare", twice, {})
    names = ["plain", "group", "session", "daemon", "bare"]
    while not all(os.path.exists(f"pid-{name}") for name in names):
        time.sleep(0.01)
    os.write(1, b"planted\\n")
    if "stay" in sys.argv:
        time.sleep(300)
"""


def plant(driven: Driven) -> list[str]:
    (driven.build / "build").mkdir(parents=True, exist_ok=True)
    script = driven.build / "tree.py"
    script.write_text(textwrap.dedent(TREE))
    return [sys.executable, str(script)]


def pids(driven: Driven) -> list[int]:
    return [int(file.read_text()) for file in (driven.build / "build").glob("pid-*") if file.suffix != ".tmp"]


async def planted(driven: Driven, **args: object) -> int:
    n = driven.shell([*plant(driven), "stay"], **args)
    await driven.output(b"planted")
    assert len(pids(driven)) == 5
    assert all(alive(pid) for pid in pids(driven))
    return n
