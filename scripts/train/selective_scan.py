"""The selective scan of Mamba (Gu & Dao 2023, algorithm 2) in Triton, forward and backward.

    h_t = exp(dt_t·A)·h_{t-1} + dt_t·B_t·u_t        h: (N, DI), f32
    y_t = C_t·h_t + D·u_t

u, dt, y: (batch, L, DI). BC: (batch·L, …) rows in which B_t and then C_t start at column
`bc_offset`. A: (DI, N), negative. D: (DI). L is a multiple of CHUNK.

One warp owns 32 channels and walks through time with all of their N states in registers.
Forward keeps the state before every CHUNK tokens, in u's type. Backward walks the chunks
from the last to the first: it computes one chunk's states again, into shared memory, and
then runs

    g_t = dy_t·C_t + exp(dt_{t+1}·A)·g_{t+1}        g: the gradient of h_t

so no state but the kept ones goes through device memory. The gradients of B and C are sums
over channels: each program writes the sum over its own, and the caller adds these up
(atomic additions would make two equal runs differ).

Written in Gluon, Triton's dialect with explicit layouts: with the layouts that plain Triton
chose, moving values between lanes took most of the time. Forward loads the chunk after the one
that it computes. Backward's sums over lanes go through shared memory, where they are turned so
that one lane holds all partial sums of a value: 40 shuffles a token took 15 % longer.
"""

import torch
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

CHUNK = 8
CHANNELS = 32
D_STATE = 16
LOG2E = gl.constexpr(1.4426950408889634)  # the hardware's exponential has base 2

# (states, channels) a lane, then lanes along each: sums over states and sums over channels
# then cost about the same, and a lane's channels are loaded and stored as one vector.
TILE = gl.constexpr(gl.BlockedLayout([4, 4], [4, 8], [1, 1], [1, 0]))
# Eight tokens, four lanes each of which loads a vector of 16 bytes (bf16).
LOADS = gl.constexpr(gl.BlockedLayout([1, 8], [8, 4], [1, 1], [1, 0]))
# A chunk as it is loaded and as it is read, token by token: the same bytes.
MATRICES = gl.constexpr(gl.SwizzledSharedLayout(1, 1, 1, order=[1, 0]))
ROWS = gl.constexpr(gl.SwizzledSharedLayout(1, 1, 1, order=[0]))
# A lane has all eight partial sums of one gradient of B or C, or all four of a channel's two sums.
TURNED = gl.constexpr(gl.BlockedLayout([1, 8], [32, 1], [1, 1], [1, 0]))
BY_CHANNEL = gl.constexpr(gl.BlockedLayout([1, 2, 4], [32, 1, 1], [1, 1, 1], [2, 1, 0]))
SHARED = gl.constexpr(gl.SwizzledSharedLayout(1, 1, 1, order=[1, 0]))


