"""The master.cfg that all peers share, but for their workers. It notes when steps begin and end, on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: Blocks of a transfer, bytes. Buildbot's default is 16 KiB.
BLOCKS = (16 * 1024, 256 * 1024, 1024 * 1024)

_HEAD = """
import json, os, time
from buildbot.process import buildstep, results
from twisted.internet import defer
_stamps = open('stamps', 'a', buffering=1)
_counts = open('counts', 'a', buffering=1)

from buildbot.db.pool import DBThreadPool
from sqlalchemy import event
from sqlalchemy.engine import Engine
_asked = [0, 0]
_do = DBThreadPool.do
def _counted(self, *args, **kwargs):
    _asked[0] += 1
    return _do(self, *args, **kwargs)
DBThreadPool.do = _counted
@event.listens_for(Engine, 'commit')
def _committed(connection):
    _asked[1] += 1

class Noted:
    "Writes down when a step begins, sends its command, has it back, and ends."
    def note(self, what):
        row = [self.build.requests[0].id, self.name, what, time.monotonic()]
        _stamps.write(json.dumps(row) + '\\n')
    def startStep(self, remote):
        self.note('begin')
        _counts.write(json.dumps([self.build.requests[0].id, *_asked]) + '\\n')
        return super().startStep(remote)
    @defer.inlineCallbacks
    def run(self):
        result = yield defer.maybeDeferred(super().run)
        self.note('end')
        return result
    @defer.inlineCallbacks
    def runCommand(self, command):
        transfer = command.remote_command in ('uploadFile', 'downloadFile')
        if transfer:
            self.note('sent')
        result = yield super().runCommand(command)
        if transfer:
            self.note('done')
        return result

class Shell(Noted, steps.ShellCommand):
    pass
class Alone(Noted, buildstep.BuildStep):
    "What Buildbot itself does for a `true`: no worker is asked, its log is stored in one piece."
    @defer.inlineCallbacks
    def run(self):
        log = yield self.addLog('stdio')
        yield log.addHeader(_WHAT_TRUE_TELLS)
        return results.SUCCESS
class Upload(Noted, steps.FileUpload):
    pass
class Download(Noted, steps.FileDownload):
    pass
_WHAT_TRUE_TELLS = ''.join([
    "true\\n in dir /somewhere/build (timeout 1200 secs)\\n watching logfiles {}\\n argv: ['true']\\n environment:\\n",
    *(f"  {name}={value}\\n" for name, value in sorted(os.environ.items())),
    " using PTY: False\\nprogram finished with exit code 0\\nelapsedTime=0.002000\\n",
])
c['collapseRequests'] = False  # every request is a build of its own

import contextlib, ctypes, pathlib
from twisted.internet import reactor, task
from benchmarks.stand import held
_sqlite = None
with contextlib.suppress(OSError, AttributeError):  # a Python that has SQLite within itself
    _sqlite = ctypes.CDLL('libsqlite3.so.0').sqlite3_memory_used
    _sqlite.restype = ctypes.c_longlong
_filled = []
def _fill():
    "What the bridge remembers of builds, full, as after hours: of builds that never were, in the form of real ones."
    from master_bridge.core.memory import REMEMBERED
    bridge = next((each.bridge for each in c['services'] if isinstance(each, util.AMQPBroker)), None)
    if bridge is None or _filled:
        return
    _filled.append(True)
    context = bridge.machine._context
    for number in range(2 * REMEMBERED):  # once more: what has room for them is made anew, larger, while they go
        context.verdicts.put(context.new_id(), 'released')
        context.note_life(f'br-{10 ** 6 + number}')
def _more():
    found = {'timers of Twisted': len(reactor.getDelayedCalls())}
    if _sqlite is not None:
        found['memory of SQLite'] = _sqlite() / 1e6
    return found
task.LoopingCall(held.Holder(pathlib.Path.cwd(), _more, _fill).look).start(held.LOOK, now=False)
"""

PB_WORKERS = """
c['protocols'] = {{'pb': {{'port': 'tcp:%d:interface=127.0.0.1' % PB_PORT}}}}
crowd = ['w%d' % i for i in range({crowd})]
names = crowd[:{workers}]
c['workers'] = [worker.Worker(name, 'pw') for name in crowd]
"""

MSGPACK_WORKERS = """
c['protocols'] = {{'msgpack_experimental_v7': {{'port': PB_PORT}}}}
crowd = ['w%d' % i for i in range({crowd})]
names = crowd[:{workers}]
c['workers'] = [worker.Worker(name, 'pw') for name in crowd]
"""

OUR_WORKERS = """
c['workers'] = worker.amqp_column('bench', workers={crowd}, requires=['bench'])
crowd = [each.name for each in c['workers']]
names = crowd[:{workers}]
"""

#: Perspective Broker over sockets without Nagle's algorithm; the worker does the same.
NODELAY = """
from twisted.spread import banana
_made = banana.Banana.connectionMade
def _without_nagle(self):
    self.transport.setTcpNoDelay(True)
    _made(self)
banana.Banana.connectionMade = _without_nagle
"""


def configuration(
    workers: str, folder: Path, *, count: int, crowd: int, steps: int, transfer: str, log: str, log8: str
) -> str:
    """All builders of all cases. `count` workers for each, `crowd` for `fanout`. `transfer`, `log`, `log8`: files that
    are sent and printed."""
    text = [workers.format(workers=count, crowd=crowd), _HEAD]
    text.append(f"builder('steps', names, *[Shell(name='s%d' % i, command=['true']) for i in range({steps})])")
    text.append(f"builder('alone', names, *[Alone(name='s%d' % i) for i in range({steps})])")
    text.append(f"builder('log', names, Shell(name='print', command=['cat', {log!r}], logEnviron=False))")
    text.append(f"builder('log8', names, Shell(name='print', command=['cat', {log8!r}], logEnviron=False))")
    text.append("builder('first', names, Shell(name='first', command=['sh', '-c', 'echo one; sleep 3; echo two']))")
    text.append("builder('dispatch', names, Shell(name='now', command=['date', '+%s.%N'], logEnviron=False))")
    text.append("builder('many', names, *[Shell(name='s%d' % i, command=['true']) for i in range(10)])")
    text.append("builder('fanout', crowd, Shell(name='true', command=['true']))")
    text.append("builder('fail', names, Shell(name='where', command=['sh', '-c', 'echo $$; exec sleep 600']))")
    for block in BLOCKS:
        for name, step in (("upload", "Upload"), ("download", "Download")):
            ends = (
                f"workersrc={transfer!r}, masterdest={str(folder / 'uploaded')!r}"
                if name == "upload"
                else f"mastersrc={transfer!r}, workerdest={str(folder / 'downloaded')!r}"
            )
            text.append(f"builder('{name}-{block}', names, {step}(name='{name}', {ends}, blocksize={block}))")
    return "\n".join(text) + "\n"


def worker_tac(folder: Path, name: str, port: int, protocol: str, extra: Sequence[str] = ()) -> str:
    """A buildbot.tac of Buildbot's own worker."""
    host = "127.0.0.1"
    ends = (
        f"None, None, {name!r}, 'pw', {str(folder)!r}, 60, connection_string='tcp:host={host}:port={port}'"
        if protocol == "pb"
        else f"{host!r}, {port}, {name!r}, 'pw', {str(folder)!r}, 60"
    )
    return "\n".join(
        [
            *extra,
            "from twisted.application import service",
            "from buildbot_worker.bot import Worker",
            "application = service.Application('worker')",
            f"Worker({ends}, protocol={protocol!r}).setServiceParent(application)",
            "",
        ]
    )
