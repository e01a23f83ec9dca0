"""A test runner that means harm: what a unit is called is what its report is.

Usage: hostile.py REPORT UNIT…   A unit that begins with "bad" ends with exit status 3.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

BOMB = "<!DOCTYPE lolz [<!ENTITY a0 'lol'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
BIG = 100 * 1024 * 1024


def xml_test(name: str, failure: str = "") -> str:
    inside = f"<failure>{escape(failure)}</failure>" if failure else ""
    return f"<testcase name={quoteattr(name)} time='0.01'>{inside}</testcase>"


def suite(*cases: str) -> str:
    return f"<testsuite>{''.join(cases)}</testsuite>"


def write(report: Path, unit: str) -> None:
    kind = unit.partition("-")[2].partition(" ")[0]
    match kind:
        case "bomb":
            report.write_text(f"{BOMB}]><testsuite>&a9;</testsuite>")
        case "file":
            report.write_text(f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>{suite(xml_test("&x;"))}')
        case "big":
            with report.open("w") as file:
                file.write("<testsuite>")
                for _ in range(BIG // (1024 * 1024)):
                    file.write("<x/>" * (1024 * 256))
        case "html":
            report.write_text(f"<html><body>{unit}</body></html>")
        case "control":  # a character that XML has no form for, in a name
            report.write_text(suite(xml_test(unit, "wrong")))
        case "markup":
            report.write_text(suite(xml_test(unit, "<b>wrong</b> \u202e")))
        case "twice":
            report.write_text(suite(xml_test(unit), xml_test(unit, "the second time"), xml_test(unit)))
        case "others":
            report.write_text(suite(xml_test(unit), *(xml_test(f"bad-{n}", "not asked for") for n in range(3000))))
        case "latin":
            report.write_bytes(suite(xml_test(unit, "K\xe4se")).encode("latin-1"))
        case "fifo":
            os.mkfifo(report)
            if os.fork() == 0:
                report.write_text(suite(xml_test(unit)) * 1000)
        case "zero":
            report.symlink_to("/dev/zero")
        case "folder":
            (report / "inside").mkdir(parents=True)
        case "none":
            pass
        case _:
            raise AssertionError(kind)


def main() -> int:
    report, units = Path(sys.argv[1]), sys.argv[2:]
    for unit in units:
        print(unit, flush=True)
        write(report, unit)
    time.sleep(0.2)
    return 3 if any(unit.startswith("bad") for unit in units) else 0


if __name__ == "__main__":
    sys.exit(main())
