"""What an agent tells of its machine is what Buildbot's own worker tells of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from buildbot_worker.base import BotBase

from worker_agent.keepers.builddirs import BuildDirs
from worker_agent.program.settings import Settings
from worker_agent.reporting.facts import facts
from worker_agent.reporting.info import Information
from worker_agent.reporting.info_files import FILE_MAX, FILES_MAX, TOTAL_MAX

OS_RELEASE = """# a comment
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian

VERSION_ID="12"
EMPTY=
HOME_URL="https://www.debian.org/?a=b"
"""


def information(tmp_path: Path, **settings: object) -> Information:
    given = {"basedir": tmp_path, "state": tmp_path / "state", "name": "builder7", **settings}
    return Information(Settings.model_validate(given), BuildDirs(tmp_path, keep_free=0).slot_folder)


def told(tmp_path: Path, **settings: object) -> dict[str, object]:
    made = information(tmp_path, **settings)
    made.tell(facts(tmp_path, tmp_path / "os-release"))
    info = made("m", 0).model_dump()
    return {**info.pop("facts"), **info}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "os-release").write_text(OS_RELEASE)
    folder = tmp_path / "info"
    folder.mkdir()
    files = {"admin": "Zoë <zoe@example.org>\n", "host": "under the desk\n", "access_uri": "ssh://b7\n"}
    for name, text in {**files, "rack": "17\n", "version": "never\n", "os_id": "never\n"}.items():
        (folder / name).write_text(text)
    (folder / "folder").mkdir()
    return tmp_path


def test_buildbots_worker_tells_the_same(machine: Path) -> None:
    """Names and values, but those of the program and of the place itself."""
    theirs = BotBase(str(machine))
    theirs.setOsReleaseFile(str(machine / "os-release"))
    expected = theirs.remote_getWorkerInfo()
    ours = told(machine)
    # `delete_leftover_dirs` is said by the bridge; the other ones differ by nature or are compared elsewhere
    others = {"environ", "basedir", "numcpus", "version", "worker_commands", "delete_leftover_dirs"}
    assert {key: ours.get(key) for key in expected if key not in others} == {
        key: value for key, value in expected.items() if key not in others
    }
    assert ours["os_pretty_name"] == "Debian GNU/Linux 12 (bookworm)"
    assert ours["version"] != "never\n"


def test_settings_come_before_files(machine: Path) -> None:
    """And where neither says it the host is the agent's name."""
    ours = told(machine, admin="Ada", host="a host")
    assert (ours["admin"], ours["host"], ours["access_uri"]) == ("Ada", "a host", "ssh://b7\n")
    (machine / "info" / "host").unlink()
    assert told(machine)["host"] == "builder7"


def test_what_cannot_be_told_is_left_out(machine: Path) -> None:
    """Nothing in the folder stops an agent: a FIFO, bytes that are no UTF-8, a file that is too long, one too many."""
    folder = machine / "info"
    os.mkfifo(folder / "fifo")
    (folder / "bytes").write_bytes(b"caf\xe9")
    (folder / "long").write_text("x" * (FILE_MAX + 1))
    (folder / "nowhere").symlink_to("/nowhere")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_text("odd name")
    found = facts(machine, machine / "os-release")
    assert {"fifo", "bytes", "long", "nowhere", "folder"}.isdisjoint(found)
    assert found["caf\ufffd"] == "odd name"
    for number in range(FILES_MAX):
        (folder / f"z{number}").write_text("x" * 2000)
    files = [text for name, text in facts(machine, machine / "os-release").items() if not name.startswith("os_")]
    assert len(files) <= FILES_MAX
    assert sum(len(text) for text in files) <= TOTAL_MAX
    assert facts(machine / "nowhere", machine / "nowhere") == {}
