"""The tied output projection and its cross-entropy, with gradients made in the forward pass.

The logits are the largest tensor of a step. Each row is read once: the kernel turns it
into its own gradient in place, so neither probabilities nor a second copy exist.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _loss_and_gradient(logits, targets, losses, scale, V: tl.constexpr, BV: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    v = tl.arange(0, BV)
    target = tl.load(targets + row)
    at = logits + row * V + v
    x = tl.load(at, mask=v < V, other=-float("inf")).to(tl.float32)
    top = tl.max(x, 0)
    e = tl.exp(x - top)
    total = tl.sum(e, 0)
    x_target = tl.sum(tl.where(v == target, x, 0.0), 0)
    tl.store(losses + row, tl.log(total) + top - x_target)
    gradient = (e / total - tl.where(v == target, 1.0, 0.0)) * scale
    tl.store(at, gradient.to(logits.dtype.element_ty), mask=v < V)


class LinearCrossEntropy(torch.autograd.Function):
    """(h (tokens, DM), embedding (V, DM) f32, targets (tokens)) → mean loss in nats, f32."""

    @staticmethod
    def forward(ctx, h, embedding, targets):
        tokens, V = targets.shape[0], embedding.shape[0]
        weight = embedding.to(h.dtype)
        logits = h @ weight.t()
        losses = h.new_empty(tokens, dtype=torch.float32)
        _loss_and_gradient[(tokens,)](
            logits, targets, losses, 1 / tokens, V=V, BV=triton.next_power_of_2(V), num_warps=8
        )
        ctx.save_for_backward(logits @ weight, (logits.t() @ h).float())
        return losses.mean()

    @staticmethod
    def backward(ctx, dloss):
        dh, dembedding = ctx.saved_tensors
        return dh * dloss.to(dh.dtype), dembedding * dloss, None
