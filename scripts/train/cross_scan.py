"""The cross-scan of VMamba (Liu et al. 2024) with one state a channel, in Triton, forward and backward.

    dt = softplus(raw + bias)
    h_s = exp(dt_s·A)·h_{s-1} + dt_s·B_s·u_s          h: f32
    y_s = C_s·h_s + D·u_s

in four directions k over an H×W image: 0 row by row, 1 column by column, 2 and 3 the same two from the last pixel to the first.
The y of a pixel is the sum of the four.

u: (batch, L, DI), L = H·W pixels row by row. raw: (4, batch·L, DI). BC: (batch·L, 4, 2), B then C. A (negative), D, bias: (4, DI) f32.
Everything lies in the order of the image: a direction is an order of reading and writing pixels, so nothing is turned or flipped in
memory. One warp owns 32 channels of one image in one direction. The forward pass keeps every h, in u's type, for the backward pass:

    g_s = C_s·dy_s + exp(dt_{s+1}·A)·g_{s+1}          g: the gradient of h_s

Sums over channels and over images are written a part each and added up after: atomic additions would make two equal runs differ.
"""

import torch
import triton
import triton.language as tl
from gate import softplus
from torch.library import custom_op

Tensor = torch.Tensor
DIRECTIONS = 4
CHANNELS = 32
STEPS = 8  # whose loads are in flight at a time


