"""Compile the .proto files of this folder into the package onnxd_protos.

Writes onnxd_protos/descriptors.binpb, one FileDescriptorSet with every service that the server serves,
and a stub for each module of messages. With --check it writes nothing and exits 1 where a committed file
differs from what it would write.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "onnxd_protos"
SOURCES = ("model_config.proto", "grpc_service.proto", "neural.proto")

HEADER = "# Written by protos/compile.py from {source}: change that file instead.\n\n"

# What protoc leaves untyped or unqualified in its stubs, and mypy --strict or a package does not accept.
STUB_CORRECTIONS = (
    (re.compile(r"^import (\w+_pb2) as ", re.MULTILINE), r"from onnxd_protos import \1 as "),
    (re.compile(r"\b_Mapping(?=\])"), "_Mapping[str, _Any]"),
    (re.compile(r"\*\*kwargs\)"), "**kwargs: _Any)"),
    (re.compile(r"^from typing import ", re.MULTILINE), "from typing import Any as _Any, "),
)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the outputs; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    check: bool = parser.parse_args(arguments).check

    stale = [(path, data) for path, data in outputs() if not path.is_file() or path.read_bytes() != data]
    for path, data in stale:
        if check:
            print(f"{path.relative_to(HERE)} is out of date: run `make protos`", file=sys.stderr)
        else:
            path.write_bytes(data)
            print(f"wrote {path.relative_to(HERE)}")
    return 1 if check and stale else 0


def outputs() -> Iterator[tuple[Path, bytes]]:
    """Every output file with what it ought to hold, which only the sources and the tools' versions decide."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        compiled = folder / "sources.binpb"
        status: int = protoc.main(
            [
                "protoc",
                f"-I{HERE}",
                "--include_imports",
                f"--descriptor_set_out={compiled}",
                f"--pyi_out={folder}",
                *SOURCES,
            ]
        )
        if status:
            raise SystemExit(status)

        descriptors = FileDescriptorSet.FromString(compiled.read_bytes())
        descriptors.file.extend(infrastructure())
        yield PACKAGE / "descriptors.binpb", descriptors.SerializeToString(deterministic=True)

        for source in SOURCES:
            stub = f"{Path(source).stem}_pb2.pyi"
            yield PACKAGE / stub, corrected(source, (folder / stub).read_text("utf-8")).encode()


def infrastructure() -> Iterator[FileDescriptorProto]:
    """Health and reflection, so that reflection over our pool can describe them beside our services.

    They keep the file names under which gRPC publishes them, which grpcio's packages do not.
    """
    health = FileDescriptorProto.FromString(health_pb2.DESCRIPTOR.serialized_pb)
    health.name = "grpc/health/v1/health.proto"
    yield health

    alpha = FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    alpha.name = "grpc/reflection/v1alpha/reflection.proto"
    yield alpha

    # v1 is v1alpha under another package, and grpcio has no descriptor of it.
    text = text_format.MessageToString(alpha).replace(".v1alpha", ".v1").replace("/v1alpha/", "/v1/")
    yield text_format.Parse(text, FileDescriptorProto())


def corrected(source: str, stub: str) -> str:
    """A stub of protoc's as our package needs it."""
    for pattern, replacement in STUB_CORRECTIONS:
        stub = pattern.sub(replacement, stub)
    return HEADER.format(source=source) + stub.rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
