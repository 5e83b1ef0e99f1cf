"""The client in both colours, called the same way."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from onnxd_client import AsyncClient, Client

Run = Callable[..., Any]
PIXELS = np.ones((1, 64), np.float32)


def blocking(url: str, name: str, *args: Any, client: Any = None, **kwargs: Any) -> Any:
    with Client(url, **(client or {})) as one:
        return getattr(one, name)(*args, **kwargs)


def awaiting(url: str, name: str, *args: Any, client: Any = None, **kwargs: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(url, **(client or {})) as one:
            return await getattr(one, name)(*args, **kwargs)

    return asyncio.run(main())


@contextmanager
def nobody() -> Iterator[int]:
    """A port on which connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


class Waits:
    """A sleep that is only written down, for either colour."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def blocking(self, seconds: float) -> None:
        self.seconds.append(seconds)

    async def awaiting(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def of(self, run: Run) -> Any:
        return {"sleep": self.blocking if run is blocking else self.awaiting}
