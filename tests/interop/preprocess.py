"""From a committed input file to the requests that carry it, for each of the models of `models.py`.

A file may need several requests that depend on each other: silero-vad hears one chunk of sound at a time and
its caller carries the state from each answer into the next request. So a file becomes a *conversation*: a
generator that yields the inputs of a request and is sent its outputs. A blocking client, an asynchronous one
and plain ONNX Runtime hold it alike:

    answers = hold("silero-vad", file, infer)
    answers = await hold_async("silero-vad", file, infer)

where `infer` takes the inputs of one request, by name, and gives its outputs, by name.
"""

import wave
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Arrays = dict[str, npt.NDArray[Any]]
"""Tensors of one request, or of its answer, by name."""

Conversation = Generator[Arrays, Arrays, None]

INPUTS = Path(__file__).parent / "inputs"

# magika: the file's first and last bytes; 256, which no byte is, stands where there are none.
MAGIKA_SIDE = 1024
MAGIKA_BLOCK = 4096
MAGIKA_PADDING = 256

# silero-vad at 16 kHz: 32 ms of sound, led by the last 4 ms of what came before.
SILERO_RATE = 16_000
SILERO_CHUNK = 512
SILERO_CONTEXT = 64
SILERO_STATE = (2, 1, 128)

RAPIDOCR_MULTIPLE = 32


def input_files(name: str) -> list[Path]:
    """The committed inputs of the model `name`, in the order of their names: at least twenty."""
    return sorted(path for path in (INPUTS / name).iterdir() if not path.name.startswith("."))


def magika_features(content: bytes) -> npt.NDArray[np.int32]:
    """INT32 [2048] of a file's content: its first 1,024 bytes, filled up behind; its last 1,024, in front.

    White space at either edge does not count, but is looked for only in the first and the last 4,096 bytes.
    """
    start = content[:MAGIKA_BLOCK].lstrip()[:MAGIKA_SIDE]
    end = content[-MAGIKA_BLOCK:].rstrip()[-MAGIKA_SIDE:]
    features = np.full(2 * MAGIKA_SIDE, MAGIKA_PADDING, np.int32)
    features[: len(start)] = np.frombuffer(start, np.uint8)
    features[len(features) - len(end) :] = np.frombuffer(end, np.uint8)
    return features


def read_sound(path: Path) -> npt.NDArray[np.float32]:
    """FP32 [samples] in -1..1 of a WAV file with one channel of 16-bit samples at 16 kHz."""
    with wave.open(str(path), "rb") as sound:
        form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
        if form != (1, 2, SILERO_RATE):
            raise ValueError(f"{path.name}: expected one 16-bit channel at {SILERO_RATE} Hz, found {form}")
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    return samples.astype(np.float32) / np.float32(32768)


def silero_chunks(sound: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """FP32 [1, 576] for every 32 ms: the chunk behind its context. The last is filled up with silence."""
    silence = -len(sound) % SILERO_CHUNK
    padded = np.concatenate([np.zeros(SILERO_CONTEXT, np.float32), sound, np.zeros(silence, np.float32)])
    return [
        padded[None, start : start + SILERO_CONTEXT + SILERO_CHUNK]
        for start in range(0, len(sound), SILERO_CHUNK)
    ]


def rapidocr_image(path: Path) -> npt.NDArray[np.float32]:
    """FP32 [1, 3, height, width], blue first, in -1..1; both sides brought to the nearest multiple of 32."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    width, height = (max(round(side / RAPIDOCR_MULTIPLE), 1) * RAPIDOCR_MULTIPLE for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    scaled = (pixels / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled[:, :, ::-1].transpose(2, 0, 1)[None])


def _magika(path: Path) -> Conversation:
    yield {"bytes": magika_features(path.read_bytes())[None]}


def _silero(path: Path) -> Conversation:
    state: npt.NDArray[Any] = np.zeros(SILERO_STATE, np.float32)
    for chunk in silero_chunks(read_sound(path)):
        answer = yield {"input": chunk, "state": state, "sr": np.array(SILERO_RATE, np.int64)}
        state = answer["stateN"]


def _rapidocr(path: Path) -> Conversation:
    yield {"x": rapidocr_image(path)}


_CONVERSATIONS: dict[str, Callable[[Path], Conversation]] = {
    "magika": _magika,
    "silero-vad": _silero,
    "rapidocr": _rapidocr,
}


def conversation(name: str, path: Path) -> Conversation:
    """The requests that put the file at `path` before the model `name`.

    Yields the inputs of each request, complete with the batch dimension; must be sent all the outputs of the
    model, by name, before it goes on.
    """
    return _CONVERSATIONS[name](path)


def hold(name: str, path: Path, infer: Callable[[Arrays], Arrays]) -> list[Arrays]:
    """Every answer of the conversation about `path`, in order, each got from `infer`."""
    answers: list[Arrays] = []
    talk = conversation(name, path)
    inputs = next(talk)
    while True:
        answers.append(infer(inputs))
        try:
            inputs = talk.send(answers[-1])
        except StopIteration:
            return answers


async def hold_async(name: str, path: Path, infer: Callable[[Arrays], Awaitable[Arrays]]) -> list[Arrays]:
    """As `hold`, for a client that is awaited."""
    answers: list[Arrays] = []
    talk = conversation(name, path)
    inputs = next(talk)
    while True:
        answers.append(await infer(inputs))
        try:
            inputs = talk.send(answers[-1])
        except StopIteration:
            return answers
