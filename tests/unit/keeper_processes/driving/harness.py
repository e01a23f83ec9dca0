"""A keeper with a real process, driven from a test: run a command, look at its events, wait for conditions."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contracts.digest import command_digest
from contracts.messages import Command, Event
from worker_agent.core.inputs import KeeperLost, PullWanted
from worker_agent.keeper.settings import KeeperSettings
from worker_agent.keepers.client import Keeper, KeeperInput
from worker_agent.keepers.journal_reader import JournalFiles
from worker_agent.keepers.starting import ForkServer, Starter

PATIENCE = 60.0
#: what the `Driven` of a test read; closed at its end
JOURNALS: list[JournalFiles] = []


class _Sharing(Starter):
    """One whose fork server the next test has, too, as an agent's next session: a Python's start is most of a test.

    Of one environment at a time: one that a test has changed has a server of its own.
    """

    _shared: ForkServer | None = None
    _shared_env: Mapping[str, str] | None = None

    def _ready(self) -> ForkServer:
        shared = _Sharing._shared
        if shared is None or not shared.usable or _Sharing._shared_env != self._env:
            self.failed()
            shared = _Sharing._shared = ForkServer(self._env)
            _Sharing._shared_env = self._env
        return shared

    def failed(self) -> None:
        if (shared := _Sharing._shared) is not None:
            _Sharing._shared = None
            shared.close()
            shared.wait()

    def _let_go(self) -> None:
        """It stays for the next."""


class Driven:
    """One session's keeper, seen as the agent's main process sees it. `build` is the builder's folder."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        # Unique on the machine, as real ones are: processes are found by it.
        self.session = f"session-{uuid.uuid4().hex}"
        self.folder = self.state / "sessions" / self.session
        self.base = root / "base"
        self.build = self.base / "b"
        self.journal = JournalFiles(self.state)
        JOURNALS.append(self.journal)
        self.inputs: list[KeeperInput] = []
        self.keeper: Keeper
        #: by command number: the file that a download gets
        self.files: dict[int, bytes] = {}
        #: answers to pulls are held back
        self.mute = False
        self._seen = 0
        self._n = 0
        self._news = asyncio.Event()

    async def open(self, env: Mapping[str, str] | None = None, **settings: Any) -> Driven:
        usual = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}  # another for each
        starter = _Sharing(env=usual if env is None else env)
        try:
            self.keeper = await Keeper.open(
                session=self.session,
                folder=str(self.folder),
                basedir=str(self.base),
                builddir="b",
                on_input=self.on_input,
                settings=KeeperSettings(**settings),
                starter=starter,
            )
        finally:
            await starter.end()
        return self

    def on_input(self, news: KeeperInput) -> None:
        self.inputs.append(news)
        self._news.set()
        if isinstance(news, PullWanted) and not self.mute:
            content = self.files[news.n]
            data = content[news.offset : news.offset + news.length]
            self.keeper.feed(news.n, news.offset, len(content), data)

    def start(self, name: str, args: Mapping[str, Any], content: bytes | None = None) -> int:
        """Start the next command and return its number. `content`: of a download's file."""
        self._n += 1
        if content is not None:
            self.files[self._n] = content
        command = Command(n=self._n, name=name, args=dict(args), digest=command_digest(name, args))
        self.keeper.run(command)
        return self._n

    def shell(self, command: Any, **args: Any) -> int:
        return self.start("shell", {"workdir": "build", "command": command, **args})

    async def next(self) -> Event:
        """The next event of the journal that this object has not given yet."""
        deadline = time.monotonic() + PATIENCE
        while (event := self.journal.read(self.session, self._seen + 1)) is None:
            self._news.clear()
            if self.lost is not None:
                raise AssertionError(f"the keeper is lost: {self.lost.reason}")
            try:
                await asyncio.wait_for(self._news.wait(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise AssertionError(f"no event {self._seen + 1} within {PATIENCE} s") from None
        self._seen += 1
        return event

    async def completed(self, n: int) -> list[Event]:
        """All events of command `n` that are new, up to its completion."""
        events = []
        while True:
            event = await self.next()
            if event.n == n:
                events.append(event)
                if event.kind == "completed":
                    return events

    async def run(self, name: str, args: Mapping[str, Any], content: bytes | None = None) -> list[Event]:
        return await self.completed(self.start(name, args, content))

    async def output(self, text: bytes) -> None:
        """Wait until the commands have printed `text`."""
        seen = b""
        while text not in seen:
            event = await self.next()
            if event.kind in ("stdout", "stderr"):
                seen += event.data

    @property
    def lost(self) -> KeeperLost | None:
        return next((news for news in self.inputs if isinstance(news, KeeperLost)), None)


def stream(events: list[Event], kind: str) -> bytes:
    return b"".join(event.data for event in events if event.kind == kind)


def update(events: list[Event], key: str) -> Any:
    """The last value of an update; None when it was not sent."""
    found = [event.value[1] for event in events if event.kind == "update" and event.value[0] == key]
    return found[-1] if found else None


async def eventually(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}")
        await asyncio.sleep(0.02)
