"""Checks the cross-scan's kernels against plain autograd in f64 on fresh random inputs; the training of images starts with it.

    python3 scripts/train/check_cross_scan.py

Without a GPU, TRITON_INTERPRET=1 has Triton's interpreter run the kernels on the CPU.
"""

import torch
from check_errors import TOLERANCE, compare
from cross_scan import cross_scan
from plain_cross_scan import plain_cross_scan

# (batch, height, width, DI): one block of channels and a part of one; pixels that fill chunks and that do not; one row.
SHAPES = ((2, 8, 8, 48), (3, 3, 5, 32), (1, 1, 7, 80), (2, 16, 4, 96))


def check(device: str) -> dict:
    """Returns the worst relative error of each type; raises if one is out of tolerance."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for dtype in TOLERANCE:
        for batch, height, width, DI in SHAPES:
            L = height * width

            def draw(*shape):
                return torch.randn(*shape, device=device)

            inputs = [draw(batch, L, DI).to(dtype), draw(4, batch * L, DI).to(dtype), draw(batch * L, 4, 2).to(dtype)]
            inputs += [-torch.rand(4, DI, device=device) - 0.1, draw(4, DI), draw(4, DI) - 1]
            weight = draw(batch, L, DI).to(dtype)
            ours = [t.clone().requires_grad_() for t in inputs]
            plain = [t.double().requires_grad_() for t in inputs]
            got = cross_scan(*ours, height, width)[0]
            want = plain_cross_scan(*plain, height, width)
            got_grads = torch.autograd.grad((got.float() * weight.float()).sum(), ours)
            want_grads = torch.autograd.grad((want * weight.double()).sum(), plain)
            compare(f"cross_scan {batch}×{height}×{width}×{DI}", dtype, [got, *got_grads], [want, *want_grads], worst)
    return {str(dtype).removeprefix("torch."): error for dtype, error in worst.items()}


if __name__ == "__main__":
    print("worst relative errors:", check("cuda" if torch.cuda.is_available() else "cpu"))
