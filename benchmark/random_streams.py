"""Named random streams: what is drawn depends on the cell's seed, a purpose, and where in the run it is drawn."""

import hashlib
from enum import Enum


class Purpose(str, Enum):
    """What a random stream is for. The values are part of every draw: they are frozen as keys are."""

    AUGMENTATION = "augmentation"  # of one training image in one epoch
    BAG = "bag"  # which two images of a bag make a pair in one epoch
    DROPOUT = "dropout"
    ENCODER = "encoder"  # the first weights of an encoder
    HEAD = "head"  # the first weights of what stands on an encoder
    ORDER = "order"  # of the training images in one epoch
    SUBSET = "subset"  # which training images a fraction or a subset has
    UNCERTAIN = "uncertain"  # what uncertain labels train as
    VIEW = "view"  # one of the two augmented views of an image in one epoch


def stream(seed: int, purpose: Purpose, *where: int) -> int:
    """Returns the seed (63 bits) of a named random stream: a pure function of the cell's seed, the purpose, and where in
    the run it is drawn (epoch, example).

    A draw depends on nothing drawn before it, so a resumed run, another model and another number of threads see
    the same order, crops and subset. Raises ValueError for what is no purpose.
    """
    text = "/".join([str(seed), Purpose(purpose).value, *map(str, where)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
