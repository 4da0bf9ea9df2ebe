"""Messages of the wire as JSON: what is not there is left out, what is zero is zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message


def as_json(message: Message) -> dict[str, Any]:
    """An object with camelCase keys, in the order of the fields."""
    return {
        field.json_name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if _is_there(field, message)
    }


def _is_there(field: FieldDescriptor, message: Message) -> bool:
    if _is_repeated(field):
        # An empty list of messages is a part that was not asked for.
        return field.message_type is None or bool(getattr(message, field.name))
    # An optional field of proto3 is in a oneof of its own.
    return message.HasField(field.name) if field.message_type or field.containing_oneof else True


def _is_repeated(field: FieldDescriptor) -> bool:
    return field.label == field.LABEL_REPEATED


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return list(value) if _is_repeated(field) else value
    if field.message_type.GetOptions().map_entry:
        return dict(value)
    return [as_json(item) for item in value] if _is_repeated(field) else as_json(value)
