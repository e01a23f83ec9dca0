"""The pipes of a process: its output, read while there is room for it, and what is written to its standard input."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping

from worker_agent.keeper.journal.room import Room

_PIECE = 64 * 1024


class OutputPipes:
    """What one process writes, from the moment that this is made to `close`. Closes `streams`, each at its end.

    `streams`: file descriptor -> its name. `heard`: called with that name and the next bytes. `turned`: called when
    reading begins or stops.
    """

    def __init__(
        self,
        room: Room,
        streams: Mapping[int, str],
        *,
        heard: Callable[[str, bytes], None],
        turned: Callable[[], None],
    ) -> None:
        self._room = room
        self._streams = dict(streams)
        self._heard = heard
        self._turned = turned
        self._ended = asyncio.Event()
        #: False while there is no room for more
        self.reading = False
        #: read whether there is room or not: for the rest of a process that was killed, at most what its pipes hold
        self.regardless = False
        room.listen(self.look)
        self.look()

    def look(self) -> None:
        """Read if there is room now."""
        reading = self._room.free or self.regardless
        if reading == self.reading:
            return
        self.reading = reading
        loop = asyncio.get_running_loop()
        for fd in self._streams:
            if reading:
                loop.add_reader(fd, self._readable, fd)
            else:
                loop.remove_reader(fd)
        self._turned()

    async def ended(self) -> None:
        """Until all is read, or nobody waits for more (`give_up`)."""
        if self._streams:
            await self._ended.wait()

    def give_up(self) -> None:
        """Whoever holds the pipes now is not waited for."""
        self._ended.set()

    def close(self) -> None:
        self._room.unlisten(self.look)
        for fd in list(self._streams):
            self._end(fd)

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, _PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal's way to say that nobody has it open any more
                raise
            data = b""
        if data:
            self._heard(self._streams[fd], data)
        else:
            self._end(fd)

    def _end(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        del self._streams[fd]
        os.close(fd)
        if not self._streams:
            self._ended.set()


def write_and_close(fd: int, data: bytes) -> None:
    """Write `data` to the pipe `fd` in the background, as fast as it is taken; what nobody wants to read is dropped."""
    left = memoryview(data)
    loop = asyncio.get_running_loop()

    def write() -> None:
        nonlocal left
        try:
            while left:
                left = left[os.write(fd, left) :]
        except BlockingIOError:
            return
        except OSError:
            left = left[:0]  # it does not want to read more
        loop.remove_writer(fd)
        os.close(fd)

    if left:
        loop.add_writer(fd, write)
    write()
