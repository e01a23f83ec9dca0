"""What commands print, through the whole chain into Buildbot's log storage: any bytes, any length, in order."""
# ruff: noqa: E501  # the pieces of master.cfg have lines of their own

from __future__ import annotations

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide

CONFIG = r"""
import sys
def prints(name, code, **kwargs):
    return steps.ShellCommand(name=name, command=[sys.executable, '-c',
        'import os, time\ndef w(d, fd=1):\n'
        '    while d:\n        d = d[os.write(fd, d):]\n' + code], logEnviron=False, **kwargs)
each('bytes',
    prints('invalid', 'w(b"a\\xff\\xfe\\xe2\\x82\\xac\\xe2\\x82b\\xc3\\n\\xf0\\x9f\\x98\\x80 \\xed\\xa0\\x80\\n")'),
    prints('cut in a character', 'w(b"\\xe2"); time.sleep(.3); w(b"\\x82"); time.sleep(.3); w(b"\\xac\\n\\xf0\\x9f"); '
        'time.sleep(.3); w(b"\\x98\\x80\\n")'),
    prints('ends in a character', 'w(b"end \\xe2\\x82")'),
    prints('no line end', 'w(b"first\\nlast")'),
    prints('no line end anywhere', 'w(b"out"); time.sleep(.3); w(b"err", 2)'),
    prints('nothing', 'pass'),
    prints('only line ends', 'w(b"\\n\\n\\n")'),
    prints('progress', 'w(b"".join(b"%d%%\\r" % n for n in range(100)) + b"done\\n")'),
    prints('slow progress', 'for n in range(5):\n    w(b"%d%%\\r" % n)\n    time.sleep(.1)\nw(b"\\ndone\\r\\nend\\r\\n")'),
    prints('nul', 'w(b"a\\0b\\0\\n\\0\\0\\n")'),
    prints('cursor', 'w(b"a\\x1b[ub\\x1b[12;5Hc\\x1b[3;4fd\\x1b[2Je\\x1b[31mred\\x1b[0m\\nx\\x08\\x08\\x08y\\n")'),
    prints('controls', 'w(bytes(range(1, 9)) + bytes(range(11, 13)) + bytes(range(14, 32)) + b"\\x7f\\x80\\x85\\xa0\\n")'),
    prints('separators', 'w("a\\u2028b\\u2029c\\x0bd\\x0ce\\x1cf\\x85g\\n".encode())'),
    prints('streams', 'for n in range(20):\n    w(b"o%d\\n" % n)\n    time.sleep(.03)\n    w(b"e%d\\n" % n, 2)\n    '
        'time.sleep(.03)'),
    prints('halves', 'w(b"out "); time.sleep(.2); w(b"err ", 2); time.sleep(.2); w(b"put\\n"); time.sleep(.2); '
        'w(b"or\\n", 2)'),
    prints('many lines', 'w(b"".join(b"line %d\\n" % n for n in range(60000)))'),
    prints('4000 a line', 'w((b"x" * 4000 + b"\\n") * 100)'),
    prints('log files', 'open("a.log", "wb").write(b"a\\xff\\nb\\rc\\nlast"); open("b.log", "w").write("b\\n" * 5000)',
        logfiles={'a': 'a.log', 'b': 'b.log'}),
)
each('long', prints('one line', 'w(b"0123456789" * 100000 + b"\\nshort\\n")'))
each('huge', prints('huge', 'for n in range(20):\n    w(b"".join(b"%08d %s\\n" % (n * 10000 + k, b"y" * 95) '
    'for k in range(10000)))'))
"""
NAMES = ("bytes",)
RUNS = ("pb", "amqp")
LISTED = {
    "bytes": {
        "ends in a character": ["last-line", "cut-character"],
        "no line end": ["last-line"],
        "no line end anywhere": ["last-line"],
    }
}


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


def test_any_bytes_are_stored_as_with_buildbots_own_worker(side: Builders) -> None:
    """The same lines with the same letters in the same order."""
    pictures = side.run(NAMES)["bytes"]
    found = differences(pictures["pb"], pictures["amqp"], LISTED["bytes"])
    assert not found, "\n".join(found)
    assert output(pictures["amqp"], "many lines") == [f"oline {n}" for n in range(60000)]


def test_a_line_of_a_megabyte_is_stored_whole(side: Builders) -> None:
    """Buildbot's database holds 64 KiB a line, so it comes in such pieces; Buildbot's own worker loses most of it."""
    pictures = side.run(["long"])["long"]
    lines = output(pictures["amqp"], "one line")
    assert lines[-1] == "oshort"
    assert "".join(line[1:] for line in lines[:-1]) == "0123456789" * 100_000
    assert min(len(line) for line in lines[:-2]) > 60_000
    theirs = output(pictures["pb"], "one line")
    assert "".join(line[1:] for line in theirs[:-1]) != "0123456789" * 100_000, "PB keeps long lines: unlist it"


@pytest.mark.long
def test_twenty_megabytes_are_stored_as_with_buildbots_own_worker(side: Builders) -> None:
    """Each line once and in order. (Buildbot's own worker was seen to store some twice on a busy machine.)"""
    pictures = side.run(["huge"], 300)["huge"]
    wanted = [f"o{number:08d} {'y' * 95}" for number in range(200_000)]
    assert output(pictures["amqp"], "huge") == wanted
    assert set(output(pictures["pb"], "huge")) == set(wanted)


def output(picture: BuildPicture, step: str) -> list[str]:
    _type, lines = next(each for each in picture.steps if each.name == step).logs["stdio"]
    return [line for line in lines if line[:1] in "oe"]
