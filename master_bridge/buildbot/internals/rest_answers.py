"""REST answers of Buildbot 4.2.0 to 4.3.0, written by the reactor: `rest_answers` tells why, and asks for it.

Source: www/rest.py `V2RootResource._write_json_data`, `_is_request_finished`.
"""

from __future__ import annotations

import json
from inspect import getattr_static
from typing import Any

from buildbot.www import rest
from twisted.internet import reactor


def answer_in_the_reactor() -> bool:
    """Let REST answers be encoded in a thread, as before, but written by the reactor's. May be called again.

    Returns whether this Buildbot has the bug: older and newer releases are left alone.
    """
    if not isinstance(getattr_static(rest.V2RootResource, "_write_json_data", None), staticmethod):
        return False  # before 4.2 there was no thread; since the repair it is a method
    rest.V2RootResource._write_json_data = staticmethod(_encode_and_hand_over)
    return True


def _encode_and_hand_over(request: Any, encoder: json.JSONEncoder, data: Any) -> None:
    """In the thread. The reactor serves in order: the answer is written before it learns that this call returned."""
    body = encoder.encode(data).encode()
    reactor.callFromThread(_write, request, body)


def _write(request: Any, body: bytes) -> None:
    if rest._is_request_finished(request):  # the client is gone
        return
    request.setHeader(b"content-length", str(len(body)).encode())
    if request.method != b"HEAD":
        request.write(body)
