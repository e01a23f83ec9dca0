"""All ways in which a build on an agent may differ from the same build on Buildbot's own worker.

docs/differences-to-pb.md describes each under its `title`; a test compares the two lists. Anything else that a
comparison finds is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Lines = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    title: str
    #: applied to the lines of both workers' logs: after it they are equal; None where another test shows it
    equal: Callable[[Lines], Lines] | None = None


_END = ("hprocess killed by signal", "hprogram finished")


def _last_line(lines: Lines) -> Lines:
    """Buildbot's worker sends what has no line end after the exit code: where exit codes stand does not count."""
    ends = (*_END, "helapsedTime")
    return (
        *(line for line in lines if not line.startswith(ends)),
        *(line for line in lines if line.startswith(ends)),
    )


def _cut_character(lines: Lines) -> Lines:
    """Buildbot's worker drops the bytes of a character that never ends."""
    return tuple(line.removesuffix("\ufffd") if line[:1] in "oe" else line for line in lines)


def _first_addition(lines: Lines) -> Lines:
    """Buildbot's worker begins where a followed file ends when it sees for the first time that it has changed."""
    return tuple(line for line in lines if line != "ofirst addition")


def _traceback(lines: Lines) -> Lines:
    """The frames of a program that could not be started are those of other code."""
    kept = [re.sub(r"environment id \d+", "environment id N", line) for line in lines]
    return tuple(line for line in kept if not line.startswith(("e  File ", "e    ")))


DIFFERENCES: dict[str, Difference] = {
    "last-line": Difference(title="A last line without a line end stands above the exit code", equal=_last_line),
    "last-words": Difference(title="What a command prints after it was told to end is kept"),
    "cut-character": Difference(
        title="Bytes of a character that is cut off at the end are shown", equal=_cut_character
    ),
    "traceback": Difference(
        title="The traceback of a program that cannot be started has other frames", equal=_traceback
    ),
    "long-lines": Difference(title="Lines of more than 4096 characters are stored whole"),
    "collected-end": Difference(title="What is collected ends where the command ended it"),
    "split-cursor": Difference(title="Where a piece of output happens to end makes no difference"),
    "broken-archive": Difference(title="A directory that cannot be unpacked ends its step"),
    "maxsize-directory": Difference(title="A directory above `maxsize` is the step's failure"),
    "half-file": Difference(title="A download leaves the whole file or none"),
    "digest": Difference(title="Downloads are checked"),
    "follow": Difference(title="`follow` loses nothing", equal=_first_addition),
    "unreadable-log": Difference(title="A log file that may not be read does no harm"),
    "replaced-log": Difference(title="A log file that takes another one's place is sent"),
    "tree": Difference(title="An interrupt ends the whole process tree"),
    "interrupt-files": Difference(title="Stop ends RemoveDirectory and CopyDirectory at once"),
    "variable": Difference(title="Commands have one more environment variable"),
    "out-of-memory": Difference(title="Commands are the first to go when memory runs out"),
    "secrets": Difference(title="The agent's own settings do not reach commands"),
    "upload-stamp": Difference(title="A failed upload leaves the times of the master's file alone"),
    "names": Difference(title="Lists of names have a limit"),
    "waiting": Difference(title="Waiting for an agent is normal, and the build says for what it waits"),
    "build-folder": Difference(title="A build may start in an empty directory"),
    "agent": Difference(
        title="Builds have the properties `agent`, `agent_account`, `agent_instance` and `capabilities`"
    ),
    "place": Difference(title="A worker's page tells of a place, not of a machine"),
    "graceful": Difference(title="Graceful shutdown and Kill on the worker page concern the worker, not the machine"),
    "aliases": Difference(title="Commands have no second names"),
    "numcpus": Difference(title="`numcpus` counts the processors that the agent may use"),
    "restart": Difference(title="A restart of the master does not lose a build"),
    "machine-failure": Difference(title="A failure of the machine is not the command's"),
    "killed-logs": Difference(title="A killed command's log files are not sent to their end"),
    "hanging-path": Difference(title="A path that does not answer blocks nothing else"),
    "archives": Difference(title="Archives are unpacked alike on every Python"),
    "archive-limit": Difference(title="What an archive unpacks to has a limit"),
    "left-running": Difference(title="What a build leaves running ends with the build"),
    "one-name": Difference(title="A builder's folder is one name"),
    "info-files": Difference(title="Files of `info/` are bounded"),
    "worker-lock": Difference(title="A `WorkerLock` limits an agent's machine, not a worker"),
    "one-place": Difference(title="A worker is one place in a column"),
    "proxy": Difference(title="There is no proxy option"),
    "peer": Difference(title="`get_peer` names the agent and its address at the broker"),
    "machine-name": Difference(title="`machine_name` is refused"),
    "disconnect": Difference(title="`worker.disconnect()` in a step ends the build's session, not the agent"),
    "choosing": Difference(title="What chooses a worker cannot ask its machine"),
    "always-ends": Difference(title="A build always ends"),
    "stop-stays": Difference(title="A Stop stays a Stop"),
    "removed-builder": Difference(title="A build that waits leaves a builder that is removed"),
}
