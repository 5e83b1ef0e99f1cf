"""The binary inputs of magika. Those that are text were written by hand and are their own source."""

import bz2
import gzip
import io
import lzma
import math
import sqlite3
import struct
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

EPOCH = (2024, 1, 1, 0, 0, 0)


def _picture() -> Image.Image:
    image = Image.new("RGB", (48, 32), "#f4efe1")
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 14, 30, 28), fill="#a33b2c")
    draw.polygon([(4, 14), (18, 4), (32, 14)], fill="#40342c")
    draw.ellipse((36, 3, 45, 12), fill="#e8b730")
    return image


def _as(form: str) -> Callable[[bytes], bytes]:
    def encode(_: bytes) -> bytes:
        buffer = io.BytesIO()
        _picture().save(buffer, form)
        return buffer.getvalue()

    return encode


def _zip(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("letter.txt", "copy/letter.txt"):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _tar(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("letters/letter.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return buffer.getvalue()


def _wav(_: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        for step in range(1600):
            sound.writeframesraw(struct.pack("<h", round(9000 * math.sin(step * 0.35))))
    return buffer.getvalue()


def _sqlite(_: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "garden.db"
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA page_size = 512")
        connection.execute("CREATE TABLE plants (id INTEGER PRIMARY KEY, name TEXT NOT NULL, height REAL)")
        rows = [("thyme", 0.2), ("sage", 0.6), ("apple", 4.5)]
        connection.executemany("INSERT INTO plants (name, height) VALUES (?, ?)", rows)
        connection.commit()
        connection.close()
        return path.read_bytes()


def _pdf(_: bytes) -> bytes:
    text = b"BT /F1 24 Tf 72 720 Td (Opening hours: ten to four) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    content = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets: list[int] = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        content += b"%010d 00000 n \n" % offset
    content += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(content)


_MAKERS: dict[str, Callable[[bytes], bytes]] = {
    "bmp": _as("BMP"),
    "gif": _as("GIF"),
    "jpeg": _as("JPEG"),
    "png": _as("PNG"),
    "tiff": _as("TIFF"),
    "webp": _as("WEBP"),
    "bzip": bz2.compress,
    "gzip": lambda text: gzip.compress(text, mtime=0),
    "xz": lzma.compress,
    "zip": _zip,
    "tar": _tar,
    "wav": _wav,
    "sqlite": _sqlite,
    "pdf": _pdf,
}


def make_files(folder: Path) -> None:
    """Write the binary files into `folder`, which holds those that are text; each named by magika's label."""
    text = (folder / "txt.sample").read_bytes()
    for label, make in _MAKERS.items():
        (folder / f"{label}.sample").write_bytes(make(text))
