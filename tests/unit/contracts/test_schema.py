"""The generated schemas are current, and say what the models say."""

import json

from contracts import schema
from contracts.codec import encode
from contracts.messages import Event, Ping


def test_the_files_in_the_repository_are_those_that_the_models_give() -> None:
    """A change of a message without `python -m contracts.schema` is caught here."""
    written = {path.name: path.read_text(encoding="utf-8") for path in schema.FOLDER.glob("*.json")}
    assert written == schema.documents()


def test_every_message_travels_on_a_channel() -> None:
    """No message type is without a place in the AsyncAPI document."""
    carried = {name for _, _, names in schema.CHANNELS.values() for name in names}
    assert carried == {name for name, _ in schema.message_types()}


def test_bulk_data_is_not_part_of_the_json() -> None:
    """`data` is the AMQP body: neither the schema nor the JSON of an event knows it."""
    event = Event(session="s", seq=1, n=1, kind="stdout", data=b"\xff")
    assert "data" not in schema.schema("event", Event)["properties"]
    assert "data" not in json.loads(encode(event).headers["bb"])


def test_a_peer_must_say_type_and_version() -> None:
    """`t` and `v` are required of a peer though our models have defaults for them."""
    assert {"t", "v"} <= set(schema.schema("ping", Ping)["required"])
