"""The messages of the KServe v2 service with Triton's extensions. The stub beside this file lists them."""

from onnxd_protos.pool import module_contents

globals().update(module_contents("grpc_service.proto", __name__))
