"""Tasks of trained models that hear: recordings beside the model, and sounds that are made here."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import onnx
from _trained_task import Feeds, Run, Task
from scipy.signal import resample_poly
from scipy.stats import rankdata

FRAMES = 62
"""Frames of 512 samples that are heard at a time."""


def recordings(folder: Path) -> np.ndarray:
    """All of more than two seconds, as one, of 16 kHz."""
    sounds = []
    for file in sorted(folder.glob("*.wav")):
        with wave.open(str(file)) as sound:
            rate, count = sound.getframerate(), sound.getnframes()
            if count > 2 * rate:
                pcm = np.frombuffer(sound.readframes(count), np.int16).astype(np.float32)
                sounds.append(resample_poly(pcm, 16000, rate) / pcm.std())
    return 0.05 * np.concatenate(sounds)


def speech(path: Path, _: onnx.ModelProto) -> Task:
    """Loud parts of the recordings beside the model, against noise, hum and beeps."""
    voice, rng = recordings(path.parent), np.random.default_rng(0)
    time = np.arange(len(voice) // 4) / 16000
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 5))
    beep = np.sin(2 * np.pi * 880 * time) * (np.sin(2 * np.pi * 2 * time) > 0)
    noise = rng.standard_normal(len(time))
    brown = np.convolve(noise, np.ones(12) / 3, "same")
    others = [voice.std() * sound / sound.std() for sound in (noise, brown, hum, beep)]
    state = np.zeros((1, 1, 128), np.float32)

    def fed(sound: np.ndarray) -> list[Feeds]:
        """Frames with the 64 samples before them, 62 at a time."""
        starts = range(0, len(sound) - 576, 512)
        frames = np.stack([sound[i : i + 576] for i in starts]).astype(np.float32)
        parts = frames[: len(frames) // FRAMES * FRAMES].reshape(-1, FRAMES, 576)
        return [{"input": part, "h": state, "c": state} for part in parts]

    half = len(voice) // 2
    test, rest, quiet = fed(voice[:half]), fed(voice[half:]), [fed(o) for o in others]
    energy = np.concatenate([part["input"].std(1) for part in test])
    loud = energy > 0.5 * np.median(energy)

    def measure(run: Run) -> float:
        yes = np.concatenate([run(part)[0].ravel() for part in test])[loud]
        no = np.concatenate([run(part)[0].ravel() for o in quiet for part in o[1:]])
        ranks = rankdata(np.concatenate([yes, no]))[: len(yes)].sum()
        return float((ranks - len(yes) * (len(yes) + 1) / 2) / (len(yes) * len(no)))

    batches = [*rest[::3], *(o[0] for o in quiet)]
    shapes = {"input": (FRAMES, 576), "h": (1, 1, 128), "c": (1, 1, 128)}
    return Task(shapes, batches, measure, "area under the curve: speech against other sounds")


def chords(_: Path, model: onnx.ModelProto) -> Task:
    """Three notes at a time of instruments made of harmonics."""
    rng, name = np.random.default_rng(0), model.graph.input[0].name
    time = np.arange(43844) / 22050
    place = [o.name for o in model.graph.output].index("StatefulPartitionedCall:1")

    def chord(keys: np.ndarray) -> np.ndarray:
        sound = rng.normal(0, 0.003, len(time))
        for pitch in 440 * 2 ** ((keys - 69) / 12):
            parts = (rng.uniform(0.3, 1) / k * np.sin(2 * np.pi * pitch * k * time)
                     for k in range(1, 7))  # fmt: skip
            sound += 0.1 * sum(parts) * np.exp(-time)
        return sound[:, None].astype(np.float32)

    def made(count: int) -> tuple[np.ndarray, list[set[int]]]:
        keys = [rng.choice(np.arange(40, 85), 3, replace=False) for _ in range(count)]
        return np.stack([chord(k) for k in keys]), [set(k.tolist()) for k in keys]

    x, keys = made(24)

    def measure(run: Run) -> float:
        means = np.concatenate([run({name: x[i : i + 4]})[place].mean(1) for i in range(0, 24, 4)])
        found = (set((row.argsort()[-3:] + 21).tolist()) for row in means)
        return sum(len(a & b) for a, b in zip(keys, found, strict=True)) / (3 * len(keys))

    batches = [{name: made(2)[0]} for _ in range(4)]
    return Task({name: (1, 43844, 1)}, batches, measure, "right keys of 24 chords of three notes")
