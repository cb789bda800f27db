"""Whole numbers out of the bit stream of one XTC frame, never past its end. Compiled loops only."""

import numpy as np

from simtools.core.accelerate import kernel

__all__ = ["FIRST_SMALL", "LARGE", "LAST_SMALL", "decode_positions"]

# Values of a small difference, by index: 2^(index / 3) but for the writers' rounding. Where atoms are over
# 2^24 units apart writers step behind their table, and what they write then nobody can read.
_SIZES = np.array(
    [0] * 9
    + [8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406, 512, 645, 812, 1024]
    + [1290, 1625, 2048, 2580, 3250, 4096, 5060, 6501, 8192, 10321, 13003, 16384, 20642, 26007, 32768]
    + [41285, 52015, 65536, 82570, 104031, 131072, 165140, 208063, 262144, 330280, 416127, 524287, 660561]
    + [832255, 1048576, 1321122, 1664510, 2097152, 2642245, 3329021, 4194304, 5284491, 6658042, 8388607]
    + [10568983, 13316085, 16777216],
    dtype=np.int64,
)
FIRST_SMALL, LAST_SMALL = 9, len(_SIZES) - 1
LARGE = 0xFFFFFF  # a range beyond this is written axis by axis
_LONGEST_RUN = 24


@kernel
def _bits(data, bit, n_bits):
    """Return `n_bits` (at most 32) from `bit` on, most significant first."""
    value = np.int64(0)
    while n_bits > 0:
        free = 8 - (bit & 7)
        take = min(free, n_bits)
        byte = np.int64(data[bit >> 3])
        value = (value << take) | ((byte >> (free - take)) & ((1 << take) - 1))
        bit += take
        n_bits -= take
    return value


@kernel
def _triple(data, bit, n_bits, size_b, size_c, digits, found):
    """Take one number, least significant byte first, apart into three, the last two below their sizes."""
    if n_bits <= 62:
        value = np.uint64(0)
        place, left = np.uint64(0), n_bits
        start, shift = bit >> 3, 8 - (bit & 7)
        while left > 0:
            pair = (np.int64(data[start]) << 8) | np.int64(data[start + 1])
            byte = (pair >> shift) & 255
            if left < 8:
                byte >>= 8 - left
            value |= np.uint64(byte) << place
            place += np.uint64(8)
            start += 1
            left -= 8
        rest = value // np.uint64(size_c)
        found[2] = np.int64(value - rest * np.uint64(size_c))
        first = rest // np.uint64(size_b)
        found[1] = np.int64(rest - first * np.uint64(size_b))
        found[0] = np.int64(first)
        return
    n_digits = (n_bits + 7) // 8
    for k in range(n_digits):
        digits[k] = _bits(data, bit + 8 * k, min(8, n_bits - 8 * k))
    for axis in (2, 1):
        size = size_c if axis == 2 else size_b
        rest = np.int64(0)
        for k in range(n_digits - 1, -1, -1):
            rest = (rest << 8) | digits[k]
            digits[k] = rest // size
            rest -= digits[k] * size
        found[axis] = rest
    found[0] = 0
    for k in range(min(n_digits, 6) - 1, -1, -1):
        found[0] = (found[0] << 8) | digits[k]


@kernel
def decode_positions(data, n_bytes, low, size, n_bits, small, whole_nc):
    """Decode one frame; returns (code, atom): 0 done, else what is wrong from which atom on.

    `data` is uint8 with at least 2 bytes behind its `n_bytes`; positions are `low` and less than `size` above
    it, int64 (3,), read as one number of ``n_bits[0]`` bits, or if that is 0 axis by axis; `small` is the
    index of the first small difference. Fills `whole_nc`, int64 (n_atoms, 3). Codes: 1 the bits end early,
    2 a position out of range, 3 a run that is too long, 4 a small difference out of the table, 5 bytes are
    left over, 6 the lowest or highest position is not the one said.
    """
    n_atoms, end, bit = len(whole_nc), 8 * n_bytes, 0
    digits, now, before = np.zeros(16, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    largest = min(small + 8, LAST_SMALL + 1)
    smallest, largest = max(largest - 8, FIRST_SMALL), min(largest, LAST_SMALL)
    total = n_bits[0] if n_bits[0] > 0 else n_bits[1] + n_bits[2] + n_bits[3]
    run, i = 0, 0
    while i < n_atoms:
        if bit + total + 1 > end:
            return 1, i
        if n_bits[0] > 0:
            _triple(data, bit, n_bits[0], size[1], size[2], digits, now)
            bit += n_bits[0]
        else:
            for c in range(3):
                now[c] = _bits(data, bit, n_bits[1 + c])
                bit += n_bits[1 + c]
        for c in range(3):
            if now[c] >= size[c]:
                return 2, i
            now[c] += low[c]
        change = 0
        flag = _bits(data, bit, 1)
        bit += 1
        if flag == 1:
            if bit + 5 > end:
                return 1, i
            run = _bits(data, bit, 5)
            bit += 5
            change = run % 3 - 1
            run -= change + 1
            if run > _LONGEST_RUN:
                return 3, i
        n_small = run // 3
        if i + 1 + n_small > n_atoms:
            return 3, i
        if bit + n_small * small > end:
            return 1, i
        # the first of a run is written after the second: oxygen after hydrogen
        first = i + 1 if n_small > 0 else i
        for c in range(3):
            whole_nc[first, c] = now[c]
            before[c] = now[c]
        steps, half = _SIZES[small], _SIZES[small] // 2
        for k in range(n_small):
            _triple(data, bit, small, steps, steps, digits, now)
            bit += small
            place = i if k == 0 else i + 1 + k
            for c in range(3):
                if now[c] >= steps:
                    return 2, place
                before[c] += now[c] - half
                if before[c] < low[c] or before[c] - low[c] >= size[c]:
                    return 2, place
                whole_nc[place, c] = before[c]
        i += 1 + n_small
        small += change
        if i < n_atoms and not smallest <= small <= largest:
            return 4, i
    left = n_bytes - (bit + 7) // 8
    if left > 3:
        return 5, n_atoms
    for k in range(n_bytes - left, n_bytes):
        if data[k] != 0:
            return 5, n_atoms
    for c in range(3):
        lowest, highest = whole_nc[0, c], whole_nc[0, c]
        for i in range(1, n_atoms):
            lowest, highest = min(lowest, whole_nc[i, c]), max(highest, whole_nc[i, c])
        if lowest != low[c] or highest != low[c] + size[c] - 1:
            return 6, n_atoms
    return 0, n_atoms
