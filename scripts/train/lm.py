"""Trains a Mamba-1 language model for a given time on one GPU and writes it as a checkpoint folder.

    python3 scripts/train/lm.py --tokens DIR --tokenizer tokenizer.json --out DIR --budget 480

OUT gets the model (see checkpoint.py) and curve.jsonl: step, tokens, seconds, loss (mean since
the line before, nats a token), lr, tokens_per_second; and every --validate-every steps the
validation loss of the evaluation texts in --tokens. --save FILE keeps what --resume needs:
a training may be cut by --stop-after into pieces, on any day.
"""

import argparse
import json
import time
from pathlib import Path
from typing import TextIO

import torch
from batches import Batches
from check import check
from checkpoint import read_model, write_model
from corpus import load_training_stream, load_validation
from cross_entropy import LinearCrossEntropy
from model import LanguageModel, Sizes
from muon import Muon

FINISHED = 1.0
VALIDATION_WINDOWS = 128  # of each text, at the most


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=Path, required=True, help="folder of tokenize_corpus.py")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--budget", type=float, help="seconds of training; the rate falls to 0 at their end")
    length.add_argument("--steps", type=int, help="steps of training; runs with equal arguments are then equal")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon", help="of in_proj and out_proj")
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--fresh", type=int, default=48, help="rows that start from a zero state")
    parser.add_argument("--carried", type=int, default=16, help="rows that carry their state on")
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    parser.add_argument("--validate-every", type=int, default=500, help="steps")
    parser.add_argument("--save", type=Path, help="file for the state of the training")
    parser.add_argument("--save-every", type=float, default=120, help="seconds")
    parser.add_argument("--stop-after", type=int, help="stop and save after this step, to be resumed")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", type=Path, help="a file that --save wrote")
    begin.add_argument("--init", type=Path, help="checkpoint folder whose weights a new training begins with")
    return parser.parse_args()


def make_optimizers(model: LanguageModel, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """One for the two large matrices of each layer, unless AdamW is to have them too, and AdamW for the rest."""
    named = dict(model.named_parameters())
    large = {n: p for n, p in named.items() if n.endswith(("in_proj.weight", "out_proj.weight"))}
    if args.optimizer == "adamw":
        large = {}
    # Decay would pull A, D, the step size's bias and the norms off their meaning.
    decays = {n for n in named if n.endswith("proj.weight") or "embeddings" in n}
    decayed = [p for n, p in named.items() if n in decays and n not in large]
    others = [p for n, p in named.items() if n not in decays]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), fused=True)
    return [adam, Muon(large.values(), lr=args.lr, weight_decay=args.weight_decay)] if large else [adam]


