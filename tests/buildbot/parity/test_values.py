"""What a step reads from a command (a value) is what the command printed: whole lines, however long, on every way."""

from __future__ import annotations

import json

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import SideBySide

CONFIG = r"""
import hashlib, sys
from twisted.internet import defer
from buildbot.plugins import steps
from buildbot.process import buildstep, logobserver
LONG = 300_000
def program(code):
    return [sys.executable, '-c', 'import os, time\ndef w(d, fd=1):\n'
        '    while d:\n        d = d[os.write(fd, d):]\n' + code]
def told(text):
    "Short enough for a property, and different for each text."
    return [len(text), text.count('\n'), text[-3:], hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()]
class Texts(logobserver.LogObserver):
    def __init__(self):
        self.texts = {'o': '', 'e': ''}
    def outReceived(self, data):
        self.texts['o'] += data
    errReceived = lambda self, data: self.texts.__setitem__('e', self.texts['e'] + data)
class Longest(logobserver.LogLineObserver):
    def __init__(self):
        super().__init__()
        self.setMaxLineLength(10**9)
        self.longest = self.number = 0
    def outLineReceived(self, line):
        self.longest, self.number = max(self.longest, len(line)), self.number + 1
class Reads(buildstep.ShellMixin, steps.BuildStep):
    "Reads a command in all ways in which a step can."
    def __init__(self, **kwargs):
        super().__init__(**self.setupShellMixin(kwargs))
        self.raw, self.by_line, self.of_file = Texts(), Longest(), Texts()
        self.addLogObserver('stdio', self.raw)
        self.addLogObserver('stdio', self.by_line)
        self.addLogObserver('extra', self.of_file)
    @defer.inlineCallbacks
    def run(self):
        command = yield self.makeRemoteShellCommand(collectStdout=True, collectStderr=True, decodeRC={0: 0, 3: 1})
        yield self.runCommand(command)
        for name, value in (('stdout', command.stdout), ('stderr', command.stderr), ('observed', self.raw.texts['o']),
                            ('observed errors', self.raw.texts['e']), ('file', self.of_file.texts['o'])):
            self.setProperty(f'{self.name}: {name}', told(value), 'test')
        self.setProperty(f'{self.name}: lines', [self.by_line.longest, self.by_line.number], 'test')
        return command.results()
CODES = {
    'short': 'w(b"one\\ntwo\\n"); w(b"bad\\n", 2); raise SystemExit(3)',
    'nothing': 'pass',
    'only line ends': 'w(b"\\n\\n")',
    'carriage returns': 'w(b"a\\r\\nb\\rc\\n"); time.sleep(.3); w(b"d\\r"); time.sleep(.3); w(b"\\ne\\n")',
    'characters': 'w("é€\\U0001f600\\n".encode() * 300)',
}
LONG_CODES = {
    'long': f'w(b"x" * {LONG} + b"\\n")',
    'long unfinished': f'w(b"x" * {LONG})',
    'long errors': f'w(b"first\\n"); w(b"y" * {LONG} + b"\\n", 2)',
    'long between': f'w(b"first\\n" + b"x" * {LONG} + b"\\nlast\\n")',
    'long and wide': f'd = "é€\\U0001f600".encode() * ({LONG} // 3) + b"\\n"\n'
        'for n in range(0, len(d), 100_001):\n    w(d[n:n + 100_001])\n    time.sleep(.1)',
    'unfinished': 'w(b"a\\nb"); w(b"c", 2)',
    'long file': f'f = open("v.log", "w"); f.write("z" * {LONG} + "\\nlast\\n"); f.close(); time.sleep(1.5)',
}
def read(codes):
    return [Reads(name=name, command=program(code), logEnviron=False, flunkOnFailure=False,
        logfiles={'extra': 'v.log'} if 'file' in name else {}) for name, code in codes.items()]
each('values', *read(CODES))
each('long-values', *read(LONG_CODES),
    Reads(name='lazy file', command=program(LONG_CODES['long file'].replace('v.log', 'l.log')),
          logfiles={'extra': 'l.log'}, lazylogfiles=True),
    steps.SetPropertyFromCommand(name='set', command=program(LONG_CODES['long']), property='set'),
    steps.SetPropertyFromCommand(name='raw', command=program(LONG_CODES['long']), property='raw', strip=False),
    steps.SetPropertyFromCommand(name='extracted', command=program(LONG_CODES['long errors']),
        extract_fn=lambda rc, out, err: {'extracted': told(err)}),
)
"""
LONG = 300_000
RUNS = ("pb", "amqp")


@pytest.fixture(scope="module")
def pictures(shared: SideBySide) -> dict[str, dict[str, BuildPicture]]:
    return shared.add(CONFIG, RUNS).run(["values", "long-values"])


def value(picture: BuildPicture, name: str) -> object:
    return json.loads(picture.properties[name][0])


def test_values_are_those_of_buildbots_own_worker(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """Collected, observed raw and by line, exit codes as steps read them."""
    found = differences(pictures["values"]["pb"], pictures["values"]["amqp"])
    assert not found, "\n".join(found)


def test_a_long_line_is_one_value(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """300,000 characters stay 300,000, with no line end that was not printed; observers get whole lines."""
    ours = pictures["long-values"]["amqp"]

    def told(name: str) -> list[object]:
        found = value(ours, name)
        assert isinstance(found, list)
        return found[:3]

    assert told("long: stdout") == told("long: observed") == [LONG + 1, 1, "xx\n"]
    assert told("long unfinished: stdout") == [LONG, 0, "xxx"]
    assert told("long unfinished: observed") == [LONG + 1, 1, "xx\n"]
    assert told("long errors: stderr") == told("long errors: observed errors") == [LONG + 1, 1, "yy\n"]
    assert told("long between: stdout") == [LONG + 12, 3, "st\n"]
    assert value(ours, "long between: lines") == [LONG, 3]
    assert told("long and wide: stdout") == [LONG + 1, 1, "€\U0001f600\n"]
    assert value(ours, "long and wide: lines") == [LONG, 1]
    assert told("long file: file") == told("lazy file: file") == [LONG + 6, 2, "st\n"]
    assert told("unfinished: stdout") == [3, 1, "a\nb"]
    assert told("unfinished: stderr") == [1, 0, "c"]
    assert value(ours, "set") == "x" * LONG
    assert value(ours, "raw") == "x" * LONG + "\n"
    assert told("extracted") == [LONG + 1, 1, "yy\n"]


def test_their_log_is_stored_whole_all_the_same(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """In lines that the database does not truncate."""
    for step, log, letter, text in (
        ("long", "stdio", "o", "x" * LONG),
        ("long unfinished", "stdio", "o", "x" * LONG),
        ("long errors", "stdio", "e", "y" * LONG),
        ("long file", "extra", "o", "z" * LONG + "last"),
        ("lazy file", "extra", "o", "z" * LONG + "last"),
        ("raw", "stdio", "o", "x" * LONG),
    ):
        _type, lines = next(each for each in pictures["long-values"]["amqp"].steps if each.name == step).logs[log]
        assert "".join(line[1:] for line in lines if line[:1] == letter) == text, step
