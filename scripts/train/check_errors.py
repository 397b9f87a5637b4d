"""How far a kernel's values may be from plain autograd in f64."""

import torch

# Largest ‖got − want‖ / ‖want‖ of any output or gradient.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}


def compare(name: str, dtype: torch.dtype, got, want, worst: dict, tolerance: dict = TOLERANCE) -> None:
    """Raises if one of the values is out of tolerance, and keeps the worst error of each type."""
    for i, (a, b) in enumerate(zip(got, want)):
        error = ((a.double() - b.double()).norm() / b.double().norm()).item()
        if not error <= tolerance[dtype]:
            raise AssertionError(f"{name}, {dtype}, value {i}: relative error {error:.2e}")
        worst[dtype] = max(worst[dtype], error)
