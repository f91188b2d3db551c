"""Decode once: every image of a part as uint8 at one size, memory-mapped, shared by all models and seeds.

A cache is a folder: `pixels.bin` (all images end to end), `masks.bin` (segmentation), `places.npy` (where each image
starts, its height, width, channels), and `cache.json`, written last: its existence means that the rest is whole. A
cache is built under a lock in a folder beside its own and renamed; a killed build is continued by the next one.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.dicom import Windows
from benchmark.data.pixels import Mask, Pixels, read_image, read_mask
from benchmark.disk import DiskFull, digest_of, space_for, write_whole
from benchmark.fault import Fault

FORMAT = 1
CHUNK = 64  # images between two checkpoints of a build
NATIVE_LIMIT = 1024  # "native" keeps at most this short side, the papers' largest
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Working:
    """At what size images are kept. `short_side` keeps the aspect and never enlarges; `square` is exact.

    Classification resizes as torchvision does on PIL images (bilinear, antialiased); segmentation (`masks` not empty)
    as the first paper's code does with OpenCV, its masks by nearest neighbour.
    """

    shape: Literal["short_side", "square"]
    size: int
    resize: Literal["antialias", "nearest", "bilinear"] = "antialias"
    masks: tuple[str, ...] = ()

    def image(self, pixels: Pixels) -> Pixels:
        """One image at working size."""
        height, width = pixels.shape[:2]
        if self.shape == "short_side":
            if min(height, width) <= self.size:
                return pixels
            # torchvision cuts the long side's fraction off, it does not round
            long = int(self.size * max(height, width) / min(height, width))
            new = (self.size, long) if width <= height else (long, self.size)
        else:
            new = (self.size, self.size)
        if new == (width, height):
            return pixels
        if self.resize == "antialias":
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            resized = np.asarray(image.resize(new, Image.Resampling.BILINEAR))
        else:
            how = cv2.INTER_NEAREST if self.resize == "nearest" else cv2.INTER_LINEAR
            resized = np.asarray(cv2.resize(pixels, new, interpolation=how))
        return resized[..., None] if resized.ndim == 2 else resized

    def mask(self, mask: Mask) -> NDArray[np.uint8]:
        """One mask at working size, 0 or 1."""
        values = mask.astype(np.uint8)
        if self.resize == "bilinear":  # as the first paper's code treats DRIVE: interpolate, then half
            grey = cv2.resize(values * 255, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
            return (np.asarray(grey) > 127).astype(np.uint8)
        return np.asarray(cv2.resize(values, (self.size, self.size), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a cache is made from: images in their order, and for segmentation the named masks of each."""

    root: Path
    images: Sequence[str]
    masks: Sequence[Sequence[str]] = ()  # per image, one name per entry of Working.masks
    data_digest: str
    phantom: bool
    windows: Windows | None = None  # of CT
    tolerant: bool = False  # an image that cannot be decoded becomes a black one, and is told


class Images(Protocol):
    """Decoded images and their masks, by row: a cache, or the files themselves."""

    @property
    def channels(self) -> int: ...
    def image(self, row: int) -> Pixels: ...
    def masks(self, row: int) -> NDArray[np.uint8]: ...
    @property
    def unreadable(self) -> Mapping[int, str]: ...


@dataclass(frozen=True)
class Cache:
    """A finished cache. Images are read-only views into a memory map."""

    folder: Path

    @cached_property
    def told(self) -> dict[str, Any]:
        """What `cache.json` says."""
        return dict(json.loads((self.folder / "cache.json").read_text()))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Images x (offset, height, width, channels)."""
        return np.asarray(np.load(self.folder / "places.npy"))

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        # a plain view: slicing the memmap class itself costs more than a crop
        return np.asarray(np.memmap(self.folder / "pixels.bin", dtype=np.uint8, mode="r"))

    @cached_property
    def _masks(self) -> NDArray[np.uint8]:
        size, count = self.told["working"]["size"], len(self.told["working"]["masks"])
        return np.asarray(np.memmap(self.folder / "masks.bin", dtype=np.uint8, mode="r")).reshape(-1, size, size, count)

    @cached_property
    def unreadable(self) -> dict[int, str]:
        """Row -> why its image could not be decoded; black images stand for these."""
        return {int(row): reason for row, reason in self.told.get("unreadable", {}).items()}

    @property
    def channels(self) -> int:
        """1 where every image is grey, else 3."""
        return int(self.places[:, 3].max(initial=1))

    def image(self, row: int) -> Pixels:
        """One image, height x width x its own channels."""
        start, height, width, channels = self.places[row]
        return self._pixels[start : start + height * width * channels].reshape(height, width, channels)

    def masks(self, row: int) -> NDArray[np.uint8]:
        """One image's masks, size x size x their number, 0 or 1."""
        return self._masks[row]


