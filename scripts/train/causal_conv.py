"""Depthwise causal convolution and SiLU, forward and backward, in Triton.

    p_t = bias + Σ_k weight[k]·x_{t-K+1+k}      u_t = SiLU(p_t)

x: the first DI columns of (batch·L, …) rows. weight: (DI, K) with K = 4. What lies before
the window comes from `tail` (batch, K−1, DI), oldest first, or is zero.
"""

import torch
import triton
import triton.language as tl

K = 4
CHANNELS = 256
BACKWARD_TOKENS = 64


@triton.jit
def _forward(
    x, weight, bias, tail, u, L, x_stride,
    DI: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, HAS_TAIL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2).to(tl.int64)
    t = (tl.program_id(1) * BT + tl.arange(0, BT))[:, None]
    d = (tl.program_id(0) * BD + tl.arange(0, BD))[None, :]
    p = tl.load(bias + d) + tl.zeros((BT, BD), tl.float32)
    for k in tl.static_range(4):
        s = t - 3 + k
        x_s = tl.load(x + (b * L + s) * x_stride + d, mask=(s >= 0) & (s < L), other=0.0).to(tl.float32)
        if HAS_TAIL:
            x_s += tl.load(tail + (b * 3 + s + 3) * DI + d, mask=s < 0, other=0.0).to(tl.float32)
        p += x_s * tl.load(weight + d * 4 + k)
    tl.store(u + (b * L + t) * DI + d, (p * tl.sigmoid(p)).to(u.dtype.element_ty), mask=t < L)


@triton.jit
def _load_x(x, tail, b, t, d, L, x_stride, DI: tl.constexpr, HAS_TAIL: tl.constexpr):
    x_t = tl.load(x + (b * L + t) * x_stride + d, mask=(t >= 0) & (t < L), other=0.0).to(tl.float32)
    if HAS_TAIL:
        x_t += tl.load(tail + (b * 3 + t + 3) * DI + d, mask=t < 0, other=0.0).to(tl.float32)
    return x_t


@triton.jit
def _dp(p, du_a, du_b, b, t, d, L, DI: tl.constexpr):
    """The gradient of p_t; zero beyond the window."""
    row = (b * L + t) * DI + d
    du = tl.load(du_a + row, mask=t < L, other=0.0).to(tl.float32)
    du += tl.load(du_b + row, mask=t < L, other=0.0).to(tl.float32)
    s = tl.sigmoid(p)
    return du * s * (1 + p * (1 - s))


@triton.jit
def _backward(
    x, weight, bias, tail, du_a, du_b, dx, dparams, L, x_stride, dx_stride,
    DI: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, HAS_TAIL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2).to(tl.int64)
    first = tl.program_id(1) * BT
    end = first + BT
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    w0 = tl.load(weight + d * 4)
    w1 = tl.load(weight + d * 4 + 1)
    w2 = tl.load(weight + d * 4 + 2)
    w3 = tl.load(weight + d * 4 + 3)
    bias_d = tl.load(bias + d)
    # The p of the three tokens after this program's see its inputs too.
    after2 = _load_x(x, tail, b, end + 2, d, L, x_stride, DI, HAS_TAIL)
    after1 = _load_x(x, tail, b, end + 1, d, L, x_stride, DI, HAS_TAIL)
    after0 = _load_x(x, tail, b, end, d, L, x_stride, DI, HAS_TAIL)
    x3 = _load_x(x, tail, b, end - 1, d, L, x_stride, DI, HAS_TAIL)
    x2 = _load_x(x, tail, b, end - 2, d, L, x_stride, DI, HAS_TAIL)
    x1 = _load_x(x, tail, b, end - 3, d, L, x_stride, DI, HAS_TAIL)
    dp3 = _dp(bias_d + w0 * x3 + w1 * after0 + w2 * after1 + w3 * after2, du_a, du_b, b, end + 2, d, L, DI)
    dp2 = _dp(bias_d + w0 * x2 + w1 * x3 + w2 * after0 + w3 * after1, du_a, du_b, b, end + 1, d, L, DI)
    dp1 = _dp(bias_d + w0 * x1 + w1 * x2 + w2 * x3 + w3 * after0, du_a, du_b, b, end, d, L, DI)
    zero = tl.zeros((BD,), tl.float32)
    dw0, dw1, dw2, dw3, dbias = zero, zero, zero, zero, zero
    # At t: x0 … x3 are the inputs at t−3 … t, dp1 … dp3 the gradients of p at t+1 … t+3.
    for back in range(BT):
        t = end - 1 - back
        x0 = _load_x(x, tail, b, t - 3, d, L, x_stride, DI, HAS_TAIL)
        dp = _dp(bias_d + w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3, du_a, du_b, b, t, d, L, DI)
        dx_t = w3 * dp + w2 * dp1 + w1 * dp2 + w0 * dp3
        tl.store(dx + (b * L + t) * dx_stride + d, dx_t.to(dx.dtype.element_ty), mask=t < L)
        dw0 += dp * x0
        dw1 += dp * x1
        dw2 += dp * x2
        dw3 += dp * x3
        dbias += dp
        dp3, dp2, dp1 = dp2, dp1, dp
        x3, x2, x1 = x2, x1, x0
    dparams += (b * tl.num_programs(1) + tl.program_id(1)) * 5 * DI + d
    tl.store(dparams, dw0)
    tl.store(dparams + DI, dw1)
    tl.store(dparams + 2 * DI, dw2)
    tl.store(dparams + 3 * DI, dw3)
    tl.store(dparams + 4 * DI, dbias)


def conv_forward(x, weight, bias, batch, tail=None):
    """u (batch, L, DI) and the tail for the window that follows."""
    DI, L = weight.shape[0], x.shape[0] // batch
    u = x.new_empty(batch, L, DI)
    block = min(CHANNELS, DI)
    _forward[(DI // block, triton.cdiv(L, 16), batch)](
        x, weight, bias, x if tail is None else tail, u, L, x.stride(0),
        DI=DI, BT=16, BD=block, HAS_TAIL=tail is not None, num_warps=8,
    )  # fmt: skip
    return u, x.view(batch, L, -1)[:, 1 - K :, :DI].clone()


def conv_backward(x, weight, bias, batch, tail, du_a, du_b, dx):
    """Writes into dx's first DI columns; returns (dweight, dbias). u's gradient is du_a + du_b."""
    DI, L = weight.shape[0], x.shape[0] // batch
    block, pieces = min(CHANNELS, DI), triton.cdiv(L, BACKWARD_TOKENS)
    dparams = weight.new_empty(batch * pieces, K + 1, DI)
    _backward[(DI // block, pieces, batch)](
        x, weight, bias, x if tail is None else tail, du_a, du_b, dx, dparams, L, x.stride(0), dx.stride(0),
        DI=DI, BT=BACKWARD_TOKENS, BD=block, HAS_TAIL=tail is not None, num_warps=4,
    )  # fmt: skip
    dparams = dparams.sum(0)
    return dparams[:K].t(), dparams[K]
