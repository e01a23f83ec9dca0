"""A connection that is read in turns: what comes close together is read together, and nothing is left unread."""

from __future__ import annotations

from twisted.internet import task

from master_bridge.link.amqp.connection.pace import MORE, MUCH, PAUSE, Pace


class Transport:
    """Bytes that the kernel holds; `read` is the reactor's turn."""

    def __init__(self, clock: task.Clock) -> None:
        self.pace = Pace(self, clock)
        self.reads = True
        self.waiting = 0
        #: sizes of what was read
        self.turns: list[int] = []

    def pauseProducing(self) -> None:
        self.reads = False

    def resumeProducing(self) -> None:
        self.reads = True

    def read(self) -> None:
        if self.reads and self.waiting:
            self.turns.append(self.waiting)
            self.waiting = 0
            self.pace.received(self.turns[-1])


def play(clock: task.Clock, transport: Transport, seconds: float, every: float, size: int) -> None:
    """So many bytes come so often."""
    for _ in range(round(seconds / every)):
        transport.waiting += size
        transport.read()
        clock.advance(every)
        transport.read()


def test_what_comes_after_a_silence_is_read_at_once() -> None:
    clock = task.Clock()
    transport = Transport(clock)
    for _ in range(3):
        clock.pump(50 * [0.1])
        transport.waiting = 4000
        transport.read()
        assert transport.waiting == 0


def test_a_silence_needs_no_timer() -> None:
    clock = task.Clock()
    transport = Transport(clock)
    transport.waiting = 4000
    transport.read()
    clock.pump([MORE, PAUSE])
    assert clock.getDelayedCalls() == []
    assert transport.reads


def test_many_small_ones_are_read_together_and_none_waits_longer_than_a_pause() -> None:
    clock = task.Clock()
    transport = Transport(clock)
    play(clock, transport, seconds=10, every=0.001, size=1)
    clock.pump([MORE, PAUSE])
    transport.read()
    assert sum(transport.turns) == 10_000
    assert max(transport.turns) <= PAUSE / 0.001 + 1
    wakes = len([turn for turn in transport.turns if turn > 1])
    assert wakes <= 10 / PAUSE + 1


def test_much_is_read_without_a_pause() -> None:
    clock = task.Clock()
    transport = Transport(clock)
    play(clock, transport, seconds=1, every=MORE, size=MUCH)
    assert transport.reads
    assert max(transport.turns) == MUCH
    assert sum(transport.turns) == round(1 / MORE) * MUCH


def test_at_its_end_it_is_read_on() -> None:
    clock = task.Clock()
    transport = Transport(clock)
    transport.waiting = 1
    transport.read()
    clock.advance(MORE)
    assert not transport.reads
    transport.pace.end()
    assert transport.reads
    assert clock.getDelayedCalls() == []
    transport.pace.end()
