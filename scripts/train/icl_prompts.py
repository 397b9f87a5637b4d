"""The evaluation's prompts: the same on every machine and in every language, since scripts/lib/icl-prompts.ts draws them too.

Prompt i comes from Philox4x32-10 (Salmon et al. 2011) with key (SEED + i, 0) and counters 0, 1, 2, … A draw of n numbers takes
⌈n / 4⌉ blocks. A word w is the uniform number (w + ½) / 2³²; two words u, v are the normal numbers √(−2 ln u)·cos 2πv and
√(−2 ln u)·sin 2πv, rounded to f32.

    python3 scripts/train/icl_prompts.py > test/golden/icl-prompts.json
"""

import json
from functools import lru_cache

import numpy as np
import torch
from icl_tasks import TASKS, Prompts, Task

SEED, COUNT = 20_240, 1280
MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)


def philox(first: int, blocks: int, key: int) -> np.ndarray:
    """(blocks, 4) words as u64."""
    counter = np.arange(first, first + blocks, dtype=np.uint64)
    zero = np.zeros_like(counter)
    c0, c1, c2, c3 = counter & LOW, counter >> np.uint64(32), zero, zero
    k0, k1 = key, 0
    for _ in range(10):
        product0, product1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1 = (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), product1 & LOW
        c2, c3 = (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), product0 & LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1)


class Counter:
    """What icl_tasks.py draws from in place of a torch.Generator."""

    def __init__(self, key: int):
        self.key, self.used = key, 0

    def _unit(self, count: int) -> np.ndarray:
        blocks = -(-count // 4)
        words = philox(self.used, blocks, self.key)
        self.used += blocks
        return (words.astype(np.float64) + 0.5) / 2**32

    def uniform(self, *shape: int) -> torch.Tensor:
        """f64, so that hardly ever two are the same."""
        count = int(np.prod(shape))
        return torch.from_numpy(self._unit(count).ravel()[:count].reshape(shape))

    def normal(self, *shape: int) -> torch.Tensor:
        count = int(np.prod(shape))
        u, v = self._unit(count).reshape(-1, 2).T
        radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
        both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)
        return torch.from_numpy(both.ravel()[:count].reshape(shape))


@lru_cache(maxsize=4)
def evaluation_prompts(task: Task, count: int, device: str) -> Prompts:
    """The first so many; drawn on the CPU, whatever the device."""
    dims = torch.tensor(task.inputs)
    drawn = [task.draw(1, dims, "cpu", Counter(SEED + i)) for i in range(count)]

    def joined(name: str) -> torch.Tensor | None:
        parts = [getattr(prompt, name) for prompt in drawn]
        return None if parts[0] is None else torch.cat(parts).to(device)

    return Prompts(joined("tokens"), joined("targets"), joined("clean"), joined("facts"))


def piece(prompts: Prompts, first: int, end: int) -> Prompts:
    return Prompts(prompts.tokens[first:end], prompts.targets[first:end], prompts.clean[first:end])


def sample(task: Task, index: int) -> dict:
    """What a test compares: each number of a prompt counts, the i-th i times."""

    def weighed(values: torch.Tensor) -> float:
        flat = values.flatten().double()
        return float((flat * torch.arange(1, len(flat) + 1)).sum())

    prompts = evaluation_prompts(task, index + 1, "cpu")
    tokens, targets, clean = prompts.tokens[index], prompts.targets[index], prompts.clean[index]
    sums = {"tokens": weighed(tokens), "targets": weighed(targets), "clean": weighed(clean)}
    return {"prompt": index, "shape": list(tokens.shape), "first": tokens[0].tolist(), "last": tokens[-1].tolist(), "sums": sums}


if __name__ == "__main__":
    print(json.dumps({name: sample(task, 7) for name, task in TASKS.items()}, indent=1))
