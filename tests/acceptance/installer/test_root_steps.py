"""What the installer does as root where a build could plant something: its own functions, with another real user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.waiting import wait_for

pytestmark = pytest.mark.root

SCRIPT = Path(__file__).parents[3] / "deploy" / "install-worker.sh"
#: A user with a group of its name, on every Linux; none of its processes is touched.
USER = "daemon"
AGENT = """#!/bin/sh
trap 'echo restarted' USR2
echo begun
while [ -e "$0" ]; do sleep 0.1; done  # it ends with the test's folder
"""


class Machine:
    """The installer's folders below one that is root's; `state` is the worker's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = pwd.getpwnam(USER)
        self.state = folder / "state"
        self.config = folder / "worker-agent.toml"
        self.url = folder / "config" / "amqp-url"
        self.log, self.pid = self.state / "agent.log", self.state / "agent.pid"
        python = folder / "opt" / "current" / "bin" / "python"
        for made in (self.state, self.url.parent, python.parent):
            made.mkdir(parents=True)
        python.write_text(AGENT)
        python.chmod(0o755)
        #: the new program, which is this checkout's
        self.venv = folder / "venv"
        for name, program in (("python", ""), ("worker-agent", " -m worker_agent")):
            new = self.venv / "bin" / name
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(f'#!/bin/sh\nexec {sys.executable}{program} "$@"\n')
            new.chmod(0o755)
        os.chown(self.state, self.user.pw_uid, self.user.pw_gid)
        self.state.chmod(0o700)

    def call(self, function: str, *, fails: bool = False, stdin: str = "") -> str:
        """Run a function of the script as root; what it says."""
        text, last, _ = SCRIPT.read_text().rpartition('main "$@"')
        assert last
        settings = f"""
            system=linux service=none dry=no start=yes url='' made_user=no made_build_user=no separate=no regain=no
            config_file='' config_text='' slots='' worker_name='' venv={self.venv} source=/src
            NAME={self.folder.name} USER_NAME={USER}
            PREFIX={self.folder}/opt CONFIG={self.config} CONFIG_DIR={self.url.parent} STATE={self.state}
            RUN_LOG={self.log} RUN_PID={self.pid}
        """
        program = self.folder / "script"
        program.write_text(f"{text}\n{settings}\n{function}\n")
        done = subprocess.run(
            ["sh", str(program)],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == int(fails), done.stdout
        return done.stdout

    def configure(self, settings: str = "", *, fails: bool = False, stdin: str = "") -> str:
        """All steps of the script that read, make, check and put the configuration.

        The program is asked as root: this checkout may be where no other user gets to.
        """
        here = 'as_user() { "$@" </dev/null 2>&1; }'
        steps = "read_configuration\nfind_url\nwrite_configuration\ncheck_configuration\nput_configuration"
        return self.call(f"{settings}\n{here}\n{steps}", fails=fails, stdin=stdin)

    def by_worker(self, path: Path, text: str) -> None:
        """A file of the worker's, with the mode 0600."""
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def secret(self) -> Path:
        """A file of root's, which nobody else may write."""
        file = self.folder / "roots"
        file.write_text("root's\n")
        return file

    def agents(self) -> list[int]:
        """Processes that run as the agent here."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue  # it ended meanwhile
                if str(self.folder / "opt").encode() in line and b"worker_agent" in line:
                    found.append(int(entry.name))
        return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.fail("this test needs root (another user's rights)")
    folder = Path(tempfile.mkdtemp(prefix="installer-test-", dir="/tmp"))  # pytest's own folders are closed to others
    folder.chmod(0o755)
    made = Machine(folder)
    try:
        yield made
    finally:
        for pid in made.agents():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def is_roots(file: Path, text: str) -> bool:
    return file.read_text() == text and file.stat().st_uid == 0


def test_the_worker_is_started_and_restarted_with_its_own_rights(machine: Machine) -> None:
    """Nothing planted: the second run restarts the first one's process."""
    assert "started in the background" in machine.call("start_in_background")
    wait_for(lambda: machine.log.exists() and "begun" in machine.log.read_text(), 30, "the agent runs")
    pid = int(machine.pid.read_text())
    assert Path(f"/proc/{pid}").stat().st_uid == machine.user.pw_uid
    assert machine.log.stat().st_uid == machine.pid.stat().st_uid == machine.user.pw_uid
    assert "restarted in place" in machine.call("start_in_background")
    wait_for(lambda: "restarted" in machine.log.read_text(), 30, "the agent was signalled")
    assert machine.agents() == [pid]


def test_with_two_users_the_agent_keeps_three_rights(machine: Machine) -> None:
    """Started in the background: those to change the user and to end its processes, also after a restart in place."""
    machine.call("separate=yes\nstart_in_background")
    wait_for(lambda: machine.log.exists() and "begun" in machine.log.read_text(), 30, "the agent runs")
    status = Path(f"/proc/{int(machine.pid.read_text())}/status").read_text()
    three = f"{1 << 5 | 1 << 6 | 1 << 7:016x}"  # CAP_KILL, CAP_SETGID, CAP_SETUID
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t{three}\n" in status
    assert "end it" in machine.call("separate=yes regain=yes\nstart_in_background")


def test_the_unit_has_rights_for_two_users_only(machine: Machine) -> None:
    """With one user builds would inherit them; OpenRC's service keeps them by setpriv."""
    two, one = (machine.call(f"separate={answer}\nsystemd_unit | fit_unit") for answer in ("yes", "no"))
    assert "\nAmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL\n" in two
    assert "\nAmbientCapabilities=\n" in one
    assert "\nCapabilityBoundingSet=\n" in one
    two, one = (machine.call(f"separate={answer}\nopenrc_script | fit_openrc") for answer in ("yes", "no"))
    assert "command_user" not in two
    assert f'\ncommand_args="--reuid={USER} --regid={USER} --init-groups --inh-caps=-all,+setuid' in two
    assert "\ncommand=/usr/bin/setpriv\n" in two
    assert "setpriv" not in one


def test_a_kept_configuration_decides_about_two_users(machine: Machine) -> None:
    """A new installation has both; one of before is told how to get the second."""
    show = '\nfind_url() { :; }\ndecide_separation\nsay "separate=$separate"'
    assert "separate=yes" in machine.call(show)
    machine.by_worker(machine.config, "slots = 2\n")
    said = machine.call(show)
    assert "separate=no" in said
    assert 'put run_as = "worker-build" into' in said
    machine.by_worker(machine.config, 'run_as = "worker-build"\n')
    assert "separate=yes" in machine.call(show)
    said = machine.call("system=macos\ndecide_separation")
    assert "a build can read the broker's password. Two users need Linux" in said


@pytest.mark.parametrize("name", ["agent.log", "agent.pid"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_planted_link_leads_to_no_file_of_roots(machine: Machine, name: str, link: object) -> None:
    """Symbolic or hard, in place of the log or the pid file: neither text nor owner of root's file changes."""
    target = machine.secret()
    assert callable(link)
    link(target, machine.state / name)
    machine.call("start_in_background\nwait")
    assert is_roots(target, "root's\n")
    assert machine.agents() == []


def test_a_link_to_a_new_file_makes_none_in_roots_folder(machine: Machine) -> None:
    target = machine.folder / "new"
    machine.log.symlink_to(target)
    machine.call("start_in_background\nwait")
    assert not target.exists()


@pytest.mark.parametrize("text", ["{pid}\n", "-{pid}\n", "0{pid}\n", "{pid} {pid}\n"])
def test_a_planted_number_signals_no_process_of_roots(machine: Machine, text: str) -> None:
    """The process ends by our signal, which the kernel hands out after SIGUSR2."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as victim:
        machine.by_worker(machine.pid, text.format(pid=victim.pid))
        said = machine.call("start_in_background")
        victim.send_signal(signal.SIGTERM)
        assert victim.wait(30) == -signal.SIGTERM
    assert "restarted in place" not in said


def test_a_pipe_in_place_of_the_pid_file_does_not_hold_the_installer(machine: Machine) -> None:
    os.mkfifo(machine.pid)
    assert "restarted in place" not in machine.call("start_in_background")


def test_a_kept_configuration_becomes_roots(machine: Machine) -> None:
    """Also for one who has the old file open or linked: what he writes is not read any more."""
    for file, text in ((machine.config, "slots = 2\n"), (machine.url, "amqp://b7@broker/\n")):
        machine.by_worker(file, text)
    kept = machine.config.open("a")
    os.link(machine.config, machine.state / "linked")
    machine.call("write_configuration")
    with kept:
        kept.write("slots = 99\n")
    for file, text in ((machine.config, "slots = 2\n"), (machine.url, "amqp://b7@broker/\n")):
        found = file.stat()
        assert file.read_text() == text
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, machine.user.pw_gid, 0o640)


def test_a_configuration_that_is_a_link_is_left(machine: Machine) -> None:
    target = machine.secret()
    target.chmod(0o600)
    machine.config.symlink_to(target)
    assert "is a link" in machine.call("write_configuration")
    assert is_roots(target, "root's\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_removing_follows_no_link(machine: Machine) -> None:
    """Links to a file and to a folder go; what they lead to stays."""
    folder = machine.folder / "kept"
    folder.mkdir()
    (folder / "file").write_text("root's\n")
    (machine.state / "folder").symlink_to(folder)
    (machine.state / "file").symlink_to(folder / "file")
    machine.call("end_processes() { :; }\nuninstall")  # this machine may have other processes of that user
    assert not os.path.lexists(machine.state)
    assert is_roots(folder / "file", "root's\n")
