"""Keeps the write-ahead log of a master's SQLite database open between Buildbot's calls.

Buildbot opens the database for each call and closes it after (db/enginestrategy.py: `NullPool`). When the last of all
connections closes, SQLite writes its log back into the database and deletes it (https://sqlite.org/wal.html), some
twenty times for a step: a third of what a step costs Buildbot. One more connection, that does nothing, leaves that to
SQLite's own checkpoints, each thousand pages. Other databases need none.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from twisted.internet import defer

log = structlog.get_logger(__name__)


class HeldDatabase:
    """Of one master. The connection is made by Buildbot's own engine, so by the driver that all others use, too."""

    def __init__(self) -> None:
        self._connection: Any = None

    @defer.inlineCallbacks
    def hold(self, master: Any) -> Any:
        """Until `release`; a database that refuses one more connection is left as it is."""
        engine = master.db.pool.engine
        if self._connection is not None or engine.dialect.name != "sqlite" or not engine.url.database:
            return
        try:
            self._connection = yield master.db.pool.do_with_engine(_connect)
        except DBAPIError as error:
            log.warning("amqp.database_not_kept_open", reason=str(error))

    def release(self) -> None:
        """What is in the log goes into the database, if nobody else has it open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connect(engine: Any) -> Any:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")  # so it is in no transaction
    try:
        connection.exec_driver_sql("select count(*) from sqlite_master").all()  # it opens the log when it first reads
    except DBAPIError:
        connection.close()
        raise
    return connection
