"""Checks every kernel against plain autograd on fresh random inputs; training starts with it.

    python3 scripts/train/check.py
"""

import torch
import torch.nn.functional as F
from add_norm import AddNorm
from check_errors import TOLERANCE, compare
from cross_entropy import LinearCrossEntropy
from mixer import Mixer


def reference_mixer(h, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, batch, state):
    """The equations of mixer.py, token by token, in h's type."""
    DI, N, R = A_log.shape[0], A_log.shape[1], dt_proj.shape[1]
    x, z = (h @ in_proj.t()).view(batch, -1, 2 * DI).split(DI, 2)
    L = x.shape[1]
    tail, state_h = state or (x.new_zeros(batch, 3, DI), x.new_zeros(batch, DI, N))
    padded = torch.cat([tail.to(x.dtype), x], 1)
    u = F.silu(sum(padded[:, k : k + L] * conv_weight[:, 0, k] for k in range(4)) + conv_bias)
    low, B, C = (u @ x_proj.t()).split([R, N, N], 2)
    dt = F.softplus(low @ dt_proj.t() + dt_bias)
    A, ys = -torch.exp(A_log), []
    state_h = state_h.to(x.dtype)
    for t in range(L):
        state_h = torch.exp(dt[:, t, :, None] * A) * state_h + (dt[:, t] * u[:, t])[..., None] * B[:, t, None]
        ys.append((state_h * C[:, t, None]).sum(2) + D * u[:, t])
    delta = (torch.stack(ys, 1) * F.silu(z)).flatten(0, 1) @ out_proj.t()
    return delta, padded[:, -3:], state_h


def check(device: str, batch=2, L=72, DM=64, DI=128, N=16, R=16, V=300) -> dict:
    """Returns the worst relative error of each type; raises if one is out of tolerance."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for dtype in TOLERANCE:

        def draw(*shape, scale=1.0):
            return torch.randn(*shape, device=device) * scale

        def leaves(tensors):
            return [t.detach().clone().requires_grad_() for t in tensors]

        # Drawn in `dtype` and compared in f64, so that the inputs are the same numbers.
        h = draw(batch * L, DM).to(dtype)
        matrices = [
            draw(2 * DI, DM, scale=DM**-0.5), draw(DI, 1, 4, scale=0.5), draw(DI, scale=0.1),
            draw(R + 2 * N, DI, scale=2 * DI**-0.5), draw(DI, R, scale=R**-0.5), draw(DI) - 2,
            torch.rand(DI, N, device=device) * 2, draw(DI), draw(DM, DI, scale=DI**-0.5),
        ]  # fmt: skip
        for i in (0, 3, 4, 8):
            matrices[i] = matrices[i].to(dtype).float()
        weight = draw(batch * L, DM).to(dtype)
        for state in (None, (draw(batch, 3, DI).to(dtype), draw(batch, DI, N))):
            ours, plain = leaves([h, *matrices]), leaves([t.double() for t in (h, *matrices)])
            got = Mixer.apply(*ours, batch, state)
            want = reference_mixer(*plain, batch, state)
            got_grads = torch.autograd.grad((got[0].float() * weight.float()).sum(), ours)
            want_grads = torch.autograd.grad((want[0] * weight.double()).sum(), plain)
            compare("mixer", dtype, [*got, *got_grads], [*want, *want_grads], worst)

        x, delta, norm = draw(batch * L, DM), draw(batch * L, DM).to(dtype), draw(DM)
        ours, plain = leaves([x, delta, norm]), leaves([t.double() for t in (x, delta, norm)])
        got = AddNorm.apply(*ours, 1e-5, dtype)
        total = plain[0] + plain[1]
        want = total, F.rms_norm(total, (DM,), plain[2], 1e-5)
        weights = draw(batch * L, DM), weight
        got_grads = torch.autograd.grad(sum((a.float() * w.float()).sum() for a, w in zip(got, weights)), ours)
        want_grads = torch.autograd.grad(sum((a * w).sum() for a, w in zip(want, weights)), plain)
        compare("add_norm", dtype, [*got, *got_grads], [*want, *want_grads], worst)

        embedding, targets = draw(V, DM, scale=0.3).to(dtype).float(), torch.randint(V, (batch * L,), device=device)
        ours, plain = leaves([h, embedding]), leaves([h.double(), embedding.double()])
        got = LinearCrossEntropy.apply(*ours, targets)
        want = F.cross_entropy(plain[0] @ plain[1].t(), targets)
        grads = torch.autograd.grad(got, ours), torch.autograd.grad(want, plain)
        compare("cross_entropy", dtype, [got, *grads[0]], [want, *grads[1]], worst)
    return {str(dtype).removeprefix("torch."): error for dtype, error in worst.items()}


if __name__ == "__main__":
    print("worst relative errors:", check("cuda"))
