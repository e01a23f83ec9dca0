"""The remote commands by name, as Buildbot's master asks for them (buildbot_worker/commands/registry.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker_agent.keeper.commands import fs
from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.commands.download import DownloadFile
from worker_agent.keeper.commands.paths import resolve
from worker_agent.keeper.commands.shell import Shell
from worker_agent.keeper.commands.upload import UploadDirectory, UploadFile
from worker_agent.keeper.host import Host
from worker_agent.keeper.report import CommandReport

#: All of `worker_agent.keeper.wire.COMMANDS`.
_COMMANDS: dict[str, type[RemoteCommand]] = {
    "shell": Shell,
    "uploadFile": UploadFile,
    "uploadDirectory": UploadDirectory,
    "downloadFile": DownloadFile,
    "mkdir": fs.MakeDirectory,
    "rmdir": fs.RemoveDirectory,
    "cpdir": fs.CopyDirectory,
    "stat": fs.StatFile,
    "glob": fs.GlobPath,
    "listdir": fs.ListDir,
    "rmfile": fs.RemoveFile,
}


class UnknownCommand(Exception):
    """The master asks for a remote command that no worker of this version has."""


def make(name: str, host: Host, report: CommandReport, args: Mapping[str, Any], digest: str) -> RemoteCommand:
    """The command, ready to run. Raises `UnknownCommand`, and KeyError or ValueError for arguments that are missing."""
    resolved = resolve(name, args, host.builder)
    if name not in _COMMANDS:
        raise UnknownCommand(f"(command {report.n}): unrecognized WorkerCommand '{name}'")
    command = _COMMANDS[name](host, report, resolved)
    command.asked, command.digest = args, digest
    return command