class Training:
    """Everything that changes from step to step."""

    def __init__(self, args: argparse.Namespace):
        torch.manual_seed(args.seed)
        self.args = args
        self.model = read_model(args.init, "cuda").requires_grad_() if args.init else LanguageModel(Sizes()).cuda()
        self.optimizers = make_optimizers(self.model, args)
        stream = load_training_stream(args.tokens)
        self.stream = torch.from_numpy(stream.astype("int32")).cuda()
        self.batches = Batches(stream, args.window, args.fresh, args.carried, args.seed)
        self.validation = load_validation(args.tokens)
        self.state = None
        self.step = 0
        self.seconds = 0.0

    def progress(self) -> float:
        done = self.step / self.args.steps if self.args.steps else self.seconds / self.args.budget
        return min(done, FINISHED)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        starts, keep = self.batches.step(self.step)
        starts = torch.from_numpy(starts).cuda(non_blocking=True)
        rows = self.stream[starts[:, None] + torch.arange(self.args.window + 1, device="cuda")].long()
        return rows[:, :-1], rows[:, 1:], torch.from_numpy(keep).cuda(non_blocking=True)[:, None, None]

    def advance(self) -> tuple[torch.Tensor, float]:
        """One step; returns its loss (on the GPU) and its learning rate."""
        inputs, targets, keep = self.batch()
        lr = self.args.lr * min(1.0, (self.step + 1) / self.args.warmup) * (FINISHED - self.progress())
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        if self.args.carried and self.state:
            self.state = [(tail * keep, h * keep) for tail, h in self.state]
        h, state = self.model(inputs, self.state)
        # Without carried rows every window starts from a zero state.
        self.state = state if self.args.carried else None
        loss = LinearCrossEntropy.apply(h, self.model.backbone.embeddings.weight, targets.flatten())
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return loss.detach(), lr

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss (nats a token, bf16) of windows from the beginning of each evaluation text, each from a zero state."""
        losses = {}
        for name, tokens in self.validation.items():
            count = min(VALIDATION_WINDOWS, (len(tokens) - 1) // self.args.window)
            fed = torch.from_numpy(tokens[: count * self.args.window + 1].astype("int64")).cuda()
            h, _ = self.model(fed[:-1].view(count, -1))
            losses[name] = LinearCrossEntropy.apply(h, self.model.backbone.embeddings.weight, fed[1:]).item()
        return losses

    def save(self, path: Path) -> None:
        """The order of the data is a function of seed and step, and nothing else is random after the start."""
        path.parent.mkdir(parents=True, exist_ok=True)
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        parts = {"model": self.model.state_dict(), "optimizers": optimizers, "state": self.state}
        torch.save({**parts, "step": self.step, "seconds": self.seconds, "rng": torch.get_rng_state()}, path)

    def load(self, path: Path) -> None:
        saved = torch.load(path, map_location="cuda", weights_only=True)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.state, self.step, self.seconds = saved["state"], saved["step"], saved["seconds"]
        torch.set_rng_state(saved["rng"].cpu())


def log_validation(training: Training, curve: TextIO) -> None:
    line = {"step": training.step, "validation": {n: round(v, 5) for n, v in training.validate().items()}}
    print(json.dumps(line), file=curve, flush=True)
    print(line, flush=True)


def main() -> None:
    args = parse_arguments()
    print("kernels against autograd, worst relative errors:", check("cuda"), flush=True)
    training = Training(args)
    if args.resume:
        training.load(args.resume)
    count = sum(p.numel() for p in training.model.parameters())
    print(f"{count} parameters, {len(training.stream)} tokens an epoch", flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    tokens_a_step = args.window * (args.fresh + args.carried)
    start, seconds_before = time.monotonic(), training.seconds
    logged_step, logged_seconds, saved_seconds = training.step, training.seconds, training.seconds
    losses = torch.zeros((), device="cuda")
    with (args.out / "curve.jsonl").open("a" if args.resume else "w") as curve:
        while training.progress() < FINISHED and training.step != args.stop_after:
            loss, lr = training.advance()
            losses += loss
            if training.step % args.log_every == 0:
                mean = losses.item() / (training.step - logged_step)  # waits for the GPU
                seconds = seconds_before + time.monotonic() - start
                rate = (training.step - logged_step) * tokens_a_step / (seconds - logged_seconds)
                line = {"step": training.step, "tokens": training.step * tokens_a_step, "seconds": round(seconds, 2)}
                line |= {"loss": round(mean, 5), "lr": round(lr, 7), "tokens_per_second": round(rate)}
                print(json.dumps(line), file=curve, flush=True)
                print(line, flush=True)
                if mean != mean:
                    raise FloatingPointError(f"the loss is not a number at step {training.step}: lower --lr")
                losses.zero_()
                logged_step, logged_seconds = training.step, seconds
            if training.step % args.validate_every == 0:
                log_validation(training, curve)
            training.seconds = seconds_before + time.monotonic() - start
            if args.save and training.seconds - saved_seconds > args.save_every:
                training.save(args.save)
                saved_seconds = training.seconds
        torch.cuda.synchronize()
        if training.step % args.validate_every:
            log_validation(training, curve)
    seconds = seconds_before + time.monotonic() - start
    print(f"{training.step} steps, {training.step * tokens_a_step} tokens, {seconds:.1f} s", flush=True)
    if args.save:
        training.save(args.save)
    write_model(training.model, args.tokenizer, args.out)


if __name__ == "__main__":
    main()
