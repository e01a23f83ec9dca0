"""The program `worker-agent`, and `python -m worker_agent`.

structlog reads `rich` and Twisted where they happen to be installed, for a colourful traceback and for Twisted's own
logs: 8 MB and a quarter of a second that an agent has no use for.
"""

from __future__ import annotations

import sys


def main() -> None:
    for unused in ("rich", "twisted"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # importlib: None says that there is no such module
    from worker_agent.cli import main as command

    command()


if __name__ == "__main__":
    main()
