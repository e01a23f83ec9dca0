"""Exit statuses of `worker-agent` and `master-bridge`: the one place. 0 is what the caller asked for."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """From `SOFTWARE` on the names and numbers are those of sysexits.h; 1 and 2 are those of click's errors.

    A service manager starts an agent anew after `SOFTWARE`, and not after `USAGE` or `CANTCREAT`: they stay wrong until
    somebody puts them right (`RestartPreventExitStatus` in the units of deploy/).
    """

    #: what was asked for was not found, or not done
    FAILED = 1
    #: an option, a variable or a file is wrong, or an extra is not installed
    USAGE = 2
    #: a part of the program broke
    SOFTWARE = 70
    #: the state folder cannot be used
    CANTCREAT = 73
    #: the answer of a command could not be written
    IOERR = 74
    #: an operator ended it with Ctrl-C, as shells have it: 128 and the signal's number
    INTERRUPTED = 130
    #: of `run`, whose other exit statuses are those of the command that it runs: it was not run, or not to its end
    NOT_RUN = 255
