"""Manifests made into the classes of the package `kserve`, and back into what they say, as JSON.

    python manifests.py FILE...

Fails on a field that a class does not have, and on one that it requires and that is not there.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import kserve.models
import kubernetes.client
import yaml

_CONTAINED: Final = re.compile(r"(list|dict)[\[(](?:str, *)?(.*)[\])]")
_VERSIONS: Final = {"serving.kserve.io/v1beta1": "V1beta1", "serving.kserve.io/v1alpha1": "V1alpha1"}


def made(kind: str, value: Any, where: str) -> Any:
    """An object of a class, or what a class holds, from what a manifest says."""
    if value is None or kind in ("object", "str", "int", "float", "bool", "datetime"):
        return value
    if found := _CONTAINED.fullmatch(kind):
        container, each = found.groups()
        if container == "list":
            return [made(each, item, f"{where}[{number}]") for number, item in enumerate(value)]
        return {key: made(each, item, f"{where}.{key}") for key, item in value.items()}
    cls = getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None)
    if cls is None:
        return value  # a quantity, a number or a name of a port
    names = {written: name for name, written in cls.attribute_map.items()}
    if unknown := set(value) - set(names):
        raise SystemExit(f"{where}: {cls.__name__} has no {', '.join(sorted(unknown))}")
    types = cls.openapi_types
    return cls(
        **{
            names[written]: made(types[names[written]], item, f"{where}.{written}")
            for written, item in value.items()
        }
    )


def said(value: Any) -> Any:
    """What an object says, under the names that a manifest has."""
    if isinstance(value, list):
        return [said(item) for item in value]
    if isinstance(value, dict):
        return {key: said(item) for key, item in value.items()}
    if not hasattr(value, "attribute_map"):
        return value
    fields = {written: said(getattr(value, name)) for name, written in value.attribute_map.items()}
    # A container's name that is not given is "".
    return {written: item for written, item in fields.items() if item not in (None, "")}


def kind_of(document: Mapping[str, Any]) -> str:
    return _VERSIONS[document["apiVersion"]] + str(document["kind"])


if __name__ == "__main__":
    read = {path: yaml.safe_load(Path(path).read_text("utf-8")) for path in sys.argv[1:]}
    json.dump({path: said(made(kind_of(each), each, path)) for path, each in read.items()}, sys.stdout)
