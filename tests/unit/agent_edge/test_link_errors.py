"""Errors of the AMQP library in words for people."""

from __future__ import annotations

from aiormq.exceptions import AMQPConnectionError

from worker_agent.link.errors import explain


def test_a_ring_of_causes_has_an_end() -> None:
    """Exceptions of a reset connection are each other's context; the agent followed them for ever, at full speed."""
    first, second = AMQPConnectionError("reset"), ConnectionResetError(104, "reset by peer")
    first.__context__, second.__context__ = second, first
    assert explain(first, user="u", where="amqp://host") == "amqp://host: reset"
