"""The program `worker-agent`, and `python -m worker_agent`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in: `signal` reads files, an interrupt meanwhile is a traceback
import errno
import io
import os
import sys

#: What a disk says that takes no more of a command's answer.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def main() -> None:
    _mind_early_signals()  # before anything of ours is imported, which takes a while on a busy machine
    from contracts.operations.exit_status import ExitStatus
    from contracts.operations.extras import missing_extra
    from contracts.operations.lossy_output import open_standard_streams, replace_standard_error

    open_standard_streams()
    replace_standard_error()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may be no UTF-8
    from worker_agent.program.left_out import leave_out

    leave_out()
    try:
        _command()
    except ModuleNotFoundError as error:
        text = missing_extra(error, "worker")
        if text is None:
            raise
        print(f"worker-agent: {text}", file=sys.stderr)  # noqa: T201  # the command's answer
        sys.exit(ExitStatus.USAGE)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of its output has no place either
        print(f"worker-agent: {error.strerror}", file=sys.stderr)  # noqa: T201  # the command's answer
        sys.exit(ExitStatus.IOERR)


def _command() -> None:
    from worker_agent.program.reading import read_apart

    given = read_apart()
    if given is None:
        from worker_agent.program.cli import main as command

        command()
    else:
        from worker_agent.program.run import work

        sys.exit(work(given))


def _mind_early_signals() -> None:
    """Until an agent runs: an interrupt ends the program without a traceback, an order to an agent is none yet.

    Whoever starts this program may ignore the ends of his own children, or block signals to take them one by one; both
    are inherited. Nobody would hear of the end of a command then.
    """
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    # Orders may have come while an agent was restarted in place (`program/run.py`): they are let in when it listens.
    orders = {_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGUSR2}
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _signal.valid_signals() - orders)
    for number in (_signal.SIGHUP, _signal.SIGUSR2):
        _signal.signal(number, lambda *_: None)  # not SIG_IGN: what is executed would ignore them, too


if __name__ == "__main__":
    main()
