"""Base images made here, under the names that the Dockerfiles and the compose file pull from a registry.

A Debian 13 and a forky by debootstrap, then what each name promises by apt: Python 3.13, and RabbitMQ 4.3 with its
management plugin.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.acceptance.compose.daemon import DockerDaemon
from tests.acceptance.installer.debian_root import DebianRoot

REPOSITORY = Path(__file__).parents[3]
#: Debian's releases, and the images made of them.
DEBIANS = {"trixie": "compose-test-debian:13", "forky": "compose-test-debian:forky"}
_IMAGES = Path(__file__).parent / "images"
#: As Debian's own images have it: apt's caches would be a third of the image.
_NO_CACHES = 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'


def python_image() -> str:
    """The base of both Dockerfiles; they must agree, and pin it to a version."""
    files = (REPOSITORY / "deploy/docker").glob("*/Dockerfile")
    named = {re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", file.read_text(), re.MULTILINE)[0] for file in files}
    assert len(named) == 1, f"the Dockerfiles name different base images: {sorted(named)}"
    name = str(named.pop())
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-trixie", name), f"{name}: pin version and Debian release"
    return name


def broker_image() -> str:
    """The image of the compose file's broker."""
    return broker_images()["docker-compose.yml"]


def broker_images() -> dict[str, str]:
    """The broker's image in each file of the repository that names one."""
    files = [*REPOSITORY.glob("*.yml"), *(REPOSITORY / "examples").rglob("*.yml"), *(REPOSITORY / "deploy").rglob("*")]
    found = {
        str(path.relative_to(REPOSITORY)): re.findall(r"(?:image:|FROM) (rabbitmq:\S+)", path.read_text())
        for path in files
        if path.is_file()
    }
    return {name: image for name, images in found.items() for image in images}


def provide(daemon: DockerDaemon, folder: Path) -> None:
    """Make them all (two minutes with a near mirror)."""
    for release, image in DEBIANS.items():
        root = DebianRoot(folder / release)
        try:
            root.create(release)
            root.path("/etc/apt/apt.conf.d/docker-clean").write_text(_NO_CACHES)
            _import(daemon, root, image)
        finally:
            root.close()
    for name, file in ((python_image(), "python.Dockerfile"), (broker_image(), "rabbitmq.Dockerfile")):
        daemon.docker("build", "--quiet", "--network=host", f"--tag={name}", f"--file={_IMAGES / file}", str(_IMAGES))


def _import(daemon: DockerDaemon, root: DebianRoot, image: str) -> None:
    left_out = [f"--exclude=./{inside}" for inside in ("proc/*", "var/cache/apt/*", "var/lib/apt/lists/*")]
    archive = root.folder.with_suffix(".tar")
    try:
        subprocess.run(["tar", f"--directory={root.folder}", *left_out, "-cf", str(archive), "."], check=True)
        daemon.docker("import", str(archive), image)
    finally:
        archive.unlink(missing_ok=True)
