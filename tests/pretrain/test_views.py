"""Pairs of views: drawn from named streams, of one image or of two of a bag, and as strong as the papers have them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.cache import open_cache
from benchmark.data.decoding import ImageFiles, StoredSize
from benchmark.data.rendering import PixelSource
from benchmark.data.views import VIEWS, PairSplit, photograph_views, radiograph_views

NUM = 13


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Images of gray steps, or of colors, each of its own brightness."""
    found = {}
    for mode in ("L", "RGB"):
        folder = tmp_path_factory.mktemp(mode)
        for number in range(NUM):
            ramp = np.linspace(20, 100, 48)[None, :] + 8 * number
            pixels = np.repeat(ramp, 40, 0).astype(np.uint8)
            color = np.stack([pixels, pixels // 2, pixels // 4], -1)
            Image.fromarray(pixels if mode == "L" else color).save(folder / f"{number:02d}.png")
        names = sorted(path.name for path in folder.iterdir())
        files = ImageFiles(root=folder, images=names, data_digest="0" * 16, phantom=True)
        size = StoredSize(shape="short_side", size=40)
        cache = open_cache(files, size, Path(folder) / "cache", name=mode, progress=lambda *_: None)
        found[mode] = PixelSource(cache=cache, positions=np.arange(NUM), targets=np.zeros((NUM, 0), np.float32))
    return found


def pairs(source, bags=None, **changed):
    facts = {"views": "photographs", "image_size": 32, "seed": 3, "device": torch.device("cpu"), "threads": 2}
    return PairSplit(source=source, bags=bags or [np.array([n]) for n in range(NUM)], **{**facts, **changed})


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_batch_is_the_first_views_and_then_the_second_ones(sources, mode, views):
    batches = list(pairs(sources[mode], views=views).epoch(1, 4))

    assert [len(batch) for batch in batches] == [4, 4, 4], "the thirteenth fills no batch"
    channels = 1 if mode == "L" else 3
    assert {tuple(batch.images.shape) for batch in batches} == {(8, channels, 32, 32)}
    assert {batch.images.dtype for batch in batches} == {torch.uint8}
    assert list(batches[0].pieces(1)) == [batches[0]], "it is taken whole"
    assert len(set(np.concatenate([batch.rows for batch in batches]))) == 12
    for batch in batches:
        assert not torch.equal(batch.images[:4], batch.images[4:])


def test_an_epoch_is_the_same_whatever_it_is_begun_from_and_however_many_threads_there_are(sources):
    whole = list(pairs(sources["RGB"]).epoch(2, 4))
    rest = list(pairs(sources["RGB"], threads=1).epoch(2, 4, first=1))
    other = list(pairs(sources["RGB"]).epoch(3, 4))

    assert all(torch.equal(one.images, again.images) for one, again in zip(whole[1:], rest, strict=True))
    assert not torch.equal(whole[0].images, other[0].images)


def test_two_images_of_a_bag_make_its_pair_and_one_image_makes_both_views(sources):
    split = pairs(sources["L"], bags=[np.array([0, 1, 2]), np.array([7])], views="crops")

    drawn = [split.images_of(epoch, 0) for epoch in range(200)]
    assert {frozenset(pair) for pair in drawn} == {frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2))}
    assert split.images_of(5, 1) == (7, 7)
    assert split.images_of(9, 0) == pairs(sources["L"], bags=split.bags).images_of(9, 0)


def test_views_of_a_bag_of_one_are_those_of_simclr(sources):
    simclr, micle = pairs(sources["RGB"]), pairs(sources["RGB"], bags=[np.array([n]) for n in range(NUM)])

    for one, other in zip(simclr.epoch(1, 4), micle.epoch(1, 4), strict=True):
        assert torch.equal(one.images, other.images)


def test_operations_are_the_papers_in_their_order():
    def named(operations):
        return [(type(operation).__name__, operation.p) for operation in operations]

    crop = [("RandomResizedCrop", 1), ("HorizontalFlip", 0.5)]
    photographs = photograph_views(224, color=True)
    assert named(photographs) == [*crop, ("ColorJitter", 0.8), ("ToGray", 0.2), ("GaussianBlur", 0.5)]
    assert named(radiograph_views(224, color=False)) == [("Rotate", 1), *crop, ("ColorJitter", 0.8)]
    jitter, blur = photographs[2], photographs[4]
    assert jitter.brightness == jitter.contrast == jitter.saturation == pytest.approx((0.2, 1.8))
    assert jitter.hue == pytest.approx((-0.2, 0.2))
    assert (blur.blur_limit, blur.sigma_limit) == ((23, 23), (0.1, 2.0)), "224 // 10 gives 23 taps in SimCLR's code"
    assert radiograph_views(224, color=True)[3].brightness == pytest.approx((0.6, 1.4))
