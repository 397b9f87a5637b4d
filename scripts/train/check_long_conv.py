"""Checks the long convolution's kernels against Fourier transforms in f64; a training of S4 on a GPU begins with it.

    python3 scripts/train/check_long_conv.py

Without a GPU, TRITON_INTERPRET=1 has Triton's interpreter run the kernels on the CPU, where f32 is multiplied as f32;
it needs a NumPy before 2.4.
"""

import torch
from check_errors import compare
from icl_s4 import fourier_conv
from long_conv import long_conv

# TF32 has 10 bits behind the point, bf16 has 7 (in the interpreter it is cut and not rounded).
TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 2e-2}
# (batch, channels, T): tiles of 32 and of 64; lengths that fill them and that do not; more rows than a program takes; one position.
SHAPES = ((3, 2, 81), (20, 3, 128), (64, 2, 201), (70, 2, 192), (2, 2, 1))


def check(device: str) -> dict:
    """Returns the worst relative error of each type; raises if one is out of tolerance."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for dtype in TOLERANCE:
        for batch, channels, T in SHAPES:
            x = torch.randn(batch, channels, T, device=device).to(dtype)
            k = torch.randn(channels, T, device=device) * 0.98 ** torch.arange(T, device=device)
            weight = torch.randn(batch, channels, T, device=device).to(dtype)
            ours, plain = (
                [x.clone().requires_grad_(), k.clone().requires_grad_()],
                [x.double().requires_grad_(), k.double().requires_grad_()],
            )
            got, want = long_conv(*ours), fourier_conv(*plain)
            got_grads = torch.autograd.grad((got.float() * weight.float()).sum(), ours)
            want_grads = torch.autograd.grad((want * weight.double()).sum(), plain)
            name = f"long_conv {batch}×{channels}×{T}"
            compare(name, dtype, [got, *got_grads], [want, *want_grads], worst, TOLERANCE)
    return {str(dtype).removeprefix("torch."): error for dtype, error in worst.items()}


if __name__ == "__main__":
    print("worst relative errors:", check("cuda" if torch.cuda.is_available() else "cpu"))
