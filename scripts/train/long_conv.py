"""Causal convolution with a kernel of each channel's own that is as long as the sequence, forward and backward, in Triton.

    y[b, c, t] = Σ_{s ≤ t} x[b, c, s]·k[c, t − s]

For one channel that is X (batch, T) times the T×T matrix whose diagonals hold k. Its tiles are gathered from k, which stays in the
L1 cache, and multiplied on the tensor cores: at the lengths of the in-context study (81 to 1,023) that moves a tenth of the bytes
that Fourier transforms move. f32 is multiplied as TF32, bf16 as it is; sums are f32.

x, y: (batch, channels, T), contiguous. k: (channels, T), f32. The gradient of k, Σ_{b,s} x[b, c, s]·dy[b, c, s + lag], is the sum
along diagonals of XᵀdY: tiles of one distance from the main diagonal are summed first, so that each is summed along once.
"""

import torch
import triton
import triton.language as tl

Tensor = torch.Tensor


@triton.jit
def _convolve(x, k, y, batch, channels, T, BB: tl.constexpr, L: tl.constexpr, REVERSE: tl.constexpr, MULTIPLIED: tl.constexpr):
    """y = x·K, or x·Kᵀ, which is what x was multiplied by turned round: the gradient's way."""
    blocks = tl.cdiv(T, L)
    # The longest sums first, so that the short ones fill the end.
    block = tl.program_id(0) if REVERSE else blocks - 1 - tl.program_id(0)
    channel = tl.program_id(1)
    b = tl.program_id(2) * BB + tl.arange(0, BB)[:, None]
    row = (b.to(tl.int64) * channels + channel) * T
    j = tl.arange(0, L)
    t = block * L + j
    total = tl.zeros((BB, L), tl.float32)
    for at in range(block if REVERSE else 0, blocks if REVERSE else block + 1):
        s = at * L + j
        x_s = tl.load(x + row + s[None, :], mask=(b < batch) & (s < T)[None, :], other=0.0)
        lag = s[:, None] - t[None, :] if REVERSE else t[None, :] - s[:, None]
        k_lag = tl.load(k + channel * T + lag, mask=(lag >= 0) & (lag < T), other=0.0)
        total = tl.dot(x_s.to(MULTIPLIED), k_lag.to(x_s.dtype).to(MULTIPLIED), total, input_precision="tf32")
    tl.store(y + row + t[None, :], total.to(y.dtype.element_ty), mask=(b < batch) & (t < T)[None, :])


@triton.jit
def _correlate(x, dy, tiles, batch, channels, T, BB: tl.constexpr, L: tl.constexpr, MULTIPLIED: tl.constexpr):
    """tiles (channels, blocks, L, L): XᵀdY summed over the tiles that are `distance` blocks from the diagonal."""
    blocks = tl.cdiv(T, L)
    distance, channel = tl.program_id(0), tl.program_id(1)
    j = tl.arange(0, L)
    total = tl.zeros((L, L), tl.float32)
    for at in range(0, blocks - distance):
        s, t = at * L + j, (at + distance) * L + j
        for first in range(0, batch, BB):
            b = first + tl.arange(0, BB)
            row = (b.to(tl.int64) * channels + channel) * T
            x_s = tl.load(x + row[None, :] + s[:, None], mask=(b < batch)[None, :] & (s < T)[:, None], other=0.0)
            dy_t = tl.load(dy + row[:, None] + t[None, :], mask=(b < batch)[:, None] & (t < T)[None, :], other=0.0)
            total = tl.dot(x_s.to(MULTIPLIED), dy_t.to(MULTIPLIED), total, input_precision="tf32")
    tl.store(tiles + (channel * blocks + distance) * L * L + j[:, None] * L + j[None, :], total)


@triton.jit
def _diagonals(tiles, dk, T, L: tl.constexpr):
    """dk at the lags of one block: diagonals from the main one up in its tile, below the main one in the next."""
    blocks = tl.cdiv(T, L)
    distance, channel = tl.program_id(0), tl.program_id(1)
    j = tl.arange(0, L)
    column = j[:, None] + j[None, :]
    tile = tiles + (channel * blocks + distance) * L * L + j[:, None] * L
    above = tl.load(tile + column, mask=column < L, other=0.0)
    below = tl.load(tile + L * L + column - L, mask=(column >= L) & (distance + 1 < blocks), other=0.0)
    lag = distance * L + j
    tl.store(dk + channel * T + lag, tl.sum(above + below, 0), mask=lag < T)


def _multiplied(x: Tensor) -> tl.dtype:
    """The type of the products' factors. Triton's interpreter cannot multiply bf16, but its values as f32."""
    return tl.bfloat16 if x.dtype == torch.bfloat16 and not triton.knobs.runtime.interpret else tl.float32


def _sizes(x: Tensor) -> tuple[int, int, int]:
    """Rows a program takes, and its tiles' length and number."""
    batch, _, T = x.shape
    length = 32 if T <= 128 else 64
    return min(64, max(16, triton.next_power_of_2(batch))), length, triton.cdiv(T, length)


def _launch_convolve(x: Tensor, k: Tensor, reverse: bool) -> Tensor:
    batch, channels, T = x.shape
    rows, length, blocks = _sizes(x)
    y = torch.empty_like(x)
    _convolve[(blocks, channels, triton.cdiv(batch, rows))](
        x, k, y, batch, channels, T, BB=rows, L=length, REVERSE=reverse, MULTIPLIED=_multiplied(x), num_warps=length // 8
    )
    return y


@torch.library.custom_op("icl::long_conv", mutates_args=())
def long_conv(x: Tensor, k: Tensor) -> Tensor:
    """y of the module's docstring. An operator of its own, so that what is around it can be compiled as one."""
    return _launch_convolve(x.contiguous(), k.contiguous(), False)


@torch.library.custom_op("icl::long_conv_backward", mutates_args=())
def long_conv_backward(dy: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """(dx, dk)."""
    dy, x, k = dy.contiguous(), x.contiguous(), k.contiguous()
    batch, channels, T = x.shape
    rows, length, blocks = _sizes(x)
    tiles = k.new_empty(channels, blocks, length, length)
    _correlate[(blocks, channels)](
        x, dy, tiles, batch, channels, T, BB=min(32, rows), L=length, MULTIPLIED=_multiplied(x), num_warps=length // 8
    )  # more rows than 32 take more registers than there are
    dk = torch.empty_like(k)
    _diagonals[(blocks, channels)](tiles, dk, T, L=length, num_warps=4)
    return _launch_convolve(dy, k, True), dk


@long_conv.register_fake
def _(x: Tensor, k: Tensor) -> Tensor:
    return x.new_empty(x.shape)


@long_conv_backward.register_fake
def _(dy: Tensor, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), k.new_empty(k.shape)


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
    x, k = ctx.saved_tensors
    return torch.ops.icl.long_conv_backward(dy.to(x.dtype), x, k)


long_conv.register_autograd(_gradient, setup_context=_keep)