@triton.jit
def _pixel(s, k, H: tl.constexpr, W: tl.constexpr):
    """The pixel that direction k visits at step s."""
    s = tl.where(k >= 2, H * W - 1 - s, s)
    return tl.where(k % 2 == 1, (s % H) * W + s // H, s)


@triton.jit
def _forward(
    u, raw, BC, A, D, bias, y, h_kept, rows,
    H: tl.constexpr, W: tl.constexpr, DI: tl.constexpr, BD: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    L: tl.constexpr = H * W
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    inside = d < DI
    a = tl.load(A + k * DI + d, mask=inside, other=0.0)
    skip = tl.load(D + k * DI + d, mask=inside, other=0.0)
    shift = tl.load(bias + k * DI + d, mask=inside, other=0.0)
    image = b * L * DI + d
    scanned = (k.to(tl.int64) * rows + b * L) * DI + d
    bc = BC + (b * L * 4 + k) * 2
    h = tl.zeros((BD,), tl.float32)
    for first in range(0, L, T):
        # Stores wait for the end of the chunk: a load may not overtake a store.
        tokens = ()
        for i in tl.static_range(T):
            p = _pixel(first + i, k, H, W)
            here = first + i < L
            token = (
                tl.load(u + image + p * DI, mask=inside & here, other=0.0),
                tl.load(raw + scanned + p * DI, mask=inside & here, other=0.0),
                tl.load(bc + p * 8, mask=here, other=0.0),
                tl.load(bc + p * 8 + 1, mask=here, other=0.0),
            )
            tokens = tokens + (token,)
        found = ()
        for i in tl.static_range(T):
            u_s = tokens[i][0].to(tl.float32)
            dt = softplus(tokens[i][1].to(tl.float32) + shift)
            h = tl.exp(dt * a) * h + dt * u_s * tokens[i][2].to(tl.float32)
            found = found + ((h, tokens[i][3].to(tl.float32) * h + skip * u_s),)
        for i in tl.static_range(T):
            to = scanned + _pixel(first + i, k, H, W) * DI
            here = inside & (first + i < L)
            tl.store(h_kept + to, found[i][0].to(h_kept.dtype.element_ty), mask=here)
            tl.store(y + to, found[i][1].to(y.dtype.element_ty), mask=here)


@triton.jit
def _backward(
    u, raw, BC, A, D, bias, h_kept, dy, du, draw, dBC, dparams, rows,
    H: tl.constexpr, W: tl.constexpr, DI: tl.constexpr, BD: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    L: tl.constexpr = H * W
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    inside = d < DI
    a = tl.load(A + k * DI + d, mask=inside, other=0.0)
    skip = tl.load(D + k * DI + d, mask=inside, other=0.0)
    shift = tl.load(bias + k * DI + d, mask=inside, other=0.0)
    image = b * L * DI + d
    scanned = (k.to(tl.int64) * rows + b * L) * DI + d
    bc = (b * L * 4 + k) * 2
    dbc = dBC + tl.program_id(0).to(tl.int64) * rows * 8 + bc
    bc = BC + bc
    chunks: tl.constexpr = (L + T - 1) // T
    last = chunks * T - 1
    h = tl.load(h_kept + scanned + _pixel(last, k, H, W) * DI, mask=inside & (last < L), other=0.0).to(tl.float32)
    g = tl.zeros((BD,), tl.float32)
    dA = tl.zeros((BD,), tl.float32)
    dD = tl.zeros((BD,), tl.float32)
    dbias = tl.zeros((BD,), tl.float32)
    for chunk_from_end in range(chunks):
        first = (chunks - 1 - chunk_from_end) * T
        tokens = ()
        for i in tl.static_range(T):
            s = first + i
            p = _pixel(s, k, H, W)
            before = _pixel(s - 1, k, H, W)
            token = (
                tl.load(u + image + p * DI, mask=inside & (s < L), other=0.0),
                tl.load(raw + scanned + p * DI, mask=inside & (s < L), other=0.0),
                tl.load(bc + p * 8, mask=s < L, other=0.0),
                tl.load(bc + p * 8 + 1, mask=s < L, other=0.0),
                tl.load(dy + image + p * DI, mask=inside & (s < L), other=0.0),
                tl.load(h_kept + scanned + before * DI, mask=inside & (s > 0) & (s <= L), other=0.0),
            )
            tokens = tokens + (token,)
        for i in tl.static_range(T - 1, -1, -1):
            s = first + i
            p = _pixel(s, k, H, W)
            u_s = tokens[i][0].to(tl.float32)
            x = tokens[i][1].to(tl.float32) + shift
            B_s = tokens[i][2].to(tl.float32)
            dy_s = tokens[i][4].to(tl.float32)
            h_before = tokens[i][5].to(tl.float32)
            dt = softplus(x)
            g += tokens[i][3].to(tl.float32) * dy_s
            dC_s = tl.sum(dy_s * h, 0)
            dB_s = tl.sum(dt * u_s * g, 0)
            gB = g * B_s
            g = tl.exp(dt * a) * g
            gh = g * h_before
            dx = (gB * u_s + gh * a) * tl.sigmoid(x)
            dA += gh * dt
            dD += dy_s * u_s
            dbias += dx
            h = h_before
            tl.store(du + scanned + p * DI, (gB * dt + dy_s * skip).to(du.dtype.element_ty), mask=inside & (s < L))
            tl.store(draw + scanned + p * DI, dx.to(draw.dtype.element_ty), mask=inside & (s < L))
            tl.store(dbc + p * 8, dB_s, mask=s < L)
            tl.store(dbc + p * 8 + 1, dC_s, mask=s < L)
    dparams += (b * 3 * 4 + k) * DI + d
    tl.store(dparams, dA, mask=inside)
    tl.store(dparams + 4 * DI, dD, mask=inside)
    tl.store(dparams + 8 * DI, dbias, mask=inside)


@custom_op("mamba_edge::cross_scan", mutates_args=())
def cross_scan(
    u: Tensor, raw: Tensor, BC: Tensor, A: Tensor, D: Tensor, bias: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """y (batch, L, DI), the four directions added, and every h (4, batch·L, DI), which carries no gradient."""
    batch, L, DI = u.shape
    assert L == height * width, f"{L} pixels are not {height}×{width}"
    y, h = torch.empty_like(raw), torch.empty_like(raw)
    _forward[(triton.cdiv(DI, CHANNELS), DIRECTIONS, batch)](
        u, raw, BC, A, D, bias, y, h, batch * L, H=height, W=width, DI=DI, BD=CHANNELS, T=STEPS, num_warps=1
    )
    return y.sum(0, dtype=u.dtype).view_as(u), h


@cross_scan.register_fake
def _(u, raw, BC, A, D, bias, height, width):
    return u.new_empty(u.shape), raw.new_empty(raw.shape)


@custom_op("mamba_edge::cross_scan_backward", mutates_args=())
def _cross_scan_backward(
    u: Tensor, raw: Tensor, BC: Tensor, A: Tensor, D: Tensor, bias: Tensor, h: Tensor, dy: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(du, draw, dBC, dparams (3, 4, DI): of A, D, bias)."""
    batch, L, DI = u.shape
    blocks = triton.cdiv(DI, CHANNELS)
    du, draw = torch.empty_like(raw), torch.empty_like(raw)
    dBC = A.new_empty(blocks, *BC.shape)
    dparams = A.new_empty(batch, 3, *A.shape)
    _backward[(blocks, DIRECTIONS, batch)](
        u, raw, BC, A, D, bias, h, dy, du, draw, dBC, dparams, batch * L,
        H=height, W=width, DI=DI, BD=CHANNELS, T=STEPS, num_warps=1,
    )  # fmt: skip
    return du.sum(0, dtype=u.dtype).view_as(u), draw, dBC.sum(0).to(BC.dtype), dparams.sum(0)


@_cross_scan_backward.register_fake
def _(u, raw, BC, A, D, bias, h, dy, height, width):
    return u.new_empty(u.shape), raw.new_empty(raw.shape), BC.new_empty(BC.shape), A.new_empty(3, *A.shape)


def _setup_context(ctx, inputs, output):
    *tensors, ctx.height, ctx.width = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _gradients(ctx, dy, _dh):
    du, draw, dBC, (dA, dD, dbias) = _cross_scan_backward(*ctx.saved_tensors, dy.contiguous(), ctx.height, ctx.width)
    return du, draw, dBC, dA, dD, dbias, None, None


cross_scan.register_autograd(_gradients, setup_context=_setup_context)
