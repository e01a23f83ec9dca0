"""Keeps connections to a master's database open between Buildbot's calls.

Buildbot opens a SQLite database for each call, reads its schema, and closes it after (db/enginestrategy.py:
`NullPool`), some thirty times for a step; and whenever the last connection closes, SQLite writes its write-ahead log
back and deletes it (https://sqlite.org/wal.html). Over a connection that is there already a call takes 0.08 ms of
processor time, not 0.54. The checkpoints that SQLite makes by itself, each thousand pages, go on. Each connection has a
page cache that fills to 2 MB as the database grows (https://sqlite.org/pragma.html#pragma_cache_size).

Other databases have a pool of five connections, and Buildbot asks in up to 15 threads: with eight builds at once it
opens two or three connections a step, and closes them. For each of them PostgreSQL starts a process, which reads its
catalogue anew: half of its processor time. Here the pool keeps as many as there are threads. Most of these are used
when much is built at once, and not for hours in between, after which a server or a firewall may have ended them: so one
that was idle for a while is asked first whether it is still there, and is opened anew where it is not.

`do_connect`, `checkin` and `checkout` are SQLAlchemy's documented events for what gives connections and takes them
back; closing them, which no event can prevent, is a method of Python's `sqlite3.Connection`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

import sqlalchemy.event
import structlog
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import QueuePool
from twisted.internet import defer

log = structlog.get_logger(__name__)

#: As many connections are kept: Buildbot asks the database in as many threads.
MOST = 5
#: Seconds after which an idle connection to another database is asked whether it is still there. Firewalls forget a
#: connection after some minutes.
IDLE = 30.0
#: Since when a connection is idle, where SQLAlchemy lets others keep what they know of it.
_IDLE_SINCE = "bridge_idle_since"
#: A function that nobody calls.
_AT_REST = "bridge_at_rest"


class OpenDatabase:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._idle = _Idle()
        #: of another database
        self._pooled: Any = None

    @defer.inlineCallbacks
    def keep(self, master: Any) -> Any:
        """Until `release`. A database that cannot be opened is left as it is: Buildbot says why."""
        engine = master.db.pool.engine
        if isinstance(engine.pool, QueuePool) and self._pooled is None:
            self._pooled = engine
            engine.pool._pool.maxsize = engine.optimal_thread_pool_size
            engine.pool._pool.use_lifo = True  # those used last have most of what they need in memory
            sqlalchemy.event.listen(engine, "checkin", self._given_back)
            sqlalchemy.event.listen(engine, "checkout", self._taken)
        if self._engine is not None or engine.driver != "pysqlite" or not engine.url.database:
            return
        self._engine = engine
        sqlalchemy.event.listen(engine, "do_connect", self._connect)
        sqlalchemy.event.listen(engine, "handle_error", self._failed)
        try:
            yield master.db.pool.do_with_engine(_read)
        except DBAPIError as error:
            self.release()
            log.warning("amqp.database_not_kept_open", reason=str(error))

    def release(self) -> None:
        """What is in SQLite's log goes into the database, if nobody else has it open."""
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            sqlalchemy.event.remove(pooled, "checkin", self._given_back)
            sqlalchemy.event.remove(pooled, "checkout", self._taken)
        engine, self._engine = self._engine, None
        if engine is not None:
            sqlalchemy.event.remove(engine, "do_connect", self._connect)
            sqlalchemy.event.remove(engine, "handle_error", self._failed)
            self._idle.end()

    def _connect(self, dialect: Any, _record: Any, arguments: Any, options: Any) -> sqlite3.Connection:
        """In a thread of Buildbot's database, as all below."""
        connection = self._idle.take()
        if connection is None:
            connection = dialect.connect(*arguments, factory=_Kept, **options)
            connection.kept_in(self._idle)
        return connection

    def _given_back(self, _connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def _taken(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Raises what makes SQLAlchemy open another one in its place."""
        since = record.info.get(_IDLE_SINCE)
        engine = self._pooled
        if since is None or engine is None or time.monotonic() - since <= IDLE:
            return
        try:
            lives = engine.dialect.do_ping(connection)
        except engine.dialect.dbapi.Error:
            lives = False
        if not lives:
            raise DisconnectionError("the connection was ended while it was idle")

    def _failed(self, _context: Any) -> None:
        """Nobody knows what state an error leaves a connection in, or whether the file is still the same."""
        idle, self._idle = self._idle, _Idle()
        idle.end()


class _Idle:
    """Connections that wait for the next call. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[_Kept] = []
        self._ended = False

    def take(self) -> _Kept | None:
        with self._lock:
            return self._connections.pop() if self._connections else None

    def give(self, connection: _Kept) -> bool:
        """False: it is not kept."""
        with self._lock:
            keeps = not self._ended and len(self._connections) < MOST
            if keeps:
                self._connections.append(connection)
            return keeps

    def end(self) -> None:
        """Nothing is kept any more; those in use are closed by who has them."""
        with self._lock:
            self._ended = True
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.end()


class _Kept(sqlite3.Connection):
    """Is idle when it is closed, for the next one who connects."""

    _idle: _Idle | None = None

    def kept_in(self, idle: _Idle) -> None:
        self._idle = idle
        self.create_function(_AT_REST, 0, int)

    def close(self) -> None:
        if self._idle is None or not self._at_rest() or not self._idle.give(self):
            self.end()

    def end(self) -> None:
        super().close()

    def _at_rest(self) -> bool:
        """No transaction, and no statement that somebody has not read to its end: it would go on to see the database as
        it was, and checkpoints would wait. While there is one, SQLite lets nobody define a function anew."""
        if self.in_transaction:
            return False
        try:
            self.create_function(_AT_REST, 0, int)
        except sqlite3.Error:
            return False
        return True


def _read(engine: Any) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("select count(*) from sqlite_master").all()  # fails if it is no database
