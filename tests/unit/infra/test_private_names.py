"""Private names of Buildbot's stand in `master_bridge/buildbot/internals` only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.private_names import private_uses
from tests.harness.tree import ROOT

INTERNALS = ROOT / "master_bridge/buildbot/internals"
MODULES = [
    path
    for place in ("master_bridge/buildbot", "master_bridge/www")
    for path in sorted((ROOT / place).rglob("*.py"))
    if INTERNALS not in path.parents
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_outside_of_internals_uses_none(path: Path) -> None:
    assert list(private_uses(path.read_text("utf-8"))) == []


def test_they_are_found_where_they_are() -> None:
    """Else the test above would see nothing anywhere."""
    found = {path.name for path in INTERNALS.glob("*.py") if list(private_uses(path.read_text("utf-8")))}
    assert {"builds.py", "latent.py", "rest_answers.py", "secret_files.py", "siblings.py", "whole_config.py"} <= found


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        ("step = build._preparation_step", "build._preparation_step"),
        ("used = getattr(build, '_used_secrets', {})", "getattr of _used_secrets"),
        ("from buildbot.www.rest import _is_request_finished", "imports buildbot.www.rest._is_request_finished"),
        (
            "from buildbot.config.master import MasterConfig\nMasterConfig.check_builders = None",
            "replaces MasterConfig.check_builders",
        ),
        (
            "from buildbot.worker.latent import AbstractLatentWorker\n"
            "class W(AbstractLatentWorker):\n    def f(self): self._deferwaiter.add(1)",
            "W._deferwaiter is also Buildbot's",
        ),
        (
            "from buildbot.worker.latent import AbstractLatentWorker\n"
            "class W(AbstractLatentWorker):\n    def _update_paused(self): ...",
            "W._update_paused is also Buildbot's",
        ),
    ],
)
def test_a_planted_one_is_found(planted: str, what: str) -> None:
    assert [use for _, use in private_uses(planted)] == [what]
