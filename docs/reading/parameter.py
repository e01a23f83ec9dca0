"""One row of a page: a setting, an argument or an option, and what a reader must be told of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: metavar of a number -> its unit
UNITS = {"SECONDS": "seconds", "SIZE": "bytes, or as `1GiB`", "BYTES": "bytes", "PORT": "port", "N": "sessions"}
#: Types that are numbers and need a unit.
NUMBERS = ("number", "whole number", "size")
#: What counts where the signature has None.
DEFAULT = re.compile(r"\s*Default: (.+?)\.(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One row. `names`: all ways to give it, the first one is what people call it."""

    names: tuple[str, ...]
    type: str
    unit: str = ""
    default: str
    text: str

    def lacks(self) -> list[str]:
        """What a reader would miss."""
        needs_unit = self.type.split(",")[0] in NUMBERS and not self.unit
        found = {"type": not self.type, "unit": needs_unit, "default": not self.default}
        found["sentence"] = len(self.text) < 10 or not self.text.endswith((".", "`"))
        return [name for name, missing in found.items() if missing]

    def row(self) -> str:
        names = "<br>".join(f"`{name}`" for name in self.names)
        kind = f"{self.type}; {self.unit}" if self.unit else self.type
        return "| " + " | ".join(cell(text) for text in (names, kind, self.default, self.text)) + " |"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def table(parameters: Iterable[Parameter]) -> str:
    rows = [parameter.row() for parameter in parameters]
    return "\n".join(["| name | type; unit | default | what it does |", "|---|---|---|---|", *rows]) if rows else ""
