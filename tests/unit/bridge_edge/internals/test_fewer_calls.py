"""What is done in Buildbot's place is done for releases whose sources were read; others work by themselves."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from structlog.testing import capture_logs

from master_bridge.buildbot.internals.fewer_calls import FewerCalls, is_read


@pytest.mark.parametrize(
    ("release", "read"),
    [
        ("4.2.0", True), ("4.2.1", True), ("4.3.0", True), ("4.3.0.post1", True), ("4.3", True),
        ("4.1.0", False), ("4.4.0", False), ("4.30.0", False), ("5.0.0", False), ("4.3.1.dev12", False),
        ("2026.11.30", False), ("999.0-version-not-found", False), ("latest", False), ("", False),
    ],
)  # fmt: skip
def test_releases(release: str, read: bool) -> None:
    assert is_read(release) is read


def test_the_installed_release_is_one_of_them() -> None:
    assert is_read(version("buildbot"))


@pytest.mark.parametrize("found", ["4.4.0", None], ids=["another", "none"])
def test_another_buildbot_is_left_as_it_is_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    def installed(package: str) -> str:
        assert package == "buildbot"
        if found is None:
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr("master_bridge.buildbot.internals.fewer_calls.version", installed)
    master: Any = object()  # which has nothing of what is leant on
    calls = FewerCalls()
    with capture_logs() as logs:
        calls.keep(master)
        calls.release()
    assert [(entry["event"], entry["version"]) for entry in logs] == [
        ("amqp.buildbot_unknown", found or "not installed")
    ]
    assert "4.2 and 4.3" in logs[0]["detail"]
