"""Builders, folders and files with names that are legal and unusual, on real parts."""

from __future__ import annotations

from collections.abc import Callable

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
LONG = ["b" * 250, "b" * 255, "b" * 600, "\\u00e9" * 127]
FOLDERS = [*LONG, "a/b", "a_b", ".hidden", "..x", "100%s", "a b", "-rf", "/", ".."]
for number, folder in enumerate(FOLDERS):
    name = "f" * 250
    builder(f"b{number}", c['workers'],
        steps.ShellCommand(name="where", command="pwd; ls; echo here > mark"),
        steps.StringDownload("content", name="down", workerdest=name),
        steps.FileUpload(name="up", workersrc=name, masterdest=f"got-{number}"),
        steps.CapabilityCommand(name="elsewhere", command="pwd", requires=["gtk"]),
        workerbuilddir=folder, builddir=f"m{number}")
"""


def test_builders_with_any_folder_work_and_share_none(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Property `builddir` is the folder, and nothing of another builder lies in it."""
    master = make_master(CONFIG)
    make_agent("a1", capabilities=["gtk"], slots=2)
    folders = set()
    for number in range(13):
        request = master.force(f"b{number}")
        build = master.finished(request, 60)
        assert build.result == "SUCCESS", master.describe(request)
        folder = master.properties(build)["builddir"]
        assert master.output(build, "where").rstrip("\n") == f"{folder}/build"
        folders.add(folder)
    assert len(folders) == 13
