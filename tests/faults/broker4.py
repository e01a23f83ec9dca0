"""A RabbitMQ 4.x beside the system's: Debian 13 in a folder, made once by deploy/dev/debian13-root.sh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VARIABLE = "RABBITMQ_SERVER_4"
_DEV = Path(__file__).parents[2] / "deploy" / "dev"
#: Kept between runs: making it takes half a minute and a package mirror.
_ROOT = Path(os.environ.get("DEBIAN13_ROOT", "/var/tmp/debian13-rabbitmq"))


def server_of_version_4() -> str:
    """The command that starts it, as `RABBITMQ_SERVER` wants it. Made if it is not there; needs root then."""
    if named := os.environ.get(VARIABLE):
        return named
    subprocess.run([_DEV / "debian13-root.sh", _ROOT], check=True)
    return f"{_DEV / 'in-root.sh'} {_ROOT} /usr/lib/rabbitmq/bin/rabbitmq-server"