@dataclass(frozen=True, kw_only=True)
class Uncached:
    """Images decoded anew each time, for sets that no disk would hold twice. `unreadable` grows with what is met."""

    source: Source
    working: Working
    unreadable: dict[int, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """As many as there are windows; without them 3, whatever the files have."""
        return len(self.source.windows) if self.source.windows else 3

    def image(self, row: int) -> Pixels:
        """One image, height x width x its own channels. Raises Fault where it cannot be decoded, unless tolerant."""
        pixels, _, reason = _decode(self.source, self.working, row)
        if reason:
            self.unreadable[row] = reason
        return pixels

    def masks(self, row: int) -> NDArray[np.uint8]:
        """One image's masks, size x size x their number, 0 or 1."""
        return _decode(self.source, self.working, row)[1]


def open_cache(
    source: Source, working: Working, home: Path, *, name: str, progress: Progress, threads: int = 2
) -> Cache:
    """The cache of these images at this size, built if it is not there. Raises Fault for an unreadable image or mask,
    a full disk, or phantoms among official images.
    """
    identity = {
        "format": FORMAT,
        "data": source.data_digest,
        "working": asdict(working),
        "images": digest_of([list(source.images), [list(m) for m in source.masks]]),
        **({"windows": source.windows} if source.windows else {}),
        **({"tolerant": True} if source.tolerant else {}),
    }
    folder = home / f"{name}-{working.size}-{digest_of(identity)[:16]}"
    if not (folder / "cache.json").is_file():
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not (folder / "cache.json").is_file():
                _build(source, working, folder, identity, progress, threads)
    return Cache(folder)


def estimated_bytes(source: Source, working: Working, sample: int = 8) -> int:
    """About how large a cache of these images will be, from a few of them spread over all."""
    total = len(source.images)
    rows = np.unique(np.linspace(0, total - 1, min(sample, total)).round().astype(int))
    sizes = [pixels.nbytes + masks.nbytes for pixels, masks, _ in (_decode(source, working, int(row)) for row in rows)]
    return round(float(np.mean(sizes)) * total) if sizes else 0


def _build(
    source: Source, working: Working, folder: Path, identity: dict[str, Any], progress: Progress, threads: int
) -> None:
    """Write into a neighbour, a chunk at a time, each followed by a checkpoint; then rename."""
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    state = _resumed(partial)
    total = len(source.images)
    progress(len(state["places"]), total)
    _enough_space(state, total, partial)
    with (
        space_for(partial),
        (partial / "pixels.bin").open("ab") as pixels_file,
        (partial / "masks.bin").open("ab") as masks_file,
        ThreadPoolExecutor(threads) as pool,
    ):
        for start in range(len(state["places"]), total, CHUNK):
            rows = range(start, min(start + CHUNK, total))
            chunk = sha256()
            for row, (pixels, masks, reason) in zip(
                rows, pool.map(lambda row: _decode(source, working, row), rows), strict=True
            ):
                if reason:
                    state["unreadable"][row] = reason
                state["places"].append([state["bytes"], *pixels.shape])
                state["bytes"] += pixels.nbytes
                for file, content in ((pixels_file, pixels.tobytes()), (masks_file, masks.tobytes())):
                    file.write(content)
                    chunk.update(content)
            state["digests"].append(chunk.hexdigest())
            for file in (pixels_file, masks_file):
                file.flush()
                os.fsync(file.fileno())
            state["mask_bytes"] = masks_file.tell()
            write_whole(partial / "progress.json", json.dumps(state))
            if start == 0:
                _enough_space(state, total, partial)
            progress(rows.stop, total)
    np.save(partial / "places.npy", np.array(state["places"], dtype=np.int64).reshape(-1, 4))
    told = {**identity, "num_images": total, "bytes": state["bytes"], "digest": digest_of(state["digests"])}
    told["unreadable"] = state["unreadable"]
    write_whole(partial / "cache.json", json.dumps(told, indent=1))
    (partial / "progress.json").unlink(missing_ok=True)
    if not working.masks:
        (partial / "masks.bin").unlink()
    partial.replace(folder)


def _resumed(partial: Path) -> dict[str, Any]:
    """Where a killed build stands, its files cut back to the last checkpoint."""
    state: dict[str, Any] = {"places": [], "bytes": 0, "mask_bytes": 0, "digests": [], "unreadable": {}}
    if (partial / "progress.json").is_file():
        state |= json.loads((partial / "progress.json").read_text())  # one of an earlier version may tell less
    for name, size in (("pixels.bin", state["bytes"]), ("masks.bin", state["mask_bytes"])):
        with (partial / name).open("ab") as file:
            file.truncate(size)
    return state


def _enough_space(state: dict[str, Any], total: int, partial: Path) -> None:
    """After the first chunk, refuse a cache that cannot fit, before hours of decoding."""
    done = len(state["places"])
    if not done:
        return
    wanted = (state["bytes"] + state["mask_bytes"]) * (total - done) // done
    free = shutil.disk_usage(partial).free
    if wanted > free:
        raise DiskFull(
            f"the pixel cache {partial.parent} needs {wanted / 1e9:,.1f} GB more and {free / 1e9:,.1f} GB are free: point "
            f"BENCHMARK_HOME at a larger disk, or lower --set train_resolution; what is done is kept"
        )


def _decode(source: Source, working: Working, row: int) -> tuple[Pixels, NDArray[np.uint8], str]:
    """Image and masks at working size; and why a tolerant source has a black image here, or nothing."""
    path = source.root / source.images[row]
    try:
        pixels, is_phantom = read_image(path, source.windows)
    except Fault as fault:
        if not source.tolerant:
            raise
        return np.zeros((working.size, working.size, 1), np.uint8), np.empty(0, np.uint8), str(fault)
    if is_phantom and not source.phantom:
        raise Fault(f"{path} is a phantom in a folder that is not marked as one: its results would pass for real ones")
    if not working.masks:
        return working.image(pixels), np.empty(0, np.uint8), ""
    try:
        masks = [working.mask(read_mask(name, source.root, pixels.shape[:2])) for name in source.masks[row]]
    except Fault as fault:
        raise Fault(f"{path}: its mask: {fault}") from fault  # run lengths have no file of their own to be named by
    return working.image(pixels), np.stack(masks, axis=-1), ""
