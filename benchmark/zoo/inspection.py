"""Checks an entry of the zoo: file, digest, report on its tensors, fingerprint of its features, and whether it seems trained.

The test images are drawn here, of smooth noise and gradients, from a bit generator whose numbers NumPy promises never to
change: they are the same in every process and on every machine. Features are those of the pooled form in float32 on the CPU.

A network that did not load has random weights. Three numbers of its features over a batch of these images hardly depend on
which random weights an architecture has, and change by training: their size (root of the mean square), how much of it
differs between images, and in how many directions (the participation ratio of the images' covariance, 1 to one less
than there are images). The distance of two networks is that of the logarithms of these numbers. It shows random weights as
timm draws them, not every network that learned nothing.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import nn
from torch.nn import functional

from benchmark.errors import BenchmarkError
from benchmark.zoo.backbone import load_encoder
from benchmark.zoo.catalog import InputStatistics, ZooEntry
from benchmark.zoo.fetch import find_weight_file, verify_weight_file
from benchmark.zoo.forms import build_encoder
from benchmark.zoo.matching import LoadReport

Floats = npt.NDArray[np.float64]
Verdict = Literal["PASS", "WARN", "FAIL", "not here"]
FIXED_IMAGE_SEED = 20  # the seed of the image of the fingerprint
NUM_PHANTOMS = 12
FRESH_SEEDS = (1, 2, 3, 4, 5)
OCTAVES = (2, 4, 8, 16, 32)  # cells of noise along a side
DEFAULT_IMAGE_SIZE = 224  # pixels, where a network does not fix its own
NUM_PIECES = 16  # of the features, whose means the coarse hash is of
# of 25 networks with random weights of each of seven architectures, all but 0.5 % lie nearer to any five others than this
# many times the largest distance among those five; a MobileNetV2 trained on ImageNet lies 12 times as far
DISTANCE_MARGIN = 2.0
CONSTANT = 1e-5  # a feature that varies by less than this share of the features' size, over images, says nothing
MAX_CONSTANT_SHARE = 0.5  # share of such features from which on there is a warning
WHAT_MAY_DIFFER = (
    "fingerprints are to 4 digits: the last may differ between machines and versions of torch, the hash (of means to "
    "2 digits) seldom does; another size of image or other input statistics give others"
)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The pooled features of the fixed image: their number, mean, sd, the first three, and a coarse hash."""

    image_size: int
    num_features: int
    mean: float
    sd: float
    first: list[float]
    hash: str


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Features of the phantom images, and how far they are from fresh nets'. None: they are not finite, or constant."""

    finite: bool
    constant: float | None = None  # share of the features that are the same for every image
    size: float | None = None
    spread: float | None = None  # between images, as a share of the size
    directions: float | None = None
    distance: float | None = None  # to the nearest of the fresh nets
    fresh_distance: float | None = None  # the largest between two of these


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The result for one entry. `reasons` say why it is not a PASS."""

    name: str
    verdict: Verdict
    reasons: list[str] = field(default_factory=list)
    licence: str
    source: str
    architecture: str
    naming: str
    file: str | None = None
    sha256: str | None = None
    digest: str | None = None
    report: LoadReport | None = None
    fingerprint: Fingerprint | None = None
    statistics: Statistics | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns plain values, under the same keys whatever the result is."""
        return asdict(self)


def inspect(entry: ZooEntry, weights: Path) -> Inspection:
    """Checks an entry's file in the folder `weights`. What is wrong with it is in the verdict, never raised."""
    facts: dict[str, Any] = {
        "name": entry.name,
        "licence": entry.licence,
        "source": entry.source,
        "architecture": entry.architecture,
        "naming": entry.naming,
    }
    try:
        file = find_weight_file(entry, weights)
        if file is None:
            return Inspection(**facts, verdict="not here")
        facts |= {"file": file.path.name, "sha256": file.sha256, "digest": _digest_verdict(entry)}
        verify_weight_file(file)
        size = input_size(entry.architecture)
        encoder, facts["report"] = load_encoder(entry, file.path, "pooled", FRESH_SEEDS[0], size)
    except BenchmarkError as fault:
        return Inspection(**facts, verdict="FAIL", reasons=[str(fault)])
    fingerprint, statistics = measure_features(encoder, entry.architecture, entry.input, size)
    reasons = find_warnings(statistics)
    verdict: Verdict = "WARN" if reasons else "PASS"
    return Inspection(**facts, verdict=verdict, reasons=reasons, fingerprint=fingerprint, statistics=statistics)


def measure_features(
    encoder: nn.Module, architecture: str, statistics: InputStatistics, size: int
) -> tuple[Fingerprint | None, Statistics]:
    """Returns a pooled encoder's fingerprint (None where it is not finite) and statistics, on images of that size."""
    (fixed,) = _features(encoder, [synthetic_image(FIXED_IMAGE_SEED, size)], statistics)
    features = _features(encoder, _batch(size), statistics)
    if not (np.isfinite(fixed).all() and np.isfinite(features).all()):
        return None, Statistics(finite=False)
    fingerprint, constant = compute_fingerprint(fixed, size), _digits(_constant(features).mean())
    own, fresh = _profile(features), [p for p in _fresh_profiles(architecture, statistics, size) if p is not None]
    if own is None:
        return fingerprint, Statistics(finite=True, constant=constant)
    pairs = list(combinations(fresh, 2))
    return fingerprint, Statistics(
        finite=True,
        constant=constant,
        size=_digits(own[0]),
        spread=_digits(own[1]),
        directions=_digits(own[2]),
        distance=min(_distance(own, other) for other in fresh) if pairs else None,
        fresh_distance=max(_distance(one, two) for one, two in pairs) if pairs else None,
    )


