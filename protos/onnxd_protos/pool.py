"""The private descriptor pool, and the message classes made from it.

protobuf's default pool holds one definition of a name for the whole process. tritonclient and KServe's
client register `inference.*` there, so ours live in a pool of their own and all can be imported together.
"""

from importlib.resources import files
from typing import Final

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


def _load() -> DescriptorPool:
    pool = DescriptorPool()
    data = files("onnxd_protos").joinpath("descriptors.binpb").read_bytes()
    # The set lists a file after those that it imports, as the pool wants them.
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


POOL: Final = _load()
"""Every file that the server serves a service of: ours, grpc.health.v1, grpc.reflection.v1alpha and .v1.

Give it to the reflection service; do not add to it.
"""


def message_class(descriptor: Descriptor) -> type[Message]:
    """The one class of a message type of POOL.

    Its messages cannot be pickled, for pickle looks in the default pool: send their bytes.
    """
    return GetMessageClass(descriptor)


def module_contents(file_name: str, module: str) -> dict[str, object]:
    """What protoc's own module for a file of POOL would define: DESCRIPTOR, messages, enums and their values.

    The classes are told that `module` is where they live, which tracebacks and help() show.
    """
    file: FileDescriptor = POOL.FindFileByName(file_name)
    contents: dict[str, object] = {"DESCRIPTOR": file}
    for name, message in file.message_types_by_name.items():
        contents[name] = _settle(message, module, name)
    for name, enum in file.enum_types_by_name.items():
        contents[name] = EnumTypeWrapper(enum)
        contents.update((value.name, value.number) for value in enum.values)
    return contents


def _settle(descriptor: Descriptor, module: str, qualified_name: str) -> type[Message]:
    cls = message_class(descriptor)
    cls.__module__ = module
    cls.__qualname__ = qualified_name
    for nested in descriptor.nested_types:
        # upb finds nested classes by itself; the pure Python protobuf (musl has no other wheel) does not.
        setattr(cls, nested.name, _settle(nested, module, f"{qualified_name}.{nested.name}"))
    return cls
