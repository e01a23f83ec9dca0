"""Agents and masters that are forked are as those that are started: environment, output, exit status, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.harness.environment import program_environment
from tests.harness.forking.process import forked_agent
from tests.harness.processes import alive
from tests.harness.tree import ROOT
from tests.harness.waiting import wait_for

#: As the console script does.
_PROGRAM = "import sys; sys.argv[0] = 'worker-agent'; from worker_agent.__main__ import main; main()"
#: Forks an agent for which there is no broker, tells its number, and waits.
_MAKER = """
import sys
from pathlib import Path
from tests.harness.environment import program_environment
from tests.harness.forking.process import forked_agent
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    environment = {**program_environment(), "WORKER_AGENT_AMQP_URL": "amqp://u:p@127.0.0.1:1/"}
    options = ["--no-auto-capabilities", "--state", str(folder / "state")]
    print(forked_agent(options, environment=environment, output=folder / "log", folder=folder).pid, flush=True)
    sys.stdin.read()
"""


def test_its_answer_and_exit_status_are_those_of_the_program(tmp_path: Path) -> None:
    """Also what it says of a wrong option, and of a variable of its own environment."""
    for arguments, more in ((["--version"], {}), (["--no-such"], {}), ([], {"WORKER_AGENT_SLOTS": "many"})):
        environment = {**program_environment(), "WORKER_AGENT_AMQP_URL": "amqp://u:p@127.0.0.1:1/", **more}
        command = [sys.executable, "-c", _PROGRAM, *arguments]
        program = subprocess.run(
            command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=60,
        )  # fmt: skip
        output = tmp_path / "log"
        output.unlink(missing_ok=True)
        forked = forked_agent(arguments, environment=environment, output=output, folder=tmp_path)
        assert forked.wait(60) == program.returncode
        assert output.read_bytes() == program.stdout
        assert forked.end() == program.returncode, "once more"


def test_it_ends_with_the_process_that_forked_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAKER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        pid = int(maker.stdout.readline())
        log = tmp_path / "log"
        wait_for(lambda: log.exists() and "agent_started" in log.read_text(), 60, lambda: log.read_text())
        assert os.getpgid(pid) == os.getsid(pid) == pid
        maker.send_signal(signal.SIGKILL)
    wait_for(lambda: not alive(pid), 60, "the agent's end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_has_ended_and_is_not_known_to_have_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its source waits for it, and tells so in the next moment: until then it seems to run, and there is none."""
    environment = {**program_environment(), "WORKER_AGENT_AMQP_URL": "amqp://u:p@127.0.0.1:1/"}
    forked = forked_agent(["--version"], environment=environment, output=tmp_path / "log", folder=tmp_path)
    status = forked.wait(60)
    seems = iter([True, False])
    seeming = SimpleNamespace(is_alive=lambda: next(seems), join=lambda _timeout=None: None, exitcode=status)
    monkeypatch.setattr(forked, "_process", seeming)
    assert forked.end(number) == status
