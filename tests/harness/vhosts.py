"""Fresh vhosts on a node, made and deleted in batches."""

from __future__ import annotations

from itertools import count

from contracts.testing.rabbitmq.node import USER, RabbitMQNode

#: How many at a time.
AT_ONCE = 20


class Vhosts:
    """`take` a vhost, `give_back` it."""

    def __init__(self, node: RabbitMQNode) -> None:
        self._node = node
        self._numbers = count(1)
        self._fresh: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """The name of a vhost on which the node's own user may do all."""
        if not self._fresh:
            self._refill()
        return self._fresh.pop(0)

    def give_back(self, vhost: str) -> None:
        """To be deleted, with all that is in it; its connections are closed then."""
        self._used.append(vhost)

    def _refill(self) -> None:
        fresh = [f"test-{next(self._numbers)}" for _ in range(AT_ONCE)]
        self._node.evaluate(
            f'lists:foreach(fun(V) -> catch rabbit_vhost:delete(V, <<"tests">>) end, [{_binaries(self._used)}]),'
            f'lists:foreach(fun(V) -> ok = rabbit_vhost:add(V, <<"tests">>), ok = rabbit_auth_backend_internal:'
            f'set_permissions(<<"{USER}">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>) end,'
            f" [{_binaries(fresh)}])",
        )
        self._fresh, self._used = fresh, []


def _binaries(names: list[str]) -> str:
    """Names as elements of an Erlang list of binaries."""
    return ",".join(f'<<"{name}">>' for name in names)
