"""How agents are called in results, and in folders of files that come from them: no two alike."""

from __future__ import annotations

import pytest

from contracts.messages import Status
from master_bridge.running.fleet import called, file_name


def agent(name: str, instance: str) -> Status:
    return Status(
        instance=instance, agent=name, epoch=1, address=f"agent.u.{instance}.n", version="1", now=0.0,
        state="ready", slots=(), capabilities=(), queues=(),
    )  # fmt: skip


def test_only_those_that_share_a_name_have_their_instance_behind_it() -> None:
    agents = [agent("a", "i1"), agent("b", "i2"), agent("a", "i3")]
    assert [name for name, _ in called(agents)] == ["a i1", "b", "a i3"]
    assert [status for _, status in called(agents)] == agents


def test_no_two_names_have_one_folder() -> None:
    """And none is another place."""
    names = ["a/b", "a_b", "a%2Fb", "..", ".", "...", "%2E", ".a", "a.", "a", "a\0", "/", "caf\u00e9"]
    folders = list(map(file_name, names))
    assert len(set(folders)) == len(names)
    assert not any("/" in folder or "\0" in folder or folder in ("", ".", "..") for folder in folders)


@pytest.mark.parametrize("name", ["agent-2@agents", "builder 7", "caf\u00e9", ".hidden"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    assert file_name(name) == name
