"""Where the time of a training step goes, by kind of GPU kernel, and the tokens a second.

    python3 scripts/train/profile_step.py [--optimizer muon]

Random tokens: the time does not depend on what they say.
"""

import argparse
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from lm import Training
from torch.profiler import ProfilerActivity, profile

WARM_STEPS, TIMED_STEPS, PROFILED_STEPS = 10, 60, 5
# The first kind whose mark stands in a kernel's name.
KINDS = {
    "matrix products": ("gemm", "cutlass", "nvjet", "cublas", "xmma"),
    "scan": ("selective_scan", "_forward_scan", "_backward_scan"),
    "optimizer and clipping": ("multi_tensor", "foreach", "adam"),
    "cross-entropy": ("_loss_and_gradient",),
}


def kind_of(name: str) -> str:
    lower = name.lower()
    return next((kind for kind, marks in KINDS.items() if any(mark in lower for mark in marks)), name[:60])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizer", default="muon")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "books.npy", np.random.default_rng(0).integers(1, 8192, 4_000_000).astype(np.uint16))
        args = Namespace(
            tokens=Path(folder), seed=0, window=1024, fresh=48, carried=16, lr=1e-3, warmup=100, steps=1000,
            weight_decay=0.1, optimizer=options.optimizer, init=None,
        )  # fmt: skip
        training = Training(args)
        for _ in range(WARM_STEPS):
            training.advance()
        torch.cuda.synchronize()
        start = time.monotonic()
        for _ in range(TIMED_STEPS):
            training.advance()
        torch.cuda.synchronize()
        seconds = (time.monotonic() - start) / TIMED_STEPS
        tokens = args.window * (args.fresh + args.carried)
        print(f"{torch.cuda.get_device_name()}: {1000 * seconds:.1f} ms a step, {tokens / seconds:.0f} tokens a second")
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            for _ in range(PROFILED_STEPS):
                training.advance()
            torch.cuda.synchronize()
    sums: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kind_of(event.key)
        sums[kind] = sums.get(kind, 0.0) + event.self_device_time_total / 1000 / PROFILED_STEPS
    for kind, ms in sorted(sums.items(), key=lambda item: -item[1])[:16]:
        print(f"{ms:8.2f} ms  {kind}")


if __name__ == "__main__":
    main()
