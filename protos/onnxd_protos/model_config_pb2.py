"""The messages that describe a model's configuration. The stub beside this file lists them."""

from onnxd_protos.pool import module_contents

globals().update(module_contents("model_config.proto", __name__))
