"""One remote command of a session: what is asked of an agent, and what it says of it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, Union

from contracts.digest import command_digest
from contracts.messages import Command, Event
from contracts.readable import is_readable, shown
from contracts.timing import COMMAND_MAX
from master_bridge.core.inputs import PreparedCommand
from master_bridge.operating.errors import OperatingError

#: Characters that are kept of what an agent says of a command beside its output: the last ones.
SAID_MAX = 4000
#: Exit status of a command that a signal ended, as shells have it, is this and the signal's number.
SIGNALLED = 128
#: … and of one of which nobody knows the signal, or that was not run to its end.
UNKNOWN = 255

_MODE_MAX = 0o177777
#: Where `os.stat_result` has them.
_SIZE, _MODIFIED = 6, 8
#: What `tar` says at the end, whatever it was that failed.
_NO_REASON = re.compile(r"tar: (Exiting with failure status|Error is not recoverable|error exit delayed)")
#: Of lines that a program says so many are told.
LINES_MAX = 20
#: By its number, or, of agents in other languages, by its name.
_SIGNAL = re.compile(r"process killed by signal (\d{1,2}|SIG[A-Z0-9]{1,8})\b")

Done = TypeVar("Done")


class StepFailed(Exception):
    """What was asked for cannot be done on this agent; the text says on what, why, and what to do next."""


@dataclass(frozen=True)
class Secret:
    """A word of a command that no log and no status shows; `shown` stands there instead."""

    value: str = field(repr=False)
    shown: str = "***"


class Served(Protocol):
    """What a `downloadFile` serves: `size` bytes, whose SHA-256 in hexadecimal digits is `digest`."""

    size: int
    digest: str

    def read(self, offset: int, length: int) -> bytes:
        """Raises OSError."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command of docs/protocol.md, "Commands", with its arguments there."""

    name: str
    args: Mapping[str, Any]
    content: Served | None = None
    #: takes the bytes of an upload, or of the output of a program, in order
    write: Callable[[bytes], None] | None = None
    #: its output is what the operator wants to see
    is_shown: bool = False

    def prepared(self) -> PreparedCommand:
        """As it is sent. Raises `StepFailed` for what no message can carry."""
        for word in _texts(self.args):
            if not is_readable(word) or "\0" in word:
                raise StepFailed(f"{shown(word)} is no text in UTF-8 without zeros: agents take nothing else")
        content = self.content.digest if self.content is not None else ""
        digest = command_digest(self.name, self.args, content)
        size = len(Command(n=1, name=self.name, args=dict(self.args), digest=digest).model_dump_json().encode())
        if size > COMMAND_MAX:
            raise StepFailed(f"the command is {size} bytes long, more than the {COMMAND_MAX} that a message carries")
        return PreparedCommand(name=self.name, args=self.args, digest=digest)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, item in value.items() for text in (*_texts(key), *_texts(item))]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []


@dataclass
class OrderOutcome:
    """What became of an `Order`, as far as it is known."""

    rc: int | None = None
    #: the agent could not run it at all, or the machine, not the command, failed
    failure: str | None = None
    #: the command ran out of time, or was silent for too long
    out_of_time: bool = False
    interrupted: str | None = None
    #: of a `stat`: kind and permissions of what is there; its bytes, and when it was written last, in s since 1970
    mode: int | None = None
    size: int = 0
    modified: int = 0
    files: tuple[str, ...] = ()
    #: headers, and errors of commands whose output nobody wants to see
    said: str = ""
    #: of that, what came on stderr
    errors: str = ""
    signal: int | None = None
    over: bool = False

    def take(self, event: Event, order: Order) -> None:
        """Anything but output that is shown."""
        if event.kind == "header" or (event.kind == "stderr" and not order.is_shown):
            text = event.data.decode("utf-8", "replace")
            self._say(text)
            if event.kind == "stderr":
                self.errors = (self.errors + text)[-SAID_MAX:]
        elif event.kind == "update" and isinstance(event.value, list) and len(event.value) == 2:
            self._update(*event.value)
        elif event.kind in ("write", "stdout") and order.write is not None:
            order.write(event.data)
        elif event.kind == "completed":
            self.over = True
            self.interrupted = event.interrupted
            if event.infrastructure or event.value is not None:
                self.failure = str(event.infrastructure or event.value)

    def _say(self, text: str) -> None:
        self.said = (self.said + text)[-SAID_MAX:]
        if found := _SIGNAL.search(text):
            self.signal = _signal_number(found[1])

    def _update(self, key: Any, value: Any) -> None:
        if key == "rc" and isinstance(value, int):
            self.rc = value
        elif key == "failure_reason":
            self.out_of_time = True
        elif key == "stat" and isinstance(value, list) and value and _is_mode(value[0]):
            self.mode = value[0]
            if len(value) > _MODIFIED and all(isinstance(number, int) for number in value):
                self.size, self.modified = max(0, value[_SIZE]), value[_MODIFIED]
        elif key == "files" and isinstance(value, list):
            self.files = tuple(map(str, value))

    @property
    def exit_status(self) -> int:
        """0 to 255, as a shell has it."""
        if self.rc is None or self.failure is not None:
            return UNKNOWN
        if self.rc < 0:
            return UNKNOWN if self.signal is None else SIGNALLED + self.signal
        return self.rc & 0xFF

    @property
    def is_good(self) -> bool:
        return self.rc == 0 and self.failure is None

    def reason(self) -> str:
        """Why it is not good, for people, on one line."""
        told = self.failure or "".join(_lines(self.said)[-1:]) or f"exit status {self.exit_status}"
        return shown(told)

    def reasons(self) -> str:
        """As `reason`, with all errors that a program has told: it may have failed at several files."""
        lines = _lines(self.errors)
        if self.failure or len(lines) < 2:
            return self.reason()
        more = [f"and {len(lines) - LINES_MAX} more"] if len(lines) > LINES_MAX else []
        return "; ".join([*map(shown, lines[:LINES_MAX]), *more])


def _lines(text: str) -> list[str]:
    """Those that say something."""
    return [line for line in text.strip().splitlines() if not _NO_REASON.match(line)]


def _signal_number(said: str) -> int | None:
    """None: there is no such signal here."""
    if said.isdigit():
        return int(said)
    return int(signal.Signals[said]) if said in signal.Signals.__members__ else None


def _is_mode(value: Any) -> bool:
    """Of a file, as the system has it: an agent may say anything."""
    return isinstance(value, int) and 0 <= value <= _MODE_MAX


#: What is done in one session: asks for one order after the other, and is told what became of each.
Steps = Generator[Order, OrderOutcome, Done]
#: A command: words for a program, or a text for a shell.
CommandLine = Union[str, Sequence[Union[str, Secret]]]


def words_of(command: CommandLine) -> str | list[Any]:
    """As `shell` takes it. Raises `OperatingError` for none."""
    if isinstance(command, str):
        if not command.strip():
            raise OperatingError("there is no command: name one")
        return command
    if not command or not all(isinstance(word, (str, Secret)) for word in command) or not command[0]:
        raise OperatingError("a command is a text for a shell, or a list of words of which the first is the program")
    return [["obfuscated", word.value, word.shown] if isinstance(word, Secret) else word for word in command]


def text_of(command: CommandLine) -> str:
    """For people and logs, without the values of secrets."""
    if isinstance(command, str):
        return shown(command)
    return shown(" ".join(word.shown if isinstance(word, Secret) else word for word in command))
