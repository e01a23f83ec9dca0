"""A fork server: a process that has loaded a keeper's program once, and forks a keeper from itself for each session.

A Python that starts and loads a keeper's program takes 80 ms of processor time and 12 MB of memory; a keeper that is
forked takes 2 ms, and shares what is loaded. The main process starts the server, and sends it one end of a socket pair
for each keeper (docs/architecture.md). It has one thread and keeps nothing of a keeper: it forks twice, so that a
keeper is a child of the main process, which is a subreaper. Where it is killed, all keepers live on, and the main
process starts another one. It ends when its own socket is closed, which the end of the main process does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import socket
import sys
import traceback

from contracts.operations.lossy_output import replace_standard_error
from worker_agent.keeper import orders
from worker_agent.keeper.reuse import main as keep
from worker_agent.keeper.wire import FORK_REQUEST, encode

_PR_SET_NAME = 15


def serve(fd: int, run_as: str = "") -> None:
    """`fd`: a connected socket to the main process. `run_as`: the user whom commands run as; empty: ours."""
    replace_standard_error()
    _name("fork server")
    if run_as:
        import worker_agent.keeper.apart  # noqa: F401  # for all keepers at once; memory that others do without
    gc.collect()
    gc.freeze()  # or the first collection of each keeper would copy all pages that it looks at
    connection = socket.socket(fileno=fd)
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, len(FORK_REQUEST), 1)
        if not request:
            os._exit(0)  # 5 ms less than a Python's usual end
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            _fork(connection, descriptor, run_as)
            os.close(descriptor)


def _fork(connection: socket.socket, descriptor: int, run_as: str) -> None:
    try:
        pid = os.fork()
        if pid == 0:
            _orphan(connection, descriptor, run_as)
        os.waitpid(pid, 0)
    except OSError as error:
        _refuse(descriptor, error)


def _orphan(connection: socket.socket, descriptor: int, run_as: str) -> None:
    """In a process that ends at once: what it forks is the main process's child. Does not return."""
    try:
        connection.close()
        if os.fork() == 0:
            _become_keeper(descriptor, run_as)
    except OSError as error:
        _refuse(descriptor, error)
    finally:
        os._exit(0)


def _become_keeper(descriptor: int, run_as: str) -> None:
    """Does not return. A Python that ends as usual looks at each of its objects: 5 ms, and pages that are shared."""
    status = 1
    try:
        os.setsid()
        _name("keeper")
        keep(descriptor, run_as)
        status = 0
    except BaseException:
        traceback.print_exc()  # to the keeper's log, if it had come to that
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _refuse(descriptor: int, error: OSError) -> None:
    """The system gives no process. The other end of the socket hears of it as of a keeper that cannot begin."""
    reason = f"its keeper cannot be started: {error.strerror}"
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as keeper:
        keeper.sendall(encode(orders.broken(reason)))


def _name(text: str) -> None:
    """What `ps -o comm` and `top` show; at most 15 characters count. Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, text.encode(), 0, 0, 0)
