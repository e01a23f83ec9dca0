"""How this package's own small programs are started: isolated, so that nothing around them changes what is run."""

from __future__ import annotations

import sys
from pathlib import Path


def isolated(code: str) -> list[str]:
    """A Python that finds `worker_agent` and psutil, and reads neither environment nor `site` (.pth files).

    What is added to the list is `sys.argv[1:]`; its first is the process's name for people.
    """
    import psutil  # whoever only asks for settings does without

    places = [str(Path(__file__).parents[2]), str(Path(psutil.__file__).parents[1])]
    # None of these uses TLS; asyncio does without ssl when told that there is none, and starts the sooner for it.
    return [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {places!r}; sys.modules['ssl'] = None; {code}"]
