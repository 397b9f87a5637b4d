"""Which windows of the token stream each training step reads: a function of (seed, step) alone.

Most rows are fresh: windows in a new random order each epoch, read with a zero state. A window
begins at a document's `<|endoftext|>` wherever one lies within reach of the window before: so
every document's beginning is read from a zero state, short documents share a window, and what
is read twice is only the last, cut document of such a window. Later epochs cut the inside of
long documents at other places. The other rows are carried: each reads SEGMENT windows one
after the other with the state carried from window to window, so that the model also meets the
states of long texts and does not get worse beyond the training length.
"""

import numpy as np

SEGMENT = 64  # windows that a carried row reads before it starts again elsewhere


def cut(bounds: np.ndarray, length: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Window starts that cover the stream, and whether each is the start of a document (`bounds`, ascending)."""
    starts, is_first, start, next_bound = [], [], 0, 0
    while start < length:
        while next_bound < len(bounds) and bounds[next_bound] <= start + window:
            next_bound += 1
        starts.append(start)
        bound = bounds[next_bound - 1] if next_bound else 0
        start = int(bound) if bound > start else start + window
    starts = np.array(starts)
    is_first = np.isin(starts, bounds)
    return starts, is_first


class Batches:
    def __init__(self, stream: np.ndarray, window: int, fresh: int, carried: int, seed: int):
        self.length, self.window, self.fresh, self.carried, self.seed = len(stream), window, fresh, carried, seed
        if self.length < 2 * SEGMENT * window:
            raise ValueError(f"{self.length} tokens are too few: at least {2 * SEGMENT * window} are needed")
        self.starts, self.is_first = cut(np.flatnonzero(stream == 0), self.length - 1, window)
        self.order_epoch, self.order = -1, np.empty(0, np.int64)

    def _fresh_start(self, index: int) -> int:
        epoch, position = divmod(index, len(self.starts))
        if epoch != self.order_epoch:
            random = np.random.default_rng((self.seed, epoch))
            phase = random.integers(self.window) if epoch else 0
            starts = np.where(self.is_first, self.starts, self.starts + phase)
            self.order = np.minimum(random.permutation(starts), self.length - self.window - 1)
            self.order_epoch = epoch
        return int(self.order[position])

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Window starts (rows) and whether each row keeps its state from the step before (rows)."""
        starts = [self._fresh_start(step * self.fresh + row) for row in range(self.fresh)]
        keep = [False] * self.fresh
        for row in range(self.carried):
            # Staggered, so that rows do not all start again in the same step.
            segment, position = divmod(step + row * SEGMENT // self.carried, SEGMENT)
            random = np.random.default_rng((self.seed, row, segment))
            start = random.integers(self.length - SEGMENT * self.window - 1)
            starts.append(int(start) + position * self.window)
            keep.append(position > 0)
        return np.array(starts), np.array(keep)
