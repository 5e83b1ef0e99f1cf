"""The inputs of silero-vad: WAV files of 16-bit samples at 16 kHz, each shorter than a second.

Speech is spoken by espeak-ng from words chosen here; the rest is computed. Names tell the two apart:
`speech_...` holds a voice, `other_...` none.
"""

import io
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly  # type: ignore[import-untyped]

Sound = npt.NDArray[np.float64]

RATE = 16_000
LONGEST = 15_500
"""Samples: with its header a file stays under 32 KB."""

SPOKEN = {
    "speech_english": ("en-gb", 150, "Good morning, everyone"),
    "speech_american": ("en-us", 170, "Turn left at the bridge"),
    "speech_french": ("fr-fr", 160, "Où est la gare"),
    "speech_german": ("de", 160, "Guten Abend zusammen"),
    "speech_spanish": ("es", 170, "Muchas gracias por todo"),
    "speech_italian": ("it", 160, "Buona notte a tutti"),
    "speech_dutch": ("nl", 160, "Tot morgen allemaal"),
    "speech_fast": ("en-gb", 260, "This sentence is spoken in a hurry"),
    "speech_slow": ("en-gb", 90, "Slowly now"),
    "speech_high": ("en-us+f4", 160, "A lighter voice than the others"),
}


def _speak(voice: str, words_per_minute: int, words: str) -> Sound:
    program = shutil.which("espeak-ng")
    if program is None:
        raise LookupError("espeak-ng is not on PATH; on Debian: apt-get install espeak-ng")
    command = [program, "-v", voice, "-s", str(words_per_minute), "--stdout", words]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken), "rb") as sound:
        rate = sound.getframerate()
        # espeak-ng writes a length it cannot know when it writes to a pipe: read what there is.
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64) / 32768
    common = int(np.gcd(rate, RATE))
    resampled: Sound = resample_poly(samples, RATE // common, rate // common)
    return resampled[:LONGEST]


def _computed(speech: Sound) -> dict[str, Sound]:
    random = np.random.default_rng(7)
    time = np.arange(LONGEST) / RATE
    noise = random.standard_normal(LONGEST)
    clicks = np.zeros(LONGEST)
    clicks[:: RATE // 8] = 0.9
    brown = np.cumsum(noise)
    brown -= np.linspace(brown[0], brown[-1], LONGEST)
    length = len(speech)
    return {
        "other_silence": np.zeros(LONGEST // 2),
        "other_tone_low": 0.4 * np.sin(2 * np.pi * 110 * time),
        "other_tone_high": 0.3 * np.sin(2 * np.pi * 3000 * time),
        "other_chirp": 0.4 * np.sin(2 * np.pi * (100 + 1500 * time) * time),
        "other_chord": sum(
            (0.15 * np.sin(2 * np.pi * pitch * time) for pitch in (262, 330, 392)), np.zeros(LONGEST)
        ),
        "other_white_noise": 0.1 * noise,
        "other_brown_noise": 0.5 * brown / np.abs(brown).max(),
        "other_clicks": clicks,
        "other_hum": 0.2 * np.sign(np.sin(2 * np.pi * 50 * time)),
        "other_shortest": 0.05 * noise[:300],
        "speech_noisy": speech + 0.01 * noise[:length],
        "speech_quiet": 0.1 * speech,
    }


def make_sounds(folder: Path) -> None:
    """Write every sound into `folder`."""
    sounds = {name: _speak(*how) for name, how in SPOKEN.items()}
    sounds |= _computed(sounds["speech_english"])
    for name, samples in sounds.items():
        with wave.open(str(folder / f"{name}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE)
            sound.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
