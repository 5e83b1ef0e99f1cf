"""The form of a replay: version 1. docs/replays.md tells it in words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1

HEADER_FILE: Final = "replay.json"
PART_PATTERN: Final = "part-*.parquet"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the Parquet files."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


COLUMNS: Final = (
    Column("match", pa.int32(), "number of the match, from 0"),
    Column("tick", pa.int16(), "0 = the start, before any action; n = the end of tick n"),
    Column("agent", pa.int8(), "number of the agent in its match, from 0"),
    Column("team", pa.int8(), "0 starts on the left, 1 on the right"),
    Column("policy", pa.int8(), "place in the header's list of policies: whose agent it is"),
    Column("version", pa.int32(), "version of the model that answered; 0 = no model did"),
    Column("weights", pa.int64(), "fingerprint in the model's own answer; 0 = it gave none"),
    Column("x", pa.int8(), "column of the ground, from the left"),
    Column("y", pa.int8(), "row of the ground, from the top"),
    Column("health", pa.int16(), "at the end of the tick; 0 = out"),
    Column("energy", pa.int16(), "at the end of the tick"),
    Column("alive", pa.bool_(), "at the end of the tick"),
    Column("action", pa.int8(), "place in the header's list of actions; null = it did not decide", True),
    Column("fallback", pa.bool_(), "the policy did not answer, and its fallback action was taken"),
    Column("target", pa.int8(), "agent that the action reached; null = nobody", True),
    Column("damage_dealt", pa.int16(), "health that it took from others in this tick"),
    Column("damage_taken", pa.int16(), "health that others took from it"),
    Column("healing_given", pa.int16(), "health that it gave"),
    Column("healing_received", pa.int16(), "health that it was given"),
    Column("pack_health", pa.int16(), "health from a pack"),
    Column("energy_spent", pa.int16(), "on its action"),
    Column("energy_gained", pa.int16(), "by recovery, rest and packs"),
    Column("events", pa.int32(), "bits, named by the header's list of events, the lowest first"),
    Column("reward", pa.int16(), "what its team dealt less what it took in this tick"),
)
SCHEMA: Final = pa.schema([pa.field(each.name, each.type, nullable=each.nullable) for each in COLUMNS])


class Reason(StrEnum):
    """Why a fallback action was taken."""

    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate limited"
    DEADLINE = "deadline"
    NOT_FOUND = "not found"
    FAULT = "fault"
    INVALID = "invalid"


LATENCY_BOUNDS_MS: Final = tuple(round(0.05 * 2 ** (step / 4), 4) for step in range(64))
"""Upper bounds of the histogram of latencies: four for each doubling from 50 µs, to about 46 min.
The last of the counts is of what is above them all."""
