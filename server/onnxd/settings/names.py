"""The names of variables. Imports nothing, so that commands without settings need not load them."""

from typing import Final

VARIABLE_PREFIX: Final = "ONNXD_"

CONFIG_VARIABLE: Final = "ONNXD_CONFIG"
"""The settings file, where --config does not name one."""
URL_VARIABLE: Final = "ONNXD_URL"
"""The server that commands such as `onnxd infer` talk to; no setting of a server."""
KEY_VARIABLE: Final = "ONNXD_API_KEY"
"""The API key that such commands send; no setting of a server."""
