"""A TCP relay on loopback between the agent and the broker, so that the kit can cut the agent's connections."""

from __future__ import annotations

import socket
import struct
import threading

_BLOCK = 64 * 1024
#: SO_LINGER with no time: `close` resets the connection instead of ending it politely.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `port` of 127.0.0.1 and relays to `host:target_port`. Threads: the kit itself waits for messages."""

    def __init__(self, host: str, target_port: int) -> None:
        self._target = (host, target_port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: connections accepted so far
        self.accepted = 0
        threading.Thread(target=self._accept, name="conformance-proxy", daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, both ends, with whatever is under way."""
        with self._lock:
            doomed, self._open = self._open, set()
        for end in doomed:
            _reset(end)

    def close(self) -> None:
        """No new connections; those that there are, are cut."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()  # the broker is away: the agent sees what it would see without us
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
                self.accepted += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_BLOCK):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(source)
            _reset(sink)
            with self._lock:
                self._open -= {source, sink}


def _reset(end: socket.socket) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already, which is what is wanted
    end.close()
