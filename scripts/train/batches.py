"""Which windows of the token stream each training step reads: a function of (seed, step) alone.

Most rows are fresh: windows in a new random order each epoch, read with a zero state. In
the first epoch the windows of a document start at its `<|endoftext|>`; later epochs cut
between at other places. The other rows are carried: each reads SEGMENT windows one after
the other with the state carried from window to window, so that the model also meets the
states of long texts and does not get worse beyond the training length.
"""

import numpy as np

SEGMENT = 64  # windows that a carried row reads before it starts again elsewhere


class Batches:
    def __init__(self, stream: np.ndarray, window: int, fresh: int, carried: int, seed: int):
        self.length, self.window, self.fresh, self.carried, self.seed = len(stream), window, fresh, carried, seed
        if self.length < 2 * SEGMENT * window:
            raise ValueError(f"{self.length} tokens are too few: at least {2 * SEGMENT * window} are needed")
        bounds = np.append(np.flatnonzero(stream == 0), self.length)
        # The window a document's last piece falls into runs on into the next document.
        self.starts, self.is_first = [], []
        for start, end in zip(bounds[:-1], bounds[1:]):
            windows = np.arange(start, end, window)
            self.starts.append(windows)
            self.is_first.append(windows == start)
        self.starts, self.is_first = np.concatenate(self.starts), np.concatenate(self.is_first)
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
