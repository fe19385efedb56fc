"""What trained ONNX models are for: inputs that can be labelled, and how well they do on them.

Files, words, sounds and tones are found or made on this machine. Other models are asked how often
their first choice stays what it was.
"""

from __future__ import annotations

import json
import sysconfig
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import rankdata

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]


@dataclass
class Task:
    """What to analyse a model with, to calibrate on, and how to measure it."""

    inputs: dict[str, Any]
    batches: list[Feeds]
    measure: Callable[[Run], float]
    what: str


def task_of(path: Path, model: onnx.ModelProto) -> Task | None:
    """The task of a model, told by its file's name; ``None`` if it has none here."""
    makers: dict[str, Callable[[Path, onnx.ModelProto], Task]] = {
        "magika": file_kinds, "rec_infer": words, "cls_infer": upright,
        "silero_vad_16k_sequence": speech, "nmp": tones,
    }  # fmt: skip
    return next((make(path, model) for key, make in makers.items() if key in path.name), None)


def file_kinds(path: Path, _: onnx.ModelProto) -> Task:
    """Kinds of files of this Python; ``config.min.json`` must lie beside the model."""
    names = json.loads((path.parent / "config.min.json").read_text())["target_labels_space"]
    endings = {".py": "python", ".json": "json", ".h": "c", ".so": "elf", ".png": "png",
               ".css": "css", ".js": "javascript", ".html": "html", ".svg": "svg", ".gz": "gzip",
               ".npy": "npy", ".toml": "toml", ".csv": "csv", ".yaml": "yaml", ".ttf": "ttf",
               ".pyc": "pythonbytecode", ".rst": "rst", ".gif": "gif", ".xml": "xml"}  # fmt: skip
    found: list[tuple[np.ndarray, int]] = []
    for ending, kind in endings.items():
        files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob(f"*{ending}"))
        files = [f for f in files if 64 <= f.stat().st_size < 10**7]
        step = max(len(files) // 24, 1)
        found += [(ends(f.read_bytes()), names.index(kind)) for f in files[::step][:24]]
    x, y = np.stack([f for f, _ in found]), np.array([k for _, k in found])
    order = np.random.default_rng(0).permutation(len(y))
    test, rest = order[: len(y) // 2], order[len(y) // 2 :]

    def measure(run: Run) -> float:
        return float((run({"bytes": x[test]})[0].argmax(1) == y[test]).mean())

    batches = [{"bytes": x[part]} for part in np.array_split(rest, 4)]
    return Task({"bytes": (2, 2048)}, batches, measure, f"right kind of {len(test)} files")


def ends(content: bytes) -> np.ndarray:
    """First and last 1,024 bytes without white space around them."""
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    tokens = np.full(2048, 256, np.int32)
    tokens[: len(first)] = list(first)
    tokens[2048 - len(last) :] = list(last)
    return tokens


def drawn(text: str, rng: np.random.Generator, width: int = 192) -> np.ndarray:
    """Dark letters on light paper, from -1 to 1, as (3, 48, width)."""
    image = Image.new("RGB", (width, 48), tuple(rng.integers(190, 256, 3).tolist()))
    font = ImageFont.load_default(int(rng.integers(26, 34)))
    ink = tuple(rng.integers(0, 90, 3).tolist())
    ImageDraw.Draw(image).text((6, int(rng.integers(3, 9))), text, ink, font)
    pixels = np.asarray(image, np.float32) + rng.normal(0, 6, (48, width, 3))
    return np.asarray((pixels / 127.5 - 1).transpose(2, 0, 1), np.float32)


def texts(rng: np.random.Generator, count: int) -> list[str]:
    letters = list("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
    return ["".join(rng.choice(letters, rng.integers(5, 9))) for _ in range(count)]


def words(_: Path, model: onnx.ModelProto) -> Task:
    """Letters that are read, which the model's own metadata name."""
    table = next(p.value for p in model.metadata_props if p.key == "character")
    letters = ["", *table.splitlines(), " "]
    rng = np.random.default_rng(0)
    labels = texts(rng, 64)
    x, name = np.stack([drawn(t, rng) for t in labels]), model.graph.input[0].name
    batches = [{name: np.stack([drawn(t, rng) for t in texts(rng, 8)])} for _ in range(4)]

    def measure(run: Run) -> float:
        best = np.concatenate([run({name: part})[0].argmax(2) for part in np.array_split(x, 8)])
        read = []
        for row in best:
            kept = [i for at, i in enumerate(row) if i and (not at or i != row[at - 1])]
            read.append("".join(letters[i] for i in kept if i < len(letters)))
        wrong = sum(edits(a, b) for a, b in zip(labels, read, strict=True))
        return 1 - wrong / sum(map(len, labels))

    return Task({name: (1, 3, 48, 192)}, batches, measure, "letters read in 64 drawn words")


def edits(a: str, b: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


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


def speech(path: Path, _: onnx.ModelProto) -> Task:
    """Loud parts of the recordings of 16 kHz beside the model, against noise, hum and beeps."""
    sounds = []
    for file in sorted(path.parent.glob("*.wav")):
        with wave.open(str(file)) as sound:
            if sound.getframerate() == 16000 and sound.getnchannels() == 1:
                pcm = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
                sounds.append(pcm.astype(np.float32) / 32768)
    voice, rng = np.concatenate(sounds), np.random.default_rng(0)
    time = np.arange(len(voice)) / 16000
    level = voice.std()
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 5))
    beep = np.sin(2 * np.pi * 880 * time) * (np.sin(2 * np.pi * 2 * time) > 0)
    noise = rng.standard_normal(len(voice))
    brown = np.convolve(noise, np.ones(12) / 3, "same")
    others = [level * o / o.std() for o in (noise, brown, hum, beep)]
    state = np.zeros((1, 1, 128), np.float32)

    def fed(sound: np.ndarray) -> Feeds:
        padded = np.concatenate([np.zeros(64), sound])
        count = (len(padded) - 64) // 512
        frames = np.stack([padded[512 * i : 512 * i + 576] for i in range(count)])
        return {"input": frames.astype(np.float32), "h": state, "c": state}

    energy = fed(voice)["input"].std(1)
    loud, half = energy > 0.5 * np.median(energy[energy > 1e-3]), len(voice) // 2

    def measure(run: Run) -> float:
        yes = run(fed(voice))[0].ravel()[loud]
        no = np.concatenate([run(fed(o[:half]))[0].ravel() for o in others])
        ranks = rankdata(np.concatenate([yes, no]))[: len(yes)].sum()
        return float((ranks - len(yes) * (len(yes) + 1) / 2) / (len(yes) * len(no)))

    batches = [fed(part) for part in (*np.array_split(voice[half:], 3), others[0][half:])]
    shapes = {"input": (3, 576), "h": (1, 1, 128), "c": (1, 1, 128)}
    return Task(shapes, batches, measure, "area under the curve: speech against other sounds")


def tones(_: Path, model: onnx.ModelProto) -> Task:
    """Single notes of instruments made of harmonics."""
    rng, name = np.random.default_rng(0), model.graph.input[0].name
    time = np.arange(43844) / 22050
    place = [o.name for o in model.graph.output].index("StatefulPartitionedCall:1")

    def note(key: int) -> np.ndarray:
        pitch = 440 * 2 ** ((key - 69) / 12)
        parts = [
            rng.uniform(0.3, 1) / k * np.sin(2 * np.pi * pitch * k * time) for k in range(1, 7)
        ]
        return np.asarray(0.2 * sum(parts) * np.exp(-time) + rng.normal(0, 0.003, len(time)))

    def sounds(keys: np.ndarray) -> np.ndarray:
        return np.stack([note(int(k)) for k in keys])[..., None].astype(np.float32)

    keys = rng.integers(40, 85, 24)
    x = sounds(keys)

    def measure(run: Run) -> float:
        found = [run({name: x[i : i + 4]})[place].mean(1).argmax(1) + 21 for i in range(0, 24, 4)]
        return float((np.concatenate(found) == keys).mean())

    batches = [{name: sounds(rng.integers(40, 85, 2))} for _ in range(4)]
    return Task({name: (1, 43844, 1)}, batches, measure, "right key of 24 played notes")
