"""The kinds of faults, as codes that stay: for scripts, editors and docs/check.md, which has a row for each.

A code that was ever released is never given another meaning.
"""

import enum


class Code(enum.Enum):
    """C00x: the file itself. C01x: its keys and values. C02x: keys against keys. C03x: config against graph.
    C04x: labels. C05x: the runtime. C06x: the files. C07x: trying the model. C09x: notes, no faults."""

    UNREADABLE = "C001"
    SURPRISING = "C002"
    TWICE = "C003"
    NO_VALUE = "C004"
    PBTXT = "C005"

    UNKNOWN_KEY = "C010"
    MISSING_KEY = "C011"
    VALUE = "C012"
    UNQUOTED = "C013"

    CONTRADICTION = "C020"
    NEEDS_BATCHES = "C021"
    RESHAPE = "C022"
    LISTED_TWICE = "C023"
    NOT_AMONG_PROVIDERS = "C024"

    DISAGREEMENT = "C030"
    DATATYPE = "C031"
    SHAPE = "C032"
    NO_SUCH_TENSOR = "C033"
    CANNOT_BATCH = "C034"
    RANK_UNKNOWN = "C035"
    NO_DEFAULT = "C036"
    WARMUP = "C037"
    ROWS = "C038"

    NO_LABELS = "C040"
    LABELS_FILE = "C041"
    LABELS_COUNT = "C042"

    PROVIDER = "C050"
    PROVIDER_OPTION = "C051"

    NO_VERSION = "C060"
    NO_FILE = "C061"
    FILES = "C062"

    GRAPH = "C070"
    TRIAL = "C071"

    IGNORED = "C090"
    WITHOUT_EFFECT = "C091"

    @property
    def is_note(self) -> bool:
        """Nothing that keeps a model from being served."""
        return self in (Code.IGNORED, Code.WITHOUT_EFFECT)
