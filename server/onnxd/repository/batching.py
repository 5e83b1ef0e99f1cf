"""How models are batched where their own configs do not say."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from onnxd.repository.config import MAX_ROWS


@dataclass(frozen=True, slots=True)
class BatchingConfig:
    """Models whose config does not state max_batch_size."""

    default_max_batch_size: Annotated[int, Field(ge=0, le=MAX_ROWS)] = 32
    """Rows of their biggest batch, where rows are shown to be independent; 0 or 1 = they do not batch."""
