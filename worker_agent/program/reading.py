"""An agent's command line, read without click in the agent's memory.

click and what it loads are 3 MB, of no use once the options are read. So the options are read in a process that ends
at once. Whatever is not an agent that begins to work, such as `--help`, a subcommand or a wrong option, is answered by
`worker_agent.program.cli` as ever; the process that reads does nothing of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from worker_agent.program.loading import Given

if TYPE_CHECKING:
    import click


def read_apart() -> Given | None:
    """What `sys.argv` says of an agent, read in a process of its own. To be called before there are threads.

    None: the command line is to be read here, since it asks for something else, is wrong, or no process can be made.
    """
    try:
        reading, writing = os.pipe()
    except OSError:
        return None
    try:
        pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return None
    if pid == 0:
        _read(writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not told or status:  # where it was killed it may have told a part
        return None
    flags, config, subcommand = json.loads(told)
    repeated = {name: tuple(value) if isinstance(value, list) else value for name, value in flags.items()}
    return Given(repeated, None if config is None else Path(config), subcommand)


def _read(writing: int) -> NoReturn:
    """In the process that reads. Whatever click prints or raises here, it does again where it is heard."""
    status = 1
    try:
        from worker_agent.program.cli import make_cli
        from worker_agent.program.subcommands import RUN

        def tell(context: click.Context) -> None:
            given: Given = context.obj
            config = None if given.config is None else str(given.config)
            with open(writing, "w", encoding="ascii") as pipe:
                json.dump([given.flags, config, given.subcommand], pipe)

        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            sys.stdout = sys.stderr = nowhere
            cli = make_cli(tell)
            for name, command in cli.commands.items():
                if name != RUN:
                    command.callback = None  # it is read, and nothing is done: that would be done twice
            cli.main(standalone_mode=False)
        status = 0
    finally:
        os._exit(status)
