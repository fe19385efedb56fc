"""Tasks of trained models that look at pictures: text that is drawn here."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnx
from _trained_task import Run, Task, collapsed, letters_right
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

LETTERS = list("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
CAPITALS = list("ABCDEFGHJKLMNPQRTUVWXYZ23456789")


def texts(rng: np.random.Generator, count: int) -> list[str]:
    return ["".join(rng.choice(LETTERS, rng.integers(5, 9))) for _ in range(count)]


def paper(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), tuple(rng.integers(190, 256, 3).tolist()))


def ink(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.integers(0, 90, 3).tolist())


def planes(image: Image.Image, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Red, green and blue from -1 to 1, with noise."""
    pixels = np.asarray(image, np.float32)
    pixels = pixels + rng.normal(0, noise, pixels.shape)
    return np.asarray((pixels / 127.5 - 1).transpose(2, 0, 1), np.float32)


def drawn(text: str, rng: np.random.Generator, width: int = 192) -> np.ndarray:
    """Dark letters on light paper, as (3, 48, width)."""
    image, font = paper(rng, width, 48), ImageFont.load_default(int(rng.integers(26, 34)))
    ImageDraw.Draw(image).text((6, int(rng.integers(3, 9))), text, ink(rng), font)
    return planes(image, rng, 6)


def words(_: Path, model: onnx.ModelProto) -> Task:
    """Letters that are read, which the model's own metadata name."""
    table = next(p.value for p in model.metadata_props if p.key == "character")
    letters = ["", *table.splitlines(), " "]
    rng, name = np.random.default_rng(0), model.graph.input[0].name
    labels = texts(rng, 64)
    x = np.stack([drawn(t, rng) for t in labels])
    batches = [{name: np.stack([drawn(t, rng) for t in texts(rng, 8)])} for _ in range(2)]

    def measure(run: Run) -> float:
        best = np.concatenate([run({name: part})[0].argmax(2) for part in np.array_split(x, 8)])
        return letters_right(labels, (collapsed(row, letters, 0) for row in best))

    return Task({name: (1, 3, 48, 192)}, batches, measure, "letters read in 64 drawn words")


def upright(_: Path, model: onnx.ModelProto) -> Task:
    """Lines of text that stand on their heads, or do not."""
    rng, name = np.random.default_rng(1), model.graph.input[0].name

    def made(count: int) -> tuple[np.ndarray, np.ndarray]:
        turned = rng.integers(0, 2, count)
        images = [drawn(f"{t} {t[:4]}", rng) for t in texts(rng, count)]
        return np.stack(
            [i[:, ::-1, ::-1] if k else i for i, k in zip(images, turned, strict=True)]
        ), turned

    x, y = made(128)

    def measure(run: Run) -> float:
        return float((run({name: x})[0].argmax(1) == y).mean())

    batches = [{name: made(16)[0]} for _ in range(4)]
    return Task({name: (1, 3, 48, 192)}, batches, measure, "128 drawn lines: upright or not")


