"""What runs on an agent around a shard's command: small scripts for any POSIX shell, and their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: A shard's command where the machine is not prepared: it says so with this exit code, and this line.
UNPREPARED_RC = 75
UNPREPARED = "battery: this machine is not prepared:"

#: $1 key of what is to be there ("": nothing), $2 "check" or "mark" (it was prepared just now), $3 where the key is
#: kept, $4 where the archive is kept, $5 the report ("": none); the command follows.
_RUN = f"""
key=$1 mode=$2 marker=$3 archive=$4 report=$5; shift 5
if [ -n "$key" ]; then
  if [ "$mode" = mark ]; then printf %s "$key" > "$marker" || exit 1
  elif [ "$(cat "$marker" 2>/dev/null)" != "$key" ]; then
    rm -f "$marker"
    if [ -n "$archive" ] && [ -e "$archive" ]; then echo "{UNPREPARED} unpack"; else echo "{UNPREPARED} fetch"; fi
    exit {UNPREPARED_RC}
  fi
fi
[ -z "$report" ] || rm -rf -- "$report"
exec "$@"
"""

#: $1 the folder, $2 the archive. Other archives of the builder are removed: a newer one has come.
_UNPACK = """
set -e
rm -rf "$1"; mkdir -p "$1"; tar -xzf "$2" -C "$1"
for other in "${2%/*}"/*.tar.gz; do [ "$other" = "$2" ] || rm -f "$other"; done
"""

#: $1 the archive to be made of the folder in which it runs. The same files make the same bytes, where tar is GNU's.
_PACK = """
set -e
if tar --version 2>/dev/null | grep -q GNU
then tar --sort=name --mtime=@1000000000 --owner=0 --group=0 --numeric-owner -cf - . | gzip -n > "$1"
else tar -cf - . | gzip -n > "$1"
fi
"""


class Places:
    """Where things are on an agent, seen from `workdir`, which is below the builder's folder there.

    An archive is beside the slots' folders, so that all slots of a machine share it, and named like one of their build
    directories, so that the agent removes it when its disk fills.
    """

    def __init__(self, workdir: str, builddir: str, key: str) -> None:
        parts = [part for part in workdir.split("/") if part not in ("", ".")]
        up = "" if workdir.startswith("/") else "../" * len(parts)
        self.workdir = workdir
        self.marker = f"{up}.battery-prepared"
        #: seen from the builder's folder
        self.archive = f"../../slot-battery/{builddir}/{key}.tar.gz"
        self._archive_from_workdir = up + self.archive
        self.key = key

    def run(self, command: Sequence[Any], *, prepared: bool, archived: bool, report: str) -> list[Any]:
        """`prepared`: it was just now, and is marked so."""
        mode = "mark" if prepared else "check"
        archive = self._archive_from_workdir if archived else ""
        return ["sh", "-c", _RUN, "battery", self.key, mode, self.marker, archive, report, *command]

    def unpack(self) -> list[str]:
        """In the builder's folder."""
        return ["sh", "-c", _UNPACK, "battery", self.workdir, self.archive]


def pack(archive: str) -> list[str]:
    return ["sh", "-c", _PACK, "battery", archive]


def asks_for(rc: Any, printed: str) -> str | None:
    """ "fetch" or "unpack", when the first command says that the machine is not prepared."""
    last = printed.rstrip("\n").rpartition("\n")[2]
    if rc != UNPREPARED_RC or not last.startswith(UNPREPARED):
        return None
    word = last.removeprefix(UNPREPARED).strip()
    return word if word in ("fetch", "unpack") else None
