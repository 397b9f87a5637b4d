"""The cross-scan of cross_scan.py in plain PyTorch, step by step: for machines without a GPU, and what the kernels are checked against."""

import torch
import torch.nn.functional as F

Tensor = torch.Tensor


def scan_orders(height: int, width: int, device=None) -> Tensor:
    """(4, L): the pixel that each direction visits at each step."""
    rows = torch.arange(height * width, device=device)
    columns = rows.view(height, width).t().flatten()
    return torch.stack([rows, columns, rows.flip(0), columns.flip(0)])


def plain_cross_scan(u: Tensor, raw: Tensor, BC: Tensor, A: Tensor, D: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """Arguments as in cross_scan.py; y (batch, L, DI) in u's type, or f32 if that is shorter."""
    batch, L, DI = u.shape
    work = torch.promote_types(u.dtype, torch.float32)
    order = scan_orders(height, width, u.device)
    direction = torch.arange(4, device=u.device)[:, None]
    x = u.to(work)[:, order].transpose(0, 1)  # (4, batch, L, DI)
    dt = F.softplus(raw.to(work).view(4, batch, L, DI) + bias[:, None, None]).transpose(1, 2)[direction, order].transpose(1, 2)
    B, C = BC.to(work).view(batch, L, 4, 2).permute(3, 2, 1, 0)[:, direction, order].transpose(2, 3)[..., None]
    decay, fed = torch.exp(dt * A[:, None, None]), dt * B * x
    h, states = torch.zeros_like(fed[:, :, 0]), []
    for s in range(L):
        h = decay[:, :, s] * h + fed[:, :, s]
        states.append(h)
    y = C * torch.stack(states, 2) + D[:, None, None] * x
    return y.transpose(1, 2)[direction, order.argsort(1)].transpose(1, 2).sum(0)
