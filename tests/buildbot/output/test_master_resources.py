"""What downloads need of the master: no room for the file in TMPDIR; a full one is as any other full disk of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.laboratory.full_disk import file_system, fill
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.root,  # mounts a small file system
]

CONFIG = """
from buildbot.process import remotecommand, remotetransfer
from twisted.internet import defer
class Own(remotetransfer.FileReader):
    def remote_read(self, length):
        return super().remote_read(length)
class Copied(steps.BuildStep):
    "A step with a reader of its own, which the bridge has to copy."
    @defer.inlineCallbacks
    def run(self):
        command = remotecommand.RemoteCommand('downloadFile', dict(reader=Own(open({file!r}, 'rb')),
            workdir=self.workdir, workerdest='copied', maxsize=None, blocksize=65536, mode=None))
        self.addLog('stdio').addCallback(command.useLog, True)
        yield self.runCommand(command)
        return command.results()
w = worker.amqp_column('any', workers=4, requires=['any'])
c['workers'] = w
check = steps.ShellCommand(name='check', command='sha256sum < f; sha256sum < text')
for n in range(4):
    builder(f'b{{n}}', w, steps.FileDownload(name='file', mastersrc={file!r}, workerdest='f'),
        steps.StringDownload('x' * 5_000_000, name='text', workerdest='text'), check)
builder('copied', w, Copied(name='copied', workdir='build'),
    steps.ShellCommand(name='check', command='sha256sum < copied'))
"""


@pytest.mark.long
def test_a_download_needs_no_room_in_the_masters_tmpdir(
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four builds download 40 MB each with a TMPDIR of 4 MiB that is full: each SUCCESS, each file intact.

    What has to be copied waits for room, is RETRY meanwhile, and SUCCESS once there is some.
    """
    file = tmp_path / "large"
    file.write_bytes(os.urandom(1024 * 1024) * 40)
    wanted = hashlib.sha256(file.read_bytes()).hexdigest()
    with file_system(tmp_path / "small", 4) as small:
        monkeypatch.setenv("TMPDIR", str(small))
        master = make_master(CONFIG.format(file=str(file)))
        monkeypatch.delenv("TMPDIR")
        make_agent("a1", slots=4)
        fill(small, 0)
        requests = [master.force(f"b{number}") for number in range(4)]
        for request in requests:
            build = master.finished(request, 120)
            assert build.result == "SUCCESS", master.describe(request)
            assert wanted in master.output(build, "check")
    # unmounted lazily: the master still has its TMPDIR open only if it keeps a file there
    assert [name for name in os.listdir(f"/proc/{master.pid}/fd") if _is_deleted(master.pid, name)] == []


def test_a_full_tmpdir_is_as_another_full_disk_of_the_master(
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has to be copied waits for room; then its build is RETRY and says why; with room it is SUCCESS."""
    file = tmp_path / "large"
    file.write_bytes(os.urandom(1024 * 1024) * 20)
    with file_system(tmp_path / "small", 40) as small:
        monkeypatch.setenv("TMPDIR", str(small))
        master = make_master(CONFIG.format(file=str(file)))
        monkeypatch.delenv("TMPDIR")
        make_agent("a1", slots=4)
        filled = fill(small, 64 * 1024)
        request = master.force("copied")
        wait_for(lambda: len(master.builds(request)) > 1, 90, lambda: f"a RETRY: {master.describe(request)}")
        first = master.builds(request)[0]
        assert first.result == "RETRY", master.describe(request)
        assert "disk full" in master.step_log(first, "copied")
        filled.unlink()
        build = master.finished(request, 90)
        assert build.result == "SUCCESS", master.describe(request)
        assert hashlib.sha256(file.read_bytes()).hexdigest() in master.output(build, "check")
        # a folder of sockets is there while ZeroMQ's door is open
        assert [path.name for path in small.rglob("*") if path.is_file() and path.name != "fill"] == []


def _is_deleted(pid: int, fd: str) -> bool:
    try:
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return False
    return target.endswith("(deleted)") and "small" in target
