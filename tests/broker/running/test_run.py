"""Commands on real agents over a real broker: each once, with all of its output and its own exit status."""

from __future__ import annotations

from pathlib import Path

from tests.broker.running.conftest import Begin, StartAll


def test_a_command_on_one_agent(start_all: StartAll, begin: Begin, tmp_path: Path) -> None:
    start_all("builder7")
    done = begin(
        "run", "--on", "builder7", "--env", "WHO=me", "--", "sh", "-c", "echo out $WHO; echo err >&2; exit 7"
    ).ended(7)
    assert (done.stdout, done.stderr) == (b"out me\n", "err\n")
