"""Messages whose properties pamqp cannot read: they are delivered without any, so that they do not cost the connection.

pamqp makes a `datetime` of a header's time and text of each name (`pamqp/decode.py`), so a time after the year 9999 or
a name that is no UTF-8 raises where frames are read, and the connection ends. Whoever may send such a header could keep
an agent off its broker. Tables in tables, which it reads until Python's stack is full, are not handed on either
(`contracts.plain_headers`). Without properties a message has no `user_id`, and so is not believed (rule 22).

And names that pamqp refuses, where a broker does not: version 3, which is all that Python 3.10 can have, knows no `+`.
"""

from __future__ import annotations

import re
import struct

from pamqp import constants
from pamqp.header import ContentHeader

from contracts.plain_headers import is_plain

_unmarshal = ContentHeader.unmarshal


def _tolerant(self: ContentHeader, data: bytes) -> None:
    try:
        _unmarshal(self, data)
        readable = is_plain(self.properties.headers)
    except Exception:
        readable = False
    if not readable:
        self.class_id, self.weight, self.body_size = struct.unpack(">HHQ", data[:12])
        self.properties = type(self.properties)()


def tolerate_unreadable() -> None:
    """pamqp's reader of frames (`pamqp/frame.py`) makes its headers itself, so the method is replaced."""
    ContentHeader.unmarshal = _tolerant  # type: ignore[method-assign]  # there is no other way to have one's own


def leave_names_to_the_broker() -> None:
    """Whatever is one text to us: a queue is called `cap.gtk+python2.3` (`topology.cap_queue`)."""
    for domain in constants.DOMAIN_REGEX:
        constants.DOMAIN_REGEX[domain] = re.compile(".*", re.DOTALL)
