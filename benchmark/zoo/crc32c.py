"""CRC-32C (Castagnoli; RFC 3720, appendix B.4) of large arrays at some 200 MB a second, by NumPy alone. Torch-free.

A checksum is linear over bits: the data are cut into equal lanes that run side by side, four bytes a step, and two
neighbours are joined by letting the first run over as many zero bytes as the second is long.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

POLYNOMIAL = 0x82F63B78
WORD = 4  # bytes a step
MAX_LANES = 4096
FEWEST_STEPS = 16
Words = npt.NDArray[np.uint32]
BITS = np.arange(32, dtype=np.uint32)


def crc32c(data: bytes | npt.NDArray[np.uint8]) -> int:
    """The checksum of these bytes."""
    content = np.frombuffer(data, np.uint8)
    lanes = 1
    while lanes < MAX_LANES and len(content) >= 2 * lanes * WORD * FEWEST_STEPS:
        lanes *= 2
    steps = -(-len(content) // (lanes * WORD))
    padded = np.zeros(lanes * steps * WORD, np.uint8)  # zeros in front change nothing
    padded[len(padded) - len(content) :] = content
    words = padded.view("<u4").reshape(lanes, steps)
    tables = _tables()
    state = np.zeros(lanes, np.uint32)
    for step in range(steps):
        state = state ^ words[:, step]
        state = (
            tables[3][state & 0xFF]
            ^ tables[2][state >> 8 & 0xFF]
            ^ tables[1][state >> 16 & 0xFF]
            ^ tables[0][state >> 24]
        )
    run = _over_zeros(steps * WORD)
    while len(state) > 1:
        state = _applied(run, state[::2]) ^ state[1::2]
        run = _applied(run, run)
    start = _applied(_over_zeros(len(content)), np.array([0xFFFFFFFF], np.uint32))
    return int(state[0] ^ start[0]) ^ 0xFFFFFFFF


@cache
def _tables() -> Words:
    """What a byte, followed by 0 to 3 zero bytes, makes of an empty state: 4 x 256."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(POLYNOMIAL), table >> 1)
    tables = [table]
    for _ in range(3):
        tables.append(table[tables[-1] & 0xFF] ^ tables[-1] >> 8)
    return np.stack(tables).astype(np.uint32)


@lru_cache(maxsize=1024)
def _over_zeros(count: int) -> Words:
    """What `count` zero bytes make of each of the 32 bits of a state."""
    bits = np.uint32(1) << BITS
    made, run = bits, _tables()[0][bits & 0xFF] ^ bits >> 8
    while count:
        if count & 1:
            made = _applied(run, made)
        run, count = _applied(run, run), count >> 1
    return made


def _applied(run: Words, state: Words) -> Words:
    made: Words = np.bitwise_xor.reduce((state[:, None] >> BITS & 1) * run, axis=1)
    return made
