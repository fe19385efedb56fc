"""Pictures made from random numbers, with what pictures of the world have in common.

Neighbouring pixels and channels are alike, there is more contrast at large scales than at small
ones, and things with edges hide each other. Networks respond to that more nearly as they do to
their data than they respond to white noise. "Pictures" have any number of channels and of axes
in space: signals, pictures, volumes.
"""

from __future__ import annotations

import numpy as np

SHARE = 0.75
"""Share of the pictures that are dead leaves; the others are coloured noise."""
SLOPES = 0.5, 1.8
"""Between what exponents amplitudes fall off with frequency; about 1 in photographs."""
ALIKE = 0.9
"""Part of the variance that all channels share: brightness, as against colour."""
JITTER = 0.3
"""Deviation of pictures' brightness, and of the logarithm of their contrast."""
SMALLEST, LARGEST = 0.02, 0.6
"""Radii of leaves, as parts of a picture's shortest side."""
LEAVES = 20, 120
"""How many leaves a picture has."""
TEXTURE = 0.3
"""Deviation of what is added to the leaves' even colours."""


def pictures(
    rng: np.random.Generator, count: int, channels: int, space: tuple[int, ...]
) -> np.ndarray:
    """Dead leaves, and some coloured noise.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same pictures come from the same state.
    count : int
        Number of pictures.
    channels : int
    space : tuple of int
        Height and width, or sizes along any number of axes.

    Returns
    -------
    numpy.ndarray
        (count, channels, space), float32. Entries have mean 0 and deviation 1 over many pictures,
        which differ in brightness and contrast.
    """
    made = np.empty((count, channels, *space), np.float32)
    for one in made:
        one[:] = standard((leaves if rng.random() < SHARE else coloured)(rng, channels, space))
        one *= np.exp(JITTER * rng.standard_normal())
        one += JITTER * rng.standard_normal()
    # The mean square of a log-normal contrast, and the brightness's variance.
    made /= np.sqrt(np.exp(2 * JITTER**2) + JITTER**2)
    return made


def coloured(rng: np.random.Generator, channels: int, space: tuple[int, ...]) -> np.ndarray:
    """Noise whose amplitudes are a power of the frequency, drawn per picture: (channels, space)."""
    axes = tuple(range(1, 1 + len(space)))
    waves = np.fft.rfftn(rng.standard_normal((channels + 1, *space), np.float32), axes=axes)
    steps = [*map(np.fft.fftfreq, space[:-1]), np.fft.rfftfreq(space[-1])]
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*steps, indexing="ij")))
    frequency.flat[0] = 1 / max(space)
    waves *= frequency ** -rng.uniform(*SLOPES)
    made = standard(np.fft.irfftn(waves, s=space, axes=axes))
    return alike(made[:1], made[1:])


def leaves(rng: np.random.Generator, channels: int, space: tuple[int, ...]) -> np.ndarray:
    """Dead leaves, textured boxes and ellipsoids that hide each other: (channels, space).

    The density of their radii r goes as r^-3, so that there is as much to see at every scale
    (Lee, Mumford and Huang 2001, "Occlusion models for natural images").
    """
    made = np.empty((channels, *space), np.float32)
    made[:] = colour(rng, channels, len(space))
    contrast = np.ones(space, np.float32)
    uniform = rng.random(rng.integers(*LEAVES))
    radii = min(space) * SMALLEST / np.sqrt(1 - uniform * (1 - (SMALLEST / LARGEST) ** 2))
    for radius in radii:
        where, inside, shade = leaf(rng, space, radius)
        at = (slice(None), *where)
        made[at] = np.where(inside, colour(rng, channels, len(space)) + shade, made[at])
        contrast[where] = np.where(inside, abs(rng.standard_normal()), contrast[where])
    made += TEXTURE * contrast * coloured(rng, channels, space)
    return made


def leaf(
    rng: np.random.Generator, space: tuple[int, ...], radius: float
) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
    """One leaf: the box that it lies in, which places of the box are inside, and its shading."""
    ndim, size = len(space), np.array(space)
    radii = np.maximum(radius * np.exp(rng.uniform(-0.7, 0.7, ndim)), 0.7)
    turn, _ = np.linalg.qr(rng.standard_normal((ndim, ndim)))
    centre, reach = rng.random(ndim) * size, np.sqrt(ndim) * radii.max()
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, size).astype(int)
    spans = [np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)]
    place = np.stack(np.meshgrid(*spans, indexing="ij"))
    own = np.abs(np.tensordot(turn / radii[:, None], place, 1))
    far: np.ndarray = own.max(0) if rng.random() < 0.5 else np.square(own).sum(0)
    shade = np.tensordot(0.3 * rng.standard_normal(ndim) / reach, place, 1)
    return tuple(map(slice, low, high)), far <= 1, shade


def colour(rng: np.random.Generator, channels: int, ndim: int) -> np.ndarray:
    """One random colour, with axes of size 1 for space."""
    drawn = alike(rng.standard_normal(1), rng.standard_normal(channels))
    return drawn.reshape(channels, *(1,) * ndim)


def alike(common: np.ndarray, own: np.ndarray) -> np.ndarray:
    """What all channels share and what each has for itself, added up to the same variance."""
    both: np.ndarray = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own
    return both


def standard(x: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1; all zeros where entries do not differ."""
    x = x - x.mean()
    spread = x.std()
    return x / spread if spread else x
