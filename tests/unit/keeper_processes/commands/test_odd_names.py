"""Files and folders whose names are as long as may be, or look like something else."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.unit.keeper_processes.driving.harness import Driven, stream, update
from worker_agent.keepers.client import Keeper

NAMES = ["f" * 255, "é" * 127, "日" * 85, ".hidden", "100%s", "-rf", "a b", "*", "x.part"]
PATHS = {"workdir": "", "maxsize": None, "blocksize": 4096}


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_of_any_name_goes_both_ways(driven: Driven, name: str) -> None:
    """Down, up, into an archive, copied, listed, and removed."""
    await driven.open()
    content = os.urandom(100_000)
    download = {**PATHS, "workerdest": f"d/{name}", "mode": None}

    assert update(await driven.run("downloadFile", download, content), "rc") == 0
    assert (driven.build / "d" / name).read_bytes() == content
    assert update(await driven.run("downloadFile", download, content), "rc") == 0  # over what is there
    up = await driven.run("uploadFile", {**PATHS, "workersrc": f"d/{name}", "keepstamp": True})
    assert stream(up, "write") == content
    packed = await driven.run("uploadDirectory", {**PATHS, "workersrc": "d", "compress": None})
    with tarfile.open(fileobj=io.BytesIO(stream(packed, "write"))) as archive:
        assert [Path(member.name).name for member in archive][1:] == [name]
    assert update(await driven.run("cpdir", {"fromdir": "d", "todir": name}), "rc") == 0
    assert (driven.build / name / name).read_bytes() == content
    assert update(await driven.run("listdir", {"dir": "d"}), "files") == [name]
    assert update(await driven.run("stat", {"workdir": "d", "file": name}), "stat")
    assert update(await driven.run("rmfile", {"path": f"d/{name}"}), "rc") == 0
    assert update(await driven.run("rmdir", {"dir": name}), "rc") == 0
    assert not os.listdir(driven.build / "d")


async def test_a_file_at_the_end_of_the_longest_path(driven: Driven) -> None:
    """Nothing is written beside it whose path would be longer than paths may be."""
    await driven.open()
    left = 4095 - len(os.fsencode(driven.build)) - 2
    folder = "/".join(["d" * 200] * (left // 201)) + "/" + "e" * (left % 201)
    path = f"{folder[: left - 1].rstrip('/')}/f"

    events = await driven.run("downloadFile", {**PATHS, "workerdest": path, "mode": None}, b"content")

    assert update(events, "rc") == 0, stream(events, "stderr")
    assert (driven.build / path).read_bytes() == b"content"


async def test_a_keeper_in_a_deep_folder_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket's path is longer than the 108 bytes of a socket's address, and so is the temporary folder's."""
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    driven = Driven(deep)
    await driven.open()
    driven.keeper.detach(60)

    found = await Keeper.attach(session=driven.session, folder=str(driven.folder), on_input=driven.on_input)

    assert found is not None
    await found.close()
