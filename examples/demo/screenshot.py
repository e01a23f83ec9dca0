"""A picture of a local page by headless Chromium. Installs Debian's chromium where it is missing and the user may."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from examples.demo.errors import DemoError

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Milliseconds of the page's own time: Buildbot's page loads its data after it has loaded itself.
SETTLE = 8000


def browser() -> str:
    """Raises `DemoError` when there is none and none can be installed."""
    for attempt in ("look", "install"):
        if found := next(filter(None, map(shutil.which, BROWSERS)), None):
            return found
        if attempt == "look":
            script = ". deploy/dev/common.sh; apt_install chromium"
            if subprocess.run(["bash", "-c", script], cwd=ROOT).returncode:
                break
    raise DemoError("a screenshot needs Chromium: apt-get install --no-install-recommends chromium")


def take(url: str, picture: Path, *, width: int = 1280, height: int = 480) -> None:
    """Write a PNG of the page at `url` to `picture`."""
    program = browser()
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshot-") as profile:
        done = subprocess.run(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--virtual-time-budget={SETTLE}",
                f"--screenshot={picture.resolve()}", url,
            ],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    if done.returncode or not picture.exists():
        raise DemoError(f"{program} took no picture of {url}:\n{done.stderr[-2000:]}")