@gluon.jit
def _forward(
    u, dt, BC, A_t, D, h0, y, h_kept, h_last,
    L, bc_stride, bc_offset,
    DI: gl.constexpr, N: gl.constexpr, BD: gl.constexpr, T: gl.constexpr,
    HAS_H0: gl.constexpr, KEEP: gl.constexpr,
):  # fmt: skip
    b = gl.program_id(1).to(gl.int64)
    d = gl.program_id(0) * BD + gl.arange(0, BD, layout=gl.SliceLayout(0, TILE))
    n = gl.arange(0, N, layout=gl.SliceLayout(1, TILE))
    nd = n[:, None] * DI + d[None, :]
    dn = b * DI * N + d[None, :] * N + n[:, None]
    a = gl.load(A_t + nd) * LOG2E
    skip = gl.load(D + d)
    h = gl.load(h0 + dn) if HAS_H0 else gl.zeros([N, BD], gl.float32, layout=TILE)
    type: gl.constexpr = u.dtype.element_ty
    u_chunk = gl.allocate_shared_memory(type, [T, BD], MATRICES)
    dt_chunk = gl.allocate_shared_memory(type, [T, BD], MATRICES)
    BC_chunk = gl.allocate_shared_memory(type, [T, 2 * N], MATRICES)
    u_rows = u_chunk._reinterpret(type, [T, BD], ROWS)
    dt_rows = dt_chunk._reinterpret(type, [T, BD], ROWS)
    BC_rows = BC_chunk._reinterpret(type, [2 * T, N], ROWS)
    load_t = gl.arange(0, T, layout=gl.SliceLayout(1, LOADS))[:, None]
    load_d = gl.arange(0, BD, layout=gl.SliceLayout(0, LOADS))[None, :]
    load_n = gl.arange(0, 2 * N, layout=gl.SliceLayout(0, LOADS))[None, :]
    token_pointers = b * L * DI + load_t * DI + gl.program_id(0) * BD + load_d
    u_p = u + token_pointers
    dt_p = dt + token_pointers
    BC_p = BC + b * L * bc_stride + bc_offset + load_t * bc_stride + load_n
    u_next = gl.load(u_p)
    dt_next = gl.load(dt_p)
    BC_next = gl.load(BC_p)
    y += b * L * DI
    h_kept += b * (L // T) * N * DI
    for chunk in range(L // T):
        u_chunk.store(u_next)
        dt_chunk.store(dt_next)
        BC_chunk.store(BC_next)
        # The last chunk has none after it, and is read once more.
        ahead = (chunk < L // T - 1).to(gl.int32)
        u_p += ahead * (T * DI)
        dt_p += ahead * (T * DI)
        BC_p += ahead * T * bc_stride
        u_next = gl.load(u_p)
        dt_next = gl.load(dt_p)
        BC_next = gl.load(BC_p)
        if KEEP:
            gl.store(h_kept + nd, h.to(h_kept.dtype.element_ty))
            h_kept += N * DI
        for i in gl.static_range(T):
            u_t = u_rows.index(i).load(gl.SliceLayout(0, TILE)).to(gl.float32)
            dt_t = dt_rows.index(i).load(gl.SliceLayout(0, TILE)).to(gl.float32)
            B_t = BC_rows.index(2 * i).load(gl.SliceLayout(1, TILE)).to(gl.float32)
            C_t = BC_rows.index(2 * i + 1).load(gl.SliceLayout(1, TILE)).to(gl.float32)
            h = gl.exp2(dt_t[None, :] * a) * h + (dt_t * u_t)[None, :] * B_t[:, None]
            y_t = gl.sum(h * C_t[:, None], 0) + skip * u_t
            gl.store(y + (chunk * T + i) * DI + d, y_t.to(y.dtype.element_ty))
    gl.store(h_last + dn, h)


@gluon.jit
def _sum_channels(first, second, N: gl.constexpr, BD: gl.constexpr):
    """Sums over the channels of two tiles: (2N), first's before second's."""
    first = gl.sum(gl.reshape(first, [N, BD // 4, 4]), 2)
    second = gl.sum(gl.reshape(second, [N, BD // 4, 4]), 2)
    both = gl.permute(gl.join(first, second), [2, 0, 1])
    both = gl.reshape(both, [2 * N, BD // 4])
    return gl.sum(gl.convert_layout(both, TURNED), 1)


@gluon.jit
def _sum_states(first, second, N: gl.constexpr, BD: gl.constexpr):
    """Sums over the states of two tiles, each (BD), one channel a lane."""
    first = gl.sum(gl.reshape(first, [N // 4, 4, BD]), 1)
    second = gl.sum(gl.reshape(second, [N // 4, 4, BD]), 1)
    both = gl.permute(gl.join(first, second), [1, 2, 0])
    return gl.split(gl.sum(gl.convert_layout(both, BY_CHANNEL), 2))


@gluon.jit
def _load_token(u, dt, BC, dy, t, d, n, bc_stride, DI: gl.constexpr, N: gl.constexpr):
    row, bc_row = t * DI + d, t * bc_stride + n
    return gl.load(u + row), gl.load(dt + row), gl.load(BC + bc_row), gl.load(BC + bc_row + N), gl.load(dy + row)


@gluon.jit
def _backward(
    u, dt, BC, A_t, D, h_kept, dy, du, dx, dBC, dA_t, dD, dbias,
    rows, L, bc_stride, bc_offset,
    DI: gl.constexpr, N: gl.constexpr, BD: gl.constexpr, T: gl.constexpr,
):  # fmt: skip
    b = gl.program_id(1).to(gl.int64)
    block = gl.program_id(0).to(gl.int64)
    d = gl.program_id(0) * BD + gl.arange(0, BD, layout=gl.SliceLayout(0, TILE))
    n = gl.arange(0, N, layout=gl.SliceLayout(1, TILE))
    nn = gl.arange(0, 2 * N, layout=gl.SliceLayout(1, TURNED))
    nd = n[:, None] * DI + d[None, :]
    a = gl.load(A_t + nd) * LOG2E
    channel: gl.constexpr = gl.SliceLayout(1, gl.SliceLayout(2, BY_CHANNEL))
    c = gl.program_id(0) * BD + gl.arange(0, BD, layout=channel)
    skip = gl.load(D + c)
    g = gl.zeros([N, BD], gl.float32, layout=TILE)
    dA_sum = gl.zeros([N, BD], gl.float32, layout=TILE)
    dD_sum = gl.zeros([BD], gl.float32, layout=channel)
    dbias_sum = gl.zeros([BD], gl.float32, layout=channel)
    hs = gl.allocate_shared_memory(gl.float32, [T, N, BD], SHARED)  # the states before each token
    u += b * L * DI
    dt += b * L * DI
    dy += b * L * DI
    du += b * L * DI
    dx += b * L * DI
    BC += b * L * bc_stride + bc_offset
    dBC += (block * rows + b * L) * 2 * N
    h_kept += ((b + 1) * (L // T) - 1) * N * DI
    for chunk_from_end in range(L // T):
        t0 = (L // T - 1 - chunk_from_end) * T
        # All of the chunk's loads come first: none may overtake a store.
        h = gl.load(h_kept + nd).to(gl.float32)
        h_kept -= N * DI
        tokens = ()
        for i in gl.static_range(T):
            tokens = tokens + (_load_token(u, dt, BC, dy, t0 + i, d, n, bc_stride, DI, N),)
        channels = ()
        for i in gl.static_range(T):
            row = (t0 + i) * DI + c
            channels = channels + ((gl.load(u + row), gl.load(dt + row), gl.load(dy + row)),)
        # Loaded anew, or the compiler would keep this pass's exponentials for the next and
        # spill them: computing them twice is faster.
        a_again = gl.load(A_t + nd) * LOG2E
        for i in gl.static_range(T):
            hs.index(i).store(h)
            u_t = tokens[i][0].to(gl.float32)
            dt_t = tokens[i][1].to(gl.float32)
            B_t = tokens[i][2].to(gl.float32)
            h = gl.exp2(dt_t[None, :] * a_again) * h + (dt_t * u_t)[None, :] * B_t[:, None]
        for i in gl.static_range(T - 1, -1, -1):
            t = t0 + i
            u_t = tokens[i][0].to(gl.float32)
            dt_t = tokens[i][1].to(gl.float32)
            B_t = tokens[i][2].to(gl.float32)
            C_t = tokens[i][3].to(gl.float32)
            dy_t = tokens[i][4].to(gl.float32)
            g += dy_t[None, :] * C_t[:, None]
            dBC_t = _sum_channels((dt_t * u_t)[None, :] * g, dy_t[None, :] * h, N, BD)
            gB = g * B_t[:, None]
            g = gl.exp2(dt_t[None, :] * a) * g
            h = hs.index(i).load(TILE)
            gh = g * h
            dA_sum += gh * dt_t[None, :]
            gB_t, gA_t = _sum_states(gB, gh * a, N, BD)
            # One channel a lane from here.
            u_c = channels[i][0].to(gl.float32)
            dt_c = channels[i][1].to(gl.float32)
            dy_c = channels[i][2].to(gl.float32)
            dx_t = (gB_t * u_c + gA_t / LOG2E) * (1 - gl.exp2(-LOG2E * dt_c))
            dD_sum += dy_c * u_c
            dbias_sum += dx_t
            gl.store(du + t * DI + c, (gB_t * dt_c + dy_c * skip).to(du.dtype.element_ty))
            gl.store(dx + t * DI + c, dx_t.to(dx.dtype.element_ty))
            gl.store(dBC + t * 2 * N + nn, dBC_t.to(dBC.dtype.element_ty))
    gl.store(dA_t + b * N * DI + nd, dA_sum)
    gl.store(dD + b * DI + c, dD_sum)
    gl.store(dbias + b * DI + c, dbias_sum)


def scan_forward(u, dt, BC, bc_offset, A, D, h0=None, keep=True):
    """y, the kept states (for `scan_backward`; None unless `keep`) and the state after the last token."""
    batch, L, DI = u.shape
    N = A.shape[1]
    assert L % CHUNK == 0 and DI % CHANNELS == 0, f"L {L} and DI {DI} must be multiples of {CHUNK}, {CHANNELS}"
    assert N == D_STATE, f"the tiles are laid out for N = {D_STATE}, not {N}"
    y = torch.empty_like(u)
    h_kept = u.new_empty(batch, L // CHUNK, N, DI) if keep else None
    h_last = A.new_empty(batch, DI, N)
    _forward[(DI // CHANNELS, batch)](
        u, dt, BC, A.t().contiguous(), D, h_last if h0 is None else h0, y, h_last if h_kept is None else h_kept, h_last,
        L, BC.stride(0), bc_offset,
        DI=DI, N=N, BD=CHANNELS, T=CHUNK, HAS_H0=h0 is not None, KEEP=keep, num_warps=1, maxnreg=128,
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
    dA_t = A.new_empty(batch, N, DI)
    dD, dbias = A.new_empty(batch, DI), A.new_empty(batch, DI)
    _backward[(DI // CHANNELS, batch)](
        u, dt, BC, A.t().contiguous(), D, h_kept, dy, du, dx, dBC, dA_t, dD, dbias,
        tokens, L, BC.stride(0), bc_offset,
        DI=DI, N=N, BD=CHANNELS, T=CHUNK, num_warps=1,
    )  # fmt: skip
    return du, dx, dBC.sum(0), dA_t.sum(0).t(), dD.sum(0), dbias.sum(0)
