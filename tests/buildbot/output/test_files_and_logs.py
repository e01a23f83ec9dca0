"""Output and files between master and agent, on real parts."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

HEAD = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
"""


def test_output_is_exact(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Any bytes, any line length, streams in order, log files: in Buildbot's log, nothing lost, nothing cut."""
    long_line = "x" * 1_000_000
    many = "".join(f"line {n}\n" for n in range(100_000))
    (tmp_path / "many").write_text(many)
    (tmp_path / "long").write_text(long_line + "\n")
    config = (
        HEAD
        + f"""
builder("b", c['workers'],
    steps.ShellCommand(name="bytes", command="printf 'a\\\\377\\\\342\\\\202\\\\254b\\\\rprogress\\\\r\\\\nlast'"),
    steps.ShellCommand(name="many", command=["cat", "{tmp_path}/many"]),
    steps.ShellCommand(name="long", command=["cat", "{tmp_path}/long"]),
    steps.ShellCommand(name="streams", command="for i in 1 2 3; do echo o$i; sleep .3; echo e$i >&2; sleep .3; done"),
    steps.ShellCommand(name="file", command="echo one > f.log; sleep 1; echo two >> f.log",
        logfiles={{"extra": "f.log"}}),
    steps.SetPropertyFromCommand(name="set", command="printf value", property="got"),
)
"""
    )
    master = make_master(config)
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    build = master.finished(request, 100)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.output(build, "bytes") == "a\ufffd\u20acb\nprogress\nlast\n"
    assert master.output(build, "many") == many
    got = master.output(build, "long")
    assert got.replace("\n", "") == long_line
    assert max(map(len, got.split("\n"))) > 60_000
    streams = [line for line in master.step_log(build, "streams").splitlines() if line[:1] in "oe"]
    assert streams == ["oo1", "ee1", "oo2", "ee2", "oo3", "ee3"]
    assert master.output(build, "file", "extra") == "one\ntwo\n"
    assert master.properties(build)["got"] == "value"


def test_files_go_both_ways(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Uploads, downloads and directories arrive byte for byte; a missing file is the step's failure."""
    content = bytes(range(256)) * 20_000
    (tmp_path / "source").write_bytes(content)
    config = (
        HEAD
        + f"""
builder("b", c['workers'],
    steps.FileDownload(name="down", mastersrc="{tmp_path}/source", workerdest="got", mode=0o640),
    steps.StringDownload("text \\u20ac", name="string", workerdest="text"),
    steps.ShellCommand(name="sum", command="sha256sum got; stat -c %a got; cat text"),
    steps.FileUpload(name="up", workersrc="got", masterdest="{tmp_path}/back", keepstamp=True),
    steps.ShellCommand(name="tree", command="mkdir -p d/e && echo 1 > d/one && echo 2 > d/e/two"),
    steps.DirectoryUpload(name="dir", workersrc="d", masterdest="{tmp_path}/tree", compress="gz"),
    steps.MultipleFileUpload(name="multi", workersrcs=["text", "d"], masterdest="{tmp_path}/multi"),
    steps.MakeDirectory(name="mkdir", dir="build/new"),
    steps.CopyDirectory(name="cpdir", src="build/d", dest="build/copy"),
    steps.FileExists(name="exists", file="build/copy/e/two"),
    steps.RemoveDirectory(name="rmdir", dir="build/copy"),
    steps.FileUpload(name="missing", workersrc="nothing", masterdest="{tmp_path}/nothing", haltOnFailure=False),
)
"""
    )
    master = make_master(config)
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    build = master.finished(request, 60)
    assert master.output(build, "sum").split("\n")[:3] == [
        f"{hashlib.sha256(content).hexdigest()}  got",
        "640",
        "text \u20ac",
    ], master.describe(request)
    assert (tmp_path / "back").read_bytes() == content
    assert (tmp_path / "tree" / "e" / "two").read_text() == "2\n"
    assert (tmp_path / "multi" / "d" / "one").read_text() == "1\n"
    for name in ("mkdir", "cpdir", "exists", "rmdir"):
        assert build.step_result(name) == "SUCCESS", master.describe(request)
    assert build.step_result("missing") == "FAILURE", master.describe(request)
    assert not (tmp_path / "nothing").exists()
    assert "Cannot open file" in master.output(build, "missing", streams="e")


def test_a_git_checkout_builds(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """The Git step clones a repository on the agent and the next step works in it; again, incrementally."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "file").write_text("from git\n")
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one"],
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    config = (
        HEAD
        + f"""
builder("b", c['workers'],
    steps.Git(name="git", repourl="file://{repository}", branch="main", mode="incremental"),
    steps.ShellCommand(name="cat", command=["cat", "file"]),
)
"""
    )
    master = make_master(config)
    make_agent("a1", capabilities=["gtk"])
    for _ in range(2):
        request = master.force("b")
        build = master.finished(request, 60)
        assert build.result == "SUCCESS", master.describe(request)
        assert master.output(build, "cat") == "from git\n"
        assert len(str(master.properties(build)["got_revision"])) == 40


def test_an_upload_that_cannot_be_stored_fails_clearly(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """A master that cannot write what an agent uploads: the step is an EXCEPTION that says why, the agent goes on."""
    config = (
        HEAD
        + f"""
from buildbot.process.remotetransfer import FileWriter
class Full(FileWriter):
    def remote_write(self, data):
        raise OSError(28, "No space left on device")
import buildbot.steps.transfer as transfer
transfer.remotetransfer.FileWriter = Full
builder("b", c['workers'],
    steps.ShellCommand(name="make", command="echo content > f"),
    steps.FileUpload(name="up", workersrc="f", masterdest="{tmp_path}/back"))
builder("next", c['workers'], steps.ShellCommand(name="ok", command=["true"]))
"""
    )
    master = make_master(config)
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    build = master.finished(request, 40)
    assert build.step_result("up") == "EXCEPTION", master.describe(request)
    assert "No space left on device" in master.step_log(build, "up", "err.text")
    assert master.finished(master.force("next"), 40).result == "SUCCESS"
