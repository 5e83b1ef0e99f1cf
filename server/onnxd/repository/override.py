"""A config and files that come with a load call, in place of those in the repository, until the next load."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.layout import ModelFiles, VersionFiles
from onnxd.repository.pbtxt.json_form import parse_json_config
from onnxd.repository.pbtxt.translation import translate

_count: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Override:
    """What a load call brought, checked."""

    loaded: LoadedConfig
    versions: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    """File name -> content, by version; empty = the repository's own files."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """What would lie beside the versions: labels."""
    digest: str = ""
    """Like no other: an override always loads anew."""

    def files(self, model: str) -> ModelFiles:
        """The versions that it brings, as if they lay on disk."""
        versions = {number: VersionFiles(number, Path(), False, (), ()) for number in sorted(self.versions)}
        return ModelFiles(model, Path(), Path(), (), versions, "", (), 0, self.digest)


def read_override(model: str, given: LoadOverride, *, gpus: int) -> Override:
    """Blocks while the config is read. Raises LoadFailed and MalformedPayload for one that cannot be."""
    loaded = translate(parse_json_config(given.config), model, gpus=gpus)
    versions: dict[int, dict[str, bytes]] = defaultdict(dict)
    beside: dict[str, bytes] = {}
    for path, content in given.files.items():
        version, _, name = path.rpartition("/")
        if version:
            versions[int(version)][name] = content
        else:
            beside[name] = content
    if beside and not versions:
        raise LoadFailed("the files of the load have no version; add file:1/model.onnx")
    token = hashlib.sha256(given.config.encode()).hexdigest()[:16]
    return Override(loaded, dict(versions), beside, f"override {next(_count)} {token}")
