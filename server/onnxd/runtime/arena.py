"""When a session gives back the memory that its runs have used.

ONNX Runtime keeps what a run needed for the next run, for ever: one run of 60,000 rows, and the process holds
seventy megabytes and more that no other run will need. A run can be told to give everything back at its end;
but the run after it has to ask for it again, and a large one then takes up to 1.5 times as long. So only runs
out of the ordinary are told, and one that comes when runs have become smaller.
"""

from typing import Final

_SMALLEST_BYTES: Final = 65536
"""Of inputs and outputs: what runs below this use besides is not worth it."""
_TIMES_USUAL: Final = 4
_WEIGHT: Final = 1 / 8
_RUNS_BETWEEN: Final = 64
"""Where sizes jump to and fro all the time, most runs must not pay for it."""


class ArenaDiet:
    """Decides for each run of one session by the bytes that go in and come out.

    Threads that run at once may disturb the numbers, which costs a shrink too many or too few.
    """

    def __init__(self) -> None:
        self.largest_bytes = 0
        """That went into or came out of a run since the last that gave back. Whoever runs raises it by what
        has come out: a small input may have a large answer, which only the next run can clear up."""
        self._usual = 0.0
        self._runs = _RUNS_BETWEEN

    def shrinks(self, input_bytes: int) -> bool:
        """Whether the run that is about to begin with these inputs gives back everything at its end."""
        self._runs += 1
        usual = self._usual
        self._usual = usual = usual + _WEIGHT * (input_bytes - usual) if usual else input_bytes
        if input_bytes > self.largest_bytes:
            self.largest_bytes = input_bytes
        if self.largest_bytes < _SMALLEST_BYTES or self.largest_bytes <= _TIMES_USUAL * usual:
            return False
        if self._runs < _RUNS_BETWEEN:
            return False
        self.largest_bytes, self._runs = 0, 0
        return True
