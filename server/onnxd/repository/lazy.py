"""Loading a model with the first request for it."""

from collections.abc import Callable

from onnxd.errors import ServerError
from onnxd.repository.wishes import Record, Wish


async def wake(record: Record, wished: Callable[[Wish], Wish]) -> None:
    """Load what is asleep, and wait for it with all who have asked meanwhile. `wished` has a wish fulfilled.

    Files that have changed before it was their turn are examined instead, and then loaded.
    """
    while record.asleep is not None or record.waking is not None:
        if record.asleep is not None:
            record.waking = wished(Wish(record.asleep, key=record.attempted, asked=False))
        waking = record.waking
        if waking is None:
            return
        try:
            await waking.outcome()
        except ServerError:
            return  # the index says why
        finally:
            if record.waking is waking and waking.done.is_set():
                record.waking = None
