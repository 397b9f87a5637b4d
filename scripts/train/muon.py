"""Muon (Jordan 2024): momentum whose matrices are made orthogonal before they are applied.

    m = β·m + (1 − β)·g;   u = (1 − β)·g + β·m;   W ← W − lr·(0.2·√max(rows, cols)·UVᵀ + λ·W)

with UΣVᵀ the singular value decomposition of u, to which five Newton–Schulz steps in bf16 come
close enough. The factor 0.2·√max gives the update about the size of Adam's, so that the two
share a learning rate (Liu et al. 2025, "Muon is scalable for LLM training").

All matrices of one shape are stacked and take one batched product each step. in_proj is two
matrices, of x and of z, and so is cut in two.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic
STEPS = 5


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows ≥ cols, cols) → about UVᵀ of each, bf16."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x.transpose(1, 2) @ x
        x = a * x + x @ (b * gram + c * (gram @ gram))
    return x


class Muon(torch.optim.Optimizer):
    """`params`: matrices whose pieces (see `_pieces`) all have one shape."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            beta, params = group["momentum"], group["params"]
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            grads = [p.grad for p in params]
            moments = [self.state[p]["momentum"] for p in params]
            torch._foreach_lerp_(moments, grads, 1 - beta)
            updates = torch._foreach_lerp(grads, moments, beta)
            pieces = [piece for u in updates for piece in _pieces(u)]
            orthogonal = orthogonalize(torch.stack(pieces)).float()
            orthogonal *= 0.2 * max(orthogonal.shape[1:]) ** 0.5
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            done = 0
            for p in params:
                for piece in _pieces(p):
                    piece.sub_(orthogonal[done], alpha=group["lr"])
                    done += 1


def _pieces(matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of shape (rows ≥ cols): a matrix of more than twice as many rows as columns by halves, a wide one turned."""
    rows, cols = matrix.shape
    if rows < cols:
        return (matrix.t(),)
    return matrix.split(rows // 2) if rows > 2 * cols else (matrix,)