def find_warnings(statistics: Statistics) -> list[str]:
    """Returns what in the statistics looks like a network that did not load, as sentences."""
    if not statistics.finite:
        return ["its features are not finite"]
    warnings = []
    if statistics.constant is not None and statistics.constant >= MAX_CONSTANT_SHARE:
        warnings.append(f"{statistics.constant:.0%} of its features are the same for every image")
    near, usual = statistics.distance, statistics.fresh_distance
    if near is not None and usual is not None and near <= DISTANCE_MARGIN * usual:
        warnings.append(
            f"its features are as a fresh net's (distance {near:.2g}; fresh nets from one another: {usual:.2g}): "
            f"the file may hold untrained weights"
        )
    return warnings


def input_size(architecture: str) -> int:
    """Returns the side of the images in pixels: the network's own where that is fixed, else 224."""
    config: Any = timm.get_pretrained_cfg(architecture)
    return int(config.input_size[-1]) if config is not None and config.fixed_input_size else DEFAULT_IMAGE_SIZE


def synthetic_image(seed: int, size: int) -> Floats:
    """Draws a color image, 3 x size x size in 0..1: a gradient, and smooth noise of all scales, one of which prevails."""
    numbers = _uniform(np.random.PCG64(seed))
    strength = [0.25 + next(numbers) * 4.0 * (scale == seed % len(OCTAVES)) for scale in range(len(OCTAVES))]
    angle = 2 * math.pi * next(numbers)
    line = np.linspace(-1.0, 1.0, size)
    slope = math.cos(angle) * line[:, None] + math.sin(angle) * line[None, :]
    channels = []
    for _ in range(3):
        image = next(numbers) * slope
        for cells, amplitude in zip(OCTAVES, strength, strict=True):
            noise = np.array([next(numbers) - 0.5 for _ in range((cells + 1) ** 2)]).reshape(cells + 1, cells + 1)
            image = image + amplitude * _enlarged(noise, size)
        channels.append((image - image.min()) / (image.max() - image.min()))
    return np.stack(channels)


def compute_fingerprint(features: Floats, size: int) -> Fingerprint:
    """Returns the fingerprint of one image's features, a vector."""
    means = np.array([piece.mean() for piece in np.array_split(features, min(NUM_PIECES, len(features)))])
    largest = float(np.abs(means).max())
    step = 10.0 ** (math.floor(math.log10(largest)) - 1) if largest else 1.0  # two digits of the largest
    coarse = ",".join(str(round(mean / step)) for mean in means) + f" x {step:.0e}"
    sd = features.std()
    grid = 10.0 ** (math.floor(math.log10(sd)) - 3) if sd else 1.0  # four digits of the sd: noise is no feature's size
    return Fingerprint(
        image_size=size,
        num_features=len(features),
        mean=_digits(round(features.mean() / grid) * grid),
        sd=_digits(sd),
        first=[_digits(round(number / grid) * grid) for number in features[:3]],
        hash=hashlib.sha256(coarse.encode()).hexdigest()[:8],
    )


def _digest_verdict(entry: ZooEntry) -> str:
    if entry.source.startswith("file:") or not entry.sha256:
        return "pinned on first use"
    return "as published" if len(entry.sha256) == 64 else f"first {len(entry.sha256)} digits as published"


def _batch(size: int) -> list[Floats]:
    return [synthetic_image(seed, size) for seed in range(NUM_PHANTOMS)]


def _features(encoder: nn.Module, images: list[Floats], statistics: InputStatistics) -> Floats:
    """Returns features, images x features, computed on the CPU one image at a time."""
    mean, sd = (torch.tensor(values).view(3, 1, 1) for values in (statistics.mean, statistics.std))
    encoder.eval()
    rows = []
    with torch.inference_mode():
        for image in images:
            batch = ((torch.from_numpy(image).float() - mean) / sd)[None]
            rows.append(encoder(batch).flatten().double().numpy())
    return np.stack(rows)


@lru_cache(maxsize=8)  # entries of one architecture are inspected one after another
def _fresh_profiles(architecture: str, statistics: InputStatistics, size: int) -> list[Floats | None]:
    """Returns the profiles of networks with random weights, one for each seed."""
    nets = (build_encoder(architecture, "pooled", seed, size) for seed in FRESH_SEEDS)
    return [_profile(_features(net, _batch(size), statistics)) for net in nets]


def _profile(features: Floats) -> Floats | None:
    """Returns size, spread and directions of features (images x features); None where they are not finite, or constant."""
    if not np.isfinite(features).all() or _constant(features).all():
        return None
    size = np.sqrt((features**2).mean())
    centered = features - features.mean(axis=0)
    spread = np.sqrt((centered**2).mean()) / size
    covariance = centered @ centered.T
    return np.array([size, spread, np.trace(covariance) ** 2 / (covariance**2).sum()])


def _constant(features: Floats) -> npt.NDArray[np.bool_]:
    return features.std(axis=0) <= CONSTANT * np.sqrt((features**2).mean())


def _distance(one: Floats, two: Floats) -> float:
    return _digits(float(np.linalg.norm(np.log(one / two))))


def _uniform(bits: Any) -> Iterator[float]:
    """Yields numbers in [0, 1) from a bit generator's raw words, whose stream NumPy never changes (NEP 19)."""
    while True:
        yield int(bits.random_raw()) / 2.0**64


def _enlarged(noise: Floats, size: int) -> Floats:
    image = functional.interpolate(
        torch.from_numpy(noise)[None, None], size=(size, size), mode="bilinear", align_corners=True
    )
    return image[0, 0].numpy()


def _digits(number: float, count: int = 4) -> float:
    return float(f"{number:.{count - 1}e}")
