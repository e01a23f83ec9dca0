"""The remedy for REST answers that Buildbot 4.2.0 to 4.3.0 write from a thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from buildbot.www.rest import V2RootResource

from master_bridge.buildbot.internals import rest_answers

ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
DATA = {"builders": [{"name": "größe", "builderid": 1}], "meta": {"total": 1}}
BODY = b'{"builders":[{"builderid":1,"name":"gr\\u00f6\\u00dfe"}],"meta":{"total":1}}'


class Reactor:
    """What was handed over from the thread, not yet done."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, function: Callable[..., None], *args: Any) -> None:
        self.calls.append(lambda: function(*args))

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Request:
    """As much of twisted.web's request as an answer needs."""

    def __init__(self, method: bytes = b"GET") -> None:
        self.method = method
        self.finished = 0
        self.channel: object | None = object()
        self.headers: dict[bytes, bytes] = {}
        self.written = b""

    def setHeader(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def write(self, data: bytes) -> None:
        self.written += data


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reactor]:
    """A stand-in for the reactor; Buildbot's class is as it was afterwards."""
    original = V2RootResource.__dict__["_write_json_data"]
    stand_in = Reactor()
    monkeypatch.setattr(rest_answers, "reactor", stand_in)
    yield stand_in
    V2RootResource._write_json_data = original


def test_this_buildbot_writes_from_the_thread(reactor: Reactor) -> None:
    """Why the remedy is there. When this fails with a newer Buildbot, the remedy can go."""
    request = Request()
    V2RootResource._write_json_data(request, ENCODER, DATA)
    assert request.written == BODY  # and no reactor was asked
    assert rest_answers.answer_in_the_reactor() is True


def test_with_the_remedy_only_the_reactor_writes(reactor: Reactor) -> None:
    """The thread encodes; header and body wait for the reactor. Asking twice is as good as once."""
    rest_answers.answer_in_the_reactor()
    rest_answers.answer_in_the_reactor()
    request = Request()
    V2RootResource._write_json_data(request, ENCODER, DATA)
    assert (request.written, request.headers) == (b"", {})
    reactor.turn()
    assert request.written == BODY
    assert request.headers == {b"content-length": str(len(BODY)).encode()}


def test_a_head_request_gets_the_length_alone(reactor: Reactor) -> None:
    rest_answers.answer_in_the_reactor()
    request = Request(b"HEAD")
    V2RootResource._write_json_data(request, ENCODER, DATA)
    reactor.turn()
    assert request.written == b""
    assert request.headers == {b"content-length": str(len(BODY)).encode()}


def test_a_client_that_left_meanwhile_is_not_written_to(reactor: Reactor) -> None:
    """Writing to a closed transport is what left dead file descriptors in the reactor."""
    rest_answers.answer_in_the_reactor()
    request = Request()
    V2RootResource._write_json_data(request, ENCODER, DATA)
    request.channel = None
    reactor.turn()
    assert (request.written, request.headers) == (b"", {})


def test_a_buildbot_that_is_mended_is_left_alone(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the repair it is a method of the resource, and writes through the reactor itself."""

    def mended(self: V2RootResource, request: Any, encoder: Any, data: Any) -> None:
        raise AssertionError("not called here")

    monkeypatch.setattr(V2RootResource, "_write_json_data", mended)
    assert rest_answers.answer_in_the_reactor() is False
    assert V2RootResource.__dict__["_write_json_data"] is mended
