"""The jobs of `worker_agent.agent.errands`, and the process that does them for the main process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker_agent.agent import build_folders
from worker_agent.agent.room import room, temporary_room
from worker_agent.keeper.second_user import close_to_others
from worker_agent.reporting.info_files import files_of


def _free(folder: str) -> int:
    return shutil.disk_usage(folder).free


def _read(path: str, most: int) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(most)


JOBS: Mapping[str, Callable[..., Any]] = {
    "make folder": build_folders.make_folder,
    "make": build_folders.make,
    "unused first": build_folders.by_last_use,
    "left over": build_folders.left_over,
    "mounted in": build_folders.mounted_in,
    "move away": build_folders.move_away,
    "remove": build_folders.remove,
    "free": _free,
    "room": lambda what, folder: room(what, Path(folder)),
    "temporary room": temporary_room,
    "info": files_of,
    "read": _read,
}


def main(fd: int) -> None:
    """`fd` is a socket to the main process; ends with it. A job that takes long keeps no other waiting."""
    close_to_others()
    connection = socket.socket(fileno=fd)
    lock = threading.Lock()

    def answer(message: dict[str, Any]) -> None:
        said: dict[str, Any]
        try:
            said = {"n": message["n"], "result": JOBS[message["job"]](*message["arguments"])}
        except OSError as error:
            file = error.filename if isinstance(error.filename, str) else None
            said = {"n": message["n"], "error": [error.errno, error.strerror or str(error), file]}
        except Exception as error:
            said = {"n": message["n"], "error": [None, f"{type(error).__name__}: {error}", None]}
        with lock:
            connection.sendall(json.dumps(said).encode("ascii") + b"\n")

    with connection.makefile("rb") as lines:
        for line in lines:
            threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
    os._exit(0)
