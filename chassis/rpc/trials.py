"""Commands that are judged without being done: the same handler, the same transaction, and all of it taken back (`Changes.trial`)."""

from __future__ import annotations

from functools import cache

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from chassis.kernel.errors import Invalid
from chassis.rpc.documents import traits

VALIDATE_ONLY = "x-validate-only"  # metadata of a call: judge this command, and do nothing of it


@cache
def untried(method: MethodDescriptor) -> str:
    """Why a command cannot be judged without being done; "" where it can."""
    options = method.GetOptions().Extensions
    if options[annotations_pb2.untried]:
        return str(options[annotations_pb2.untried])
    if options[annotations_pb2.access] == "public":
        return "it is for those who are not signed in yet"
    if _secret(method.input_type) or _secret(method.output_type):
        return "it takes or gives a secret"
    return ""


def not_triable(method: MethodDescriptor, why: str) -> Invalid:
    """The refusal of a trial that there cannot be."""
    words = f"{method.name} cannot be validated only: {why}; send it without validateOnly"
    return Invalid(words, params={"rule": "validate_only", "method": method.name})


def _secret(message: Descriptor) -> bool:
    """Whether a message, or one directly in it, has a secret."""
    inner = (one for field in message.fields if field.message_type for one in field.message_type.fields)
    return any(traits(field).secret for field in (*message.fields, *inner))
