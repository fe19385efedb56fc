"""What trained ONNX models are for: inputs that can be labelled, and how well they do on them.

Files, names, words, sounds and tones are found beside the model or made on this machine.
"""

from __future__ import annotations

import json
import sqlite3
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from _trained_pictures import captchas, lines, turned, upright, words
from _trained_sounds import chords, speech
from _trained_task import Feeds, Run, Task, letters_right

__all__ = ["Feeds", "Run", "Task", "task_of"]


def task_of(path: Path, model: onnx.ModelProto) -> Task | None:
    """The task of a model, told by its file's name; ``None`` if it has none here."""
    makers: dict[str, Callable[[Path, onnx.ModelProto], Task]] = {
        "magika": file_kinds, "rec_infer": words, "cls_infer": upright, "det_infer": lines,
        "orientation": turned, "captcha_crnn": captchas, "ddddocr__common": captchas,
        "silero_vad_16k_sequence": speech, "nmp": chords, "romanizer": names,
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


def names(path: Path, _: onnx.ModelProto) -> Task:
    """Arabic names in Latin letters, as most people of a country spell them.

    The encoder or the decoder is the model; the other one, ``names.sqlite3`` and ``vocab.json``
    must lie beside it.
    """
    tokens: list[str] = json.loads((path.parent / "vocab.json").read_text())["tokens"]
    number = {token: i for i, token in enumerate(tokens)}
    rows = sqlite3.connect(path.parent / "names.sqlite3").execute(
        "SELECT arabic_key, country, latin, max(n) FROM (SELECT *, sum(count) AS n FROM units "
        "WHERE role = 'given' AND country IN ('EG', 'IQ', 'SA', 'MA', 'DZ', 'SY') AND "
        "length(arabic_key) <= 9 GROUP BY arabic_key, country, latin) "
        "WHERE n > 9 GROUP BY arabic_key, country ORDER BY arabic_key, country"
    )
    known = [row[:3] for row in rows]
    order = np.random.default_rng(5).permutation(len(known))

    def read(places: np.ndarray) -> Feeds:
        ids = np.zeros((len(places), 12), np.int64)
        for row, (arabic, country, _) in zip(ids, (known[i] for i in places), strict=True):
            told = [f"<{country}>", "<ROLE_GIVEN>", *arabic, "<EOS>"]
            row[: len(told)] = [number.get(t, number["<UNK>"]) for t in told]
        return {"src": ids, "src_mask": ids == 0}

    def whole(part: str) -> Run:
        file = path.with_name(path.name.replace("encoder", part).replace("decoder", part))
        session = ort.InferenceSession(file)
        return lambda feeds: session.run(None, feeds)

    def spelt(encode: Run, decode: Run, feeds: Feeds) -> tuple[list[str], list[Feeds]]:
        """The likeliest letter after each other; also what the decoder was given."""
        memory, mask, hidden = encode(feeds)
        last, done = np.full((len(memory), 1), number["<BOS>"]), []
        steps, texts = [], [""] * len(memory)
        for _ in range(16):
            steps.append({"prefix": last, "memory": memory, "src_mask": mask, "hidden": hidden})
            scores, hidden = decode(steps[-1])
            last = scores.argmax(1)[:, None]
            done = [d or i == number["<EOS>"] for d, i in
                    zip(done or [False] * len(memory), last[:, 0], strict=True)]  # fmt: skip
            texts = [t if d else t + tokens[i]
                     for t, d, i in zip(texts, done, last[:, 0], strict=True)]  # fmt: skip
        return texts, steps

    test, rest = order[:96], np.array_split(order[96:160], 4)
    labels = [known[i][2] for i in test]
    encoder, decoder = whole("encoder"), whole("decoder")
    is_encoder = "encoder" in path.name

    def measure(run: Run) -> float:
        pair = (run, decoder) if is_encoder else (encoder, run)
        return letters_right(labels, spelt(*pair, read(test))[0])

    batches = [read(part) for part in rest]
    if not is_encoder:
        batches = [step for feeds in batches for step in spelt(encoder, decoder, feeds)[1][:8:2]]
    return Task(batches[0], batches, measure, "letters right in 96 Arabic names")
