"""The two elementwise neighbours of the scan, in Triton: its step size and its gate.

    dt = softplus(low·weightᵀ + bias)     low: the first R columns of (tokens, …) rows
    out = y·SiLU(z)                       z: the last DI columns of (tokens, 2·DI) rows
"""

import torch
import triton
import triton.language as tl


@triton.jit
def softplus(x):
    # log1p(e) as log(w)·e/(w−1) with w = 1 + e keeps small steps exact (Kahan).
    e = tl.exp(-tl.abs(x))
    w = 1 + e
    log1p = tl.where(w == 1, e, tl.log(w) * (e / tl.where(w == 1, 1.0, w - 1)))
    return tl.maximum(x, 0.0) + log1p


@triton.jit
def _step_size(low, weight, bias, dt, tokens, low_stride, DI: tl.constexpr, R: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    t = (tl.program_id(0).to(tl.int64) * BT + tl.arange(0, BT))[:, None]
    d = tl.program_id(1) * BD + tl.arange(0, BD)[None, :]
    r = tl.arange(0, R)
    low_tile = tl.load(low + t * low_stride + r[None, :], mask=t < tokens, other=0.0)
    weight_tile = tl.load(weight + d * R + r[:, None])
    # "ieee": an f32 evaluation must not be rounded to tf32.
    x = tl.dot(low_tile, weight_tile, input_precision="ieee") + tl.load(bias + d)
    tl.store(dt + t * DI + d, softplus(x).to(dt.dtype.element_ty), mask=t < tokens)


@triton.jit
def _gate(y, z, out, tokens, DI: tl.constexpr, BT: tl.constexpr):
    t = (tl.program_id(0).to(tl.int64) * BT + tl.arange(0, BT))[:, None]
    d = tl.arange(0, DI)[None, :]
    inside = t < tokens
    y_t = tl.load(y + t * DI + d, mask=inside).to(tl.float32)
    z_t = tl.load(z + t * 2 * DI + d, mask=inside).to(tl.float32)
    tl.store(out + t * DI + d, (y_t * z_t * tl.sigmoid(z_t)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gate_backward(y, z, dout, dy, dz, tokens, DI: tl.constexpr, BT: tl.constexpr):
    t = (tl.program_id(0).to(tl.int64) * BT + tl.arange(0, BT))[:, None]
    d = tl.arange(0, DI)[None, :]
    inside = t < tokens
    y_t = tl.load(y + t * DI + d, mask=inside).to(tl.float32)
    z_t = tl.load(z + t * 2 * DI + d, mask=inside).to(tl.float32)
    dout_t = tl.load(dout + t * DI + d, mask=inside).to(tl.float32)
    s = tl.sigmoid(z_t)
    tl.store(dy + t * DI + d, (dout_t * z_t * s).to(dy.dtype.element_ty), mask=inside)
    dz_t = dout_t * y_t * s * (1 + z_t * (1 - s))
    tl.store(dz + t * 2 * DI + d, dz_t.to(dz.dtype.element_ty), mask=inside)


def step_size(low, weight, bias, batch):
    """dt (batch, L, DI) in low's type. R is a power of two of at least 16 (a matrix unit's smallest depth)."""
    tokens, (DI, R) = low.shape[0], weight.shape
    dt = low.new_empty(batch, tokens // batch, DI)
    block = min(128, DI)
    _step_size[(triton.cdiv(tokens, 64), DI // block)](
        low, weight, bias, dt, tokens, low.stride(0), DI=DI, R=R, BT=64, BD=block, num_warps=4
    )
    return dt


def gate_forward(y, xz):
    """out (tokens, DI)."""
    tokens, DI = xz.shape[0], xz.shape[1] // 2
    out = xz.new_empty(tokens, DI)
    _gate[(triton.cdiv(tokens, 4),)](y, xz[:, DI:], out, tokens, DI=DI, BT=4, num_warps=4)
    return out


def gate_backward(y, xz, dout, dxz):
    """Writes into dxz's last DI columns; returns dy, shaped as y."""
    tokens, DI = xz.shape[0], xz.shape[1] // 2
    dy = torch.empty_like(y)
    _gate_backward[(triton.cdiv(tokens, 4),)](
        y, xz[:, DI:], dout, dy, dxz[:, DI:], tokens, DI=DI, BT=4, num_warps=4
    )
    return dy