def page(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    """Lines of text on noisy paper, and the boxes around them."""
    image, boxes, y = paper(rng, size, size), [], int(rng.integers(4, 30))
    draw, height = ImageDraw.Draw(image), int(rng.integers(12, 20))
    font = ImageFont.load_default(height)
    while y < size - 1.3 * height:
        place = int(rng.integers(6, size // 3)), y
        text = " ".join(texts(rng, int(rng.integers(1, size // 90))))
        draw.text(place, text, ink(rng), font)
        boxes.append(draw.textbbox(place, text, font))
        y += int(height * rng.uniform(1.6, 3))
    return planes(image, rng, 25), boxes


def turned(path: Path, model: onnx.ModelProto) -> Task:
    """Pages that lie on one of their four sides."""
    size = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    rng, name = np.random.default_rng(2), model.graph.input[0].name
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def made(count: int) -> tuple[np.ndarray, np.ndarray]:
        sides = rng.integers(0, 4, count)
        pages = [np.rot90(page(rng, size)[0], -k, (1, 2)) for k in sides]
        x = ((np.stack(pages) + 1) / 2 - mean[:, None, None]) / std[:, None, None]
        return x.astype(np.float32), sides

    x, y = made(96)

    def measure(run: Run) -> float:
        found = [run({name: part})[0].argmax(1) for part in np.array_split(x, 12)]
        return float((np.concatenate(found) == y).mean())

    batches = [{name: made(8)[0]} for _ in range(4)]
    return Task({name: (1, 3, size, size)}, batches, measure, "96 drawn pages: side up")


def lines(_: Path, model: onnx.ModelProto) -> Task:
    """Lines of text found on a page; each piece that is found belongs to one at most."""
    rng, name = np.random.default_rng(3), model.graph.input[0].name
    pages = [page(rng, 256) for _ in range(24)]

    def measure(run: Run) -> float:
        right = found = 0
        for x, boxes in pages:
            pieces = ndimage.find_objects(ndimage.label(run({name: x[None]})[0][0, 0] > 0.3)[0])
            found += len(pieces)
            right += sum(any(within(box, *piece) for piece in pieces) for box in boxes)
        return 2 * right / (found + sum(len(boxes) for _, boxes in pages))

    batches = [{name: np.stack([page(rng, 256)[0] for _ in range(2)])} for _ in range(3)]
    # On noise all that comes out is 0, but for a last digit.
    example = {name: pages[0][0][None]}
    return Task(example, batches, measure, "F1 of text lines found on 24 drawn pages")


def within(box: tuple[float, ...], rows: slice, columns: slice) -> bool:
    """Whether a piece lies in the middle of a box, along half of it at least."""
    left, top, right, bottom = box
    wide = columns.stop - columns.start > (right - left) / 2
    return bool(wide and top < (rows.start + rows.stop) / 2 < bottom
                and left < (columns.start + columns.stop) / 2 < right)  # fmt: skip


def captcha(text: str, rng: np.random.Generator) -> Image.Image:
    """Four coloured letters, here and there, crossed by a line."""
    image = paper(rng, 160, 60)
    draw = ImageDraw.Draw(image)
    for i, letter in enumerate(text):
        place = 10 + 36 * i + int(rng.integers(-3, 4)), int(rng.integers(4, 16))
        draw.text(place, letter, ink(rng), ImageFont.load_default(int(rng.integers(32, 40))))
    ends = [(0, int(rng.integers(5, 55))), (160, int(rng.integers(5, 55)))]
    draw.line(ends, tuple(rng.integers(90, 180, 3).tolist()), 1)
    return image


def captchas(path: Path, model: onnx.ModelProto) -> Task:
    """Captchas read; for ddddocr ``charsets.py`` must lie beside the model."""
    rng, name = np.random.default_rng(4), model.graph.input[0].name
    if grey := "ddddocr" in path.name:
        tables = runpy.run_path(str(path.parent / "charsets.py"))
        letters, blank = tables["CHARSET_OLD" if "old" in path.name else "CHARSET_BETA"], 0
    else:
        letters, blank = list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 36

    def made(text: str) -> np.ndarray:
        image = captcha(text, rng)
        if grey:
            return np.asarray(image.resize((170, 64)).convert("L"), np.float32)[None] / 255
        return np.asarray(image, np.float32)[..., ::-1].transpose(2, 0, 1).copy()

    labels = ["".join(rng.choice(CAPITALS, 4)) for _ in range(64)]
    x = np.stack([made(label) for label in labels])

    def measure(run: Run) -> float:
        best = [run({name: one[None]})[0][:, 0].argmax(1) for one in x]
        return letters_right(labels, (collapsed(row, letters, blank).upper() for row in best))

    batches = [{name: np.stack([made("".join(rng.choice(CAPITALS, 4))) for _ in range(8)])}
               for _ in range(4)]  # fmt: skip
    return Task({name: (1, *x.shape[1:])}, batches, measure, "letters read in 64 drawn captchas")
