"""What a broker has, and what its administrator does to it: asked of the node itself, not by `rabbitmqctl`.

A call of that takes half a second of processor time, and one of these some milliseconds.
"""

from __future__ import annotations

import re

from contracts.testing.rabbitmq.node import USER, RabbitMQNode


def queues(node: RabbitMQNode, vhost: str, count: str = "messages") -> dict[str, int]:
    """`count` by queue: "messages", "messages_ready", "messages_unacknowledged"."""
    told = node.evaluate(
        f"[{{N, M}} || [{{name, {{resource, _, queue, N}}}}, {{{count}, M}}]"
        f" <- rabbit_amqqueue:info_all({_binary(vhost)}, [name, {count}])]"
    )
    return {name: int(number) for name, number in re.findall(r'\{<<"([^"]*)">>,\s*(\d+)\}', told)}


def consumers(node: RabbitMQNode, vhost: str) -> list[tuple[str, str]]:
    """The queue of each, and its tag."""
    told = node.evaluate(
        "[{N, proplists:get_value(consumer_tag, C)}"
        f" || C <- rabbit_amqqueue:consumers_all({_binary(vhost)}),"
        " {resource, _, queue, N} <- [proplists:get_value(queue_name, C)]]"
    )
    return sorted(re.findall(r'\{<<"([^"]*)">>,\s*<<"([^"]*)">>\}', told))


def connections(node: RabbitMQNode, vhost: str) -> list[str]:
    """The name that each client gave its connection; "" for none."""
    told = node.evaluate(
        'Names = fun(Properties) -> case lists:keyfind(<<"connection_name">>, 1, Properties)'
        " of {_, _, Name} -> Name; false -> <<>> end end,"
        " [{named, Names(Properties)} || P <- rabbit_networking:connections(),"
        f" [{{vhost, {_binary(vhost)}}}, {{client_properties, Properties}}]"
        " <- [rabbit_networking:connection_info(P, [vhost, client_properties])]]"
    )
    return re.findall(r'\{named,\s*<<"?([^">]*)"?>>\}', told)


def close_connections(node: RabbitMQNode, vhost: str) -> None:
    """All of a vhost, by the broker."""
    node.evaluate(
        '[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections(),'
        f" [{{vhost, {_binary(vhost)}}}] =:= rabbit_networking:connection_info(P, [vhost])]"
    )


def make_vhost(node: RabbitMQNode, vhost: str) -> None:
    """One on which the node's own user may do all."""
    node.evaluate(f'ok = rabbit_vhost:add({_binary(vhost)}, <<"tests">>)')
    permit(node, vhost, USER)


def delete_vhost(node: RabbitMQNode, vhost: str) -> None:
    node.evaluate(f'ok = rabbit_vhost:delete({_binary(vhost)}, <<"tests">>)')


def permit(node: RabbitMQNode, vhost: str, user: str, names: str = ".*") -> None:
    """To configure, write and read what matches the expression `names`."""
    allowed = ", ".join([_binary(names)] * 3)
    node.evaluate(
        f'ok = rabbit_auth_backend_internal:set_permissions({_binary(user)}, {_binary(vhost)}, {allowed}, <<"tests">>)'
    )


def make_user(node: RabbitMQNode, user: str, password: str) -> None:
    """Without permissions."""
    node.evaluate(f'ok = rabbit_auth_backend_internal:add_user({_binary(user)}, {_binary(password)}, <<"tests">>)')


def delete_user(node: RabbitMQNode, user: str) -> None:
    node.evaluate(f'ok = rabbit_auth_backend_internal:delete_user({_binary(user)}, <<"tests">>)')


def change_password(node: RabbitMQNode, user: str, password: str) -> None:
    node.evaluate(
        f'ok = rabbit_auth_backend_internal:change_password({_binary(user)}, {_binary(password)}, <<"tests">>)'
    )


def _binary(text: str) -> str:
    return f'<<"{text}">>'
