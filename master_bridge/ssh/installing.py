"""The agent, installed on a machine of which nothing but ssh is known: wheels go there, and no index is asked."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import IO

from master_bridge.operating.errors import OperatingError

#: Where it is put, in the user's home.
HOME = "$HOME/.local/share/worker-agent"
#: A shell finds `worker-agent` after it, where it is installed.
IN_PATH = f'PATH="{HOME}/venv/bin:$HOME/.local/bin:$PATH"'
#: Run there, with a tar archive of wheels on its standard input. Our own wheel is installed anew also where its version
#: is the same.
INSTALL = f'''set -e
d="{HOME}"
rm -rf "$d/wheels"
mkdir -p "$d/wheels"
tar -xf - -C "$d/wheels"
[ -x "$d/venv/bin/pip" ] || python3 -m venv "$d/venv" >&2
pip="$d/venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links $d/wheels"
$pip 'buildbot-amqp[worker]' >&2
$pip --force-reinstall --no-deps buildbot-amqp >&2
rm -rf "$d/wheels"'''


def tar_of(folder: Path) -> IO[bytes]:
    """An open file with all wheels of a folder, at its beginning. Raises `OperatingError`."""
    wheels = sorted(folder.glob("*.whl"))
    if not any(wheel.name.startswith("buildbot_amqp-") for wheel in wheels):
        raise OperatingError(
            f"{folder}: no wheel of buildbot-amqp is there; `pip wheel './buildbot-amqp[worker]' -w {folder}` makes "
            "all that an agent needs, for machines like this one"
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for wheel in wheels:
                archive.add(wheel, wheel.name)
        file.seek(0)
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise OperatingError(f"{folder}: {error.strerror}") from None
        raise
    return file
