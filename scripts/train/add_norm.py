"""Residual addition and RMSNorm in one pass, forward and backward, in Triton.

    x' = x + delta                                   the residual stream, f32
    h = x' / sqrt(mean(x'²) + eps) · weight          in the type of the matrices' inputs
"""

import torch
import triton
import triton.language as tl

ROWS = 8
TILES = 8  # tiles of ROWS rows that one backward program sums the weight's gradient over


@triton.jit
def _forward(x, delta, weight, x_new, h, scale, rows, eps, DM: tl.constexpr, BR: tl.constexpr, HAS_DELTA: tl.constexpr):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    at = r[:, None] * DM + tl.arange(0, DM)[None, :]
    inside = r[:, None] < rows
    value = tl.load(x + at, mask=inside, other=0.0)
    if HAS_DELTA:
        value += tl.load(delta + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(x_new + at, value, mask=inside)
    s = 1 / tl.sqrt(tl.sum(value * value, 1) / DM + eps)
    tl.store(scale + r, s, mask=r < rows)
    w = tl.load(weight + tl.arange(0, DM))[None, :]
    tl.store(h + at, (value * s[:, None] * w).to(h.dtype.element_ty), mask=inside)


@triton.jit
def _backward(
    x_new, weight, scale, dx_new, dh, dx, ddelta, dweight, rows,
    DM: tl.constexpr, BR: tl.constexpr, TILES: tl.constexpr, HAS_DX: tl.constexpr, HAS_DELTA: tl.constexpr,
):  # fmt: skip
    w = tl.load(weight + tl.arange(0, DM))[None, :]
    dw = tl.zeros((BR, DM), tl.float32)
    for tile in range(TILES):
        r = (tl.program_id(0).to(tl.int64) * TILES + tile) * BR + tl.arange(0, BR)
        at = r[:, None] * DM + tl.arange(0, DM)[None, :]
        inside = r[:, None] < rows
        s = tl.load(scale + r, mask=r < rows, other=0.0)[:, None]
        unit = tl.load(x_new + at, mask=inside, other=0.0) * s
        dh_r = tl.load(dh + at, mask=inside, other=0.0).to(tl.float32)
        dw += dh_r * unit
        dunit = dh_r * w
        grad = s * (dunit - unit * (tl.sum(dunit * unit, 1) / DM)[:, None])
        if HAS_DX:
            grad += tl.load(dx_new + at, mask=inside, other=0.0)
        tl.store(dx + at, grad, mask=inside)
        if HAS_DELTA:
            tl.store(ddelta + at, grad.to(ddelta.dtype.element_ty), mask=inside)
    tl.store(dweight + tl.program_id(0) * DM + tl.arange(0, DM), tl.sum(dw, 0))


class AddNorm(torch.autograd.Function):
    """(x f32, delta or None, weight, eps, type of h) → (x', h), each (rows, DM)."""

    @staticmethod
    def forward(ctx, x, delta, weight, eps, dtype):
        rows, DM = x.shape
        h = x.new_empty(rows, DM, dtype=dtype)
        scale = x.new_empty(rows)
        x_new = x if delta is None else torch.empty_like(x)
        _forward[(triton.cdiv(rows, ROWS),)](
            x, x if delta is None else delta, weight, x_new, h, scale, rows, eps,
            DM=DM, BR=ROWS, HAS_DELTA=delta is not None, num_warps=8,
        )  # fmt: skip
        ctx.save_for_backward(x_new, weight, scale)
        ctx.delta_dtype = None if delta is None else delta.dtype
        ctx.set_materialize_grads(False)
        # An input must not be returned as it is: autograd would treat it as the same tensor.
        return (x_new.view_as(x_new) if delta is None else x_new), h

    @staticmethod
    def backward(ctx, dx_new, dh):
        x_new, weight, scale = ctx.saved_tensors
        rows, DM = x_new.shape
        programs = triton.cdiv(rows, ROWS * TILES)
        dx = torch.empty_like(x_new)
        ddelta = None if ctx.delta_dtype is None else x_new.new_empty(rows, DM, dtype=ctx.delta_dtype)
        dweight = x_new.new_empty(programs, DM)
        _backward[(programs,)](
            x_new, weight, scale, x_new if dx_new is None else dx_new, dh, dx, dx if ddelta is None else ddelta, dweight, rows,
            DM=DM, BR=ROWS, TILES=TILES, HAS_DX=dx_new is not None, HAS_DELTA=ddelta is not None, num_warps=8,
        )  # fmt: skip
        return dx, ddelta, dweight.sum(0), None, None
