"""Messages of the wire as JSON: what is not there is left out, what is zero is zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

Scalar = str | int | float | bool


def as_json(message: Message) -> dict[str, Any]:
    """An object with camelCase keys, in the order of the fields."""
    return {
        field.json_name: _value(value)
        for field in message.DESCRIPTOR.fields
        if _is_there(message, field, value := getattr(message, field.name))
    }


def _is_there(message: Message, field: Any, value: Any) -> bool:
    if isinstance(value, Scalar):
        # An optional field of proto3 is in a oneof of its own.
        return field.containing_oneof is None or message.HasField(field.name)
    if hasattr(value, "DESCRIPTOR"):
        return message.HasField(field.name)
    # A list of messages that is empty is a part that was not asked for.
    return field.message_type is None or len(value) > 0


def _value(value: Any) -> Any:
    if isinstance(value, Scalar):
        return value
    if hasattr(value, "DESCRIPTOR"):
        return as_json(value)
    return dict(value) if hasattr(value, "items") else [_value(item) for item in value]
