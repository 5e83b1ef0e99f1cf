"""The inputs of rapidocr: PNG images of written words, of many sizes, colours and lengths."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True, slots=True)
class Sign:
    """One image: words in Pillow's own font, and how they are set."""

    words: str
    width: int
    height: int
    size: int
    ink: str = "black"
    paper: str = "white"
    angle: float = 0


SIGNS = {
    "open": Sign("OPEN", 128, 64, 32),
    "closed": Sign("Closed today", 256, 64, 30),
    "exit": Sign("EXIT", 96, 96, 28, "white", "#0a7d3c"),
    "number": Sign("4711", 128, 96, 44),
    "price": Sign("12.50 EUR", 224, 64, 34, "#b00020"),
    "street": Sign("Mill Lane 7", 288, 64, 36, "white", "#1c3f94"),
    "small": Sign("small print", 128, 32, 14),
    "tall": Sign("up\nand\nup", 96, 192, 34),
    "wide": Sign("a line that goes on and on and on", 416, 48, 22),
    "two_lines": Sign("first line\nsecond line", 192, 96, 28),
    "three_lines": Sign("one\ntwo two\nthree three three", 224, 128, 26),
    "grey": Sign("hard to see", 192, 64, 28, "#909090", "#c8c8c8"),
    "night": Sign("Good night", 224, 64, 36, "#ffe680", "#101030"),
    "tilted": Sign("tilted", 192, 128, 40, angle=12),
    "falling": Sign("falling", 192, 160, 38, angle=-20),
    "time": Sign("08:45", 160, 64, 40, "#00d060", "black"),
    "mail": Sign("hello@example.org", 288, 64, 28),
    "accents": Sign("café à Zürich", 256, 64, 32),
    "odd_size": Sign("odd size", 173, 71, 33),
    "large": Sign("BIG", 256, 160, 100),
    "empty": Sign("", 128, 96, 20),
}


def make_images(folder: Path) -> None:
    """Write every image into `folder`."""
    for name, sign in SIGNS.items():
        image = Image.new("RGB", (sign.width, sign.height), sign.paper)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=sign.size)
        middle = (sign.width / 2, sign.height / 2)
        draw.multiline_text(middle, sign.words, sign.ink, font, anchor="mm", align="center")
        turned = image.rotate(sign.angle, Image.Resampling.BICUBIC, fillcolor=sign.paper)
        turned.save(folder / f"{name}.png", optimize=True)
