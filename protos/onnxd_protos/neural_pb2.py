"""The messages of the simple gRPC face. The stub beside this file lists them."""

from onnxd_protos.pool import module_contents

globals().update(module_contents("neural.proto", __name__))
