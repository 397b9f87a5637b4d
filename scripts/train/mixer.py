"""The Mamba-1 mixer as one autograd function over the Triton kernels.

    x, z = in_proj(h)                              (tokens, DI) each
    u = SiLU(conv(x))
    low, B, C = x_proj(u)                          (tokens, R), (tokens, N), (tokens, N)
    dt = softplus(dt_proj(low))
    y = scan(u, dt, A = −exp(A_log), B, C, D)
    delta = out_proj(y·SiLU(z))

One function and not seven, so that halves of a matrix are read and written in place:
autograd would copy xz, low|B|C and their gradients apart and together again.
"""

import torch
from causal_conv import conv_backward, conv_forward
from gate import gate_backward, gate_forward, step_size
from selective_scan import scan_backward, scan_forward


class Mixer(torch.autograd.Function):
    """h (tokens, DM) → delta (tokens, DM), and the state after the last token, detached.

    `state` is None (a fresh sequence) or (conv tail (batch, K−1, DI), h (batch, DI, N) f32).
    Matrices are used in h's type; A, D, the convolution and the biases stay f32.
    """

    @staticmethod
    def forward(ctx, h, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, batch, state):
        in_proj, x_proj, dt_proj, out_proj = (w.to(h.dtype) for w in (in_proj, x_proj, dt_proj, out_proj))
        conv_weight = conv_weight.squeeze(1)
        tail, h0 = state or (None, None)
        R = dt_proj.shape[1]
        A = -torch.exp(A_log)

        xz = h @ in_proj.t()
        u, new_tail = conv_forward(xz, conv_weight, conv_bias, batch, tail)
        low_BC = u.flatten(0, 1) @ x_proj.t()
        dt = step_size(low_BC[:, :R], dt_proj, dt_bias, batch)
        y, h_kept, h_last = scan_forward(u, dt, low_BC, R, A, D, h0, keep=any(ctx.needs_input_grad))
        out = gate_forward(y, xz)
        delta = out @ out_proj.t()

        ctx.batch = batch
        ctx.save_for_backward(
            h, xz, u, low_BC, dt, y, out, h_kept, tail,
            in_proj, conv_weight, conv_bias, x_proj, dt_proj, A, D, out_proj,
        )  # fmt: skip
        ctx.mark_non_differentiable(new_tail, h_last)
        return delta, new_tail, h_last

    @staticmethod
    def backward(ctx, ddelta, _tail, _h_last):
        (
            h, xz, u, low_BC, dt, y, out, h_kept, tail,
            in_proj, conv_weight, conv_bias, x_proj, dt_proj, A, D, out_proj,
        ) = ctx.saved_tensors  # fmt: skip
        R = dt_proj.shape[1]

        dout = ddelta @ out_proj
        dout_proj = ddelta.t() @ out
        dxz = torch.empty_like(xz)
        dy = gate_backward(y, xz, dout, dxz)
        du, dx, dBC, dA, dD, ddt_bias = scan_backward(u, dt, low_BC, R, A, D, h_kept, dy)
        dx = dx.flatten(0, 1)
        dlow_BC = torch.cat([dx @ dt_proj, dBC], 1)
        ddt_proj = dx.t() @ low_BC[:, :R]
        dx_proj = dlow_BC.t() @ u.flatten(0, 1)
        dconv_weight, dconv_bias = conv_backward(
            xz, conv_weight, conv_bias, ctx.batch, tail, du, dlow_BC @ x_proj, dxz
        )
        return (
            dxz @ in_proj, (dxz.t() @ h).float(), dconv_weight.unsqueeze(1), dconv_bias,
            dx_proj.float(), ddt_proj.float(), ddt_bias, dA * A, dD, dout_proj.float(), None, None,
        )  # fmt: skip
