"""The selective scan of Mamba (Gu & Dao 2023, algorithm 2) in Triton, forward and backward.

    h_t = exp(dt_t·A)·h_{t-1} + dt_t·B_t·u_t        h: (DI, N), f32
    y_t = C_t·h_t + D·u_t

u, dt, y: (batch, L, DI). BC: (batch·L, …) rows in which B_t and then C_t start at column
`bc_offset`. A: (DI, N), negative. D: (DI). L is a multiple of CHUNK.

One warp owns 32 channels and walks through time with all of their N states in registers.
Forward keeps the state before every CHUNK tokens, in u's type. Backward walks the chunks
from the last to the first: it recomputes one chunk's states into registers and then runs

    g_t = dy_t·C_t + exp(dt_{t+1}·A)·g_{t+1}        g: the gradient of h_t

so no state but the kept ones ever goes through memory. The gradients of B and C are sums
over channels: each program writes the sum over its own, and the caller adds these up
(atomic additions would make two equal runs differ).
"""

import torch
import triton
import triton.language as tl

CHUNK = 8
CHANNELS = 32
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _forward(
    u, dt, BC, A, D, h0, y, h_kept, h_last,
    L, bc_stride, bc_offset,
    DI: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, T: tl.constexpr,
    HAS_H0: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    n = tl.arange(0, N)
    dn = d[:, None] * N + n[None, :]
    a = tl.load(A + dn) * LOG2E
    skip = tl.load(D + d)
    h = tl.zeros((BD, N), tl.float32)
    if HAS_H0:
        h = tl.load(h0 + b * DI * N + dn)
    u += b * L * DI + d
    dt += b * L * DI + d
    y += b * L * DI + d
    BC += b * L * bc_stride + bc_offset + n
    h_kept += b * (L // T) * DI * N + dn
    for chunk in range(L // T):
        if KEEP:
            tl.store(h_kept, h.to(h_kept.dtype.element_ty))
            h_kept += DI * N
        ys = ()
        # Stores wait for the end of the chunk: a load may not overtake a store.
        for i in tl.static_range(T):
            t = chunk * T + i
            u_t = tl.load(u + t * DI).to(tl.float32)
            dt_t = tl.load(dt + t * DI).to(tl.float32)
            B_t = tl.load(BC + t * bc_stride).to(tl.float32)
            C_t = tl.load(BC + t * bc_stride + N).to(tl.float32)
            h = tl.exp2(dt_t[:, None] * a) * h + (dt_t * u_t)[:, None] * B_t[None, :]
            ys = ys + (tl.sum(h * C_t[None, :], 1) + skip * u_t,)
        for i in tl.static_range(T):
            tl.store(y + (chunk * T + i) * DI, ys[i].to(y.dtype.element_ty))
    tl.store(h_last + b * DI * N + dn, h)


@triton.jit
def _backward(
    u, dt, BC, A, D, h_kept, dy, du, dx, dBC, dA, dD, dbias,
    tokens, L, bc_stride, bc_offset,
    DI: tl.constexpr, N: tl.constexpr, BD: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0).to(tl.int64)
    d = tl.program_id(0) * BD + tl.arange(0, BD)
    n = tl.arange(0, N)
    # Four states a lane: sums over N and sums over channels then cost about the same.
    dn = tl.max_contiguous(d[:, None] * N + n[None, :], [1, 4])
    a = tl.load(A + dn)
    skip = tl.load(D + d)
    g = tl.zeros((BD, N), tl.float32)
    dA_sum = tl.zeros((BD, N), tl.float32)
    dD_sum = tl.zeros((BD,), tl.float32)
    dbias_sum = tl.zeros((BD,), tl.float32)
    u += b * L * DI + d
    dt += b * L * DI + d
    dy += b * L * DI + d
    du += b * L * DI + d
    dx += b * L * DI + d
    BC += b * L * bc_stride + bc_offset + n
    dBC += (block * tokens + b * L) * 2 * N + n
    h_kept += ((b + 1) * (L // T) - 1) * DI * N + dn
    for chunk_from_end in range(L // T):
        chunk = L // T - 1 - chunk_from_end
        h = tl.load(h_kept).to(tl.float32)
        h_kept -= DI * N
        hs = (h,)
        dys = ()
        for i in tl.static_range(T):
            t = chunk * T + i
            u_t = tl.load(u + t * DI).to(tl.float32)
            dt_t = tl.load(dt + t * DI).to(tl.float32)
            B_t = tl.load(BC + t * bc_stride).to(tl.float32)
            dys = dys + (tl.load(dy + t * DI),)
            h = tl.exp2(dt_t[:, None] * (a * LOG2E)) * h + (dt_t * u_t)[:, None] * B_t[None, :]
            hs = hs + (h,)
        for i in tl.static_range(T - 1, -1, -1):
            t = chunk * T + i
            u_t = tl.load(u + t * DI).to(tl.float32)
            dt_t = tl.load(dt + t * DI).to(tl.float32)
            B_t = tl.load(BC + t * bc_stride).to(tl.float32)
            C_t = tl.load(BC + t * bc_stride + N).to(tl.float32)
            dy_t = dys[i].to(tl.float32)
            g += dy_t[:, None] * C_t[None, :]
            dC_t = tl.sum(dy_t[:, None] * hs[i + 1], 0)
            dB_t = tl.sum((dt_t * u_t)[:, None] * g, 0)
            gB = tl.sum(g * B_t[None, :], 1)
            g = tl.exp2(dt_t[:, None] * (a * LOG2E)) * g
            gh = g * hs[i]
            ddt_t = gB * u_t + tl.sum(gh * a, 1)
            dx_t = ddt_t * (1 - tl.exp2(-LOG2E * dt_t))
            dA_sum += gh * dt_t[:, None]
            dD_sum += dy_t * u_t
            dbias_sum += dx_t
            tl.store(du + t * DI, (gB * dt_t + dy_t * skip).to(du.dtype.element_ty))
            tl.store(dx + t * DI, dx_t.to(dx.dtype.element_ty))
            tl.store(dBC + t * 2 * N, dB_t.to(dBC.dtype.element_ty))
            tl.store(dBC + t * 2 * N + N, dC_t.to(dBC.dtype.element_ty))
    tl.store(dA + b * DI * N + dn, dA_sum)
    tl.store(dD + b * DI + d, dD_sum)
    tl.store(dbias + b * DI + d, dbias_sum)


def scan_forward(u, dt, BC, bc_offset, A, D, h0=None, keep=True):
    """y, the kept states (for `scan_backward`; None unless `keep`) and the state after the last token."""
    batch, L, DI = u.shape
    N = A.shape[1]
    assert L % CHUNK == 0 and DI % CHANNELS == 0, f"L {L} and DI {DI} must be multiples of {CHUNK}, {CHANNELS}"
    y = torch.empty_like(u)
    h_kept = u.new_empty(batch, L // CHUNK, DI, N) if keep else None
    h_last = A.new_empty(batch, DI, N)
    _forward[(DI // CHANNELS, batch)](
        u, dt, BC, A, D, h_last if h0 is None else h0, y, h_last if h_kept is None else h_kept, h_last,
        L, BC.stride(0), bc_offset,
        DI=DI, N=N, BD=CHANNELS, T=CHUNK, HAS_H0=h0 is not None, KEEP=keep, num_warps=1,
    )  # fmt: skip
    return y, h_kept, h_last


def scan_backward(u, dt, BC, bc_offset, A, D, h_kept, dy):
    """Gradients (du, dx, dBC, dA, dD, dbias) for dt = softplus(x + bias).

    dx is the gradient of the softplus' argument: its derivative is 1 − exp(−dt), so x is
    not needed. dBC: (batch·L, 2N), B's part first. No gradient flows into h0.
    """
    batch, L, DI = u.shape
    N = A.shape[1]
    tokens = batch * L
    du, dx = torch.empty_like(u), torch.empty_like(u)
    dBC = u.new_empty(DI // CHANNELS, tokens, 2 * N)
    dA = A.new_empty(batch, DI, N)
    dD, dbias = A.new_empty(batch, DI), A.new_empty(batch, DI)
    _backward[(DI // CHANNELS, batch)](
        u, dt, BC, A, D, h_kept, dy, du, dx, dBC, dA, dD, dbias,
        tokens, L, BC.stride(0), bc_offset,
        DI=DI, N=N, BD=CHANNELS, T=CHUNK, num_warps=1,
    )  # fmt: skip
    return du, dx, dBC.sum(0), dA.sum(0), dD.sum(0), dbias.sum(0)
