"""Trains a VMamba v2 on the photographs of Imagenette (128×128, 10 classes) on one GPU and writes it as a checkpoint folder.

    python3 scripts/train/vmamba.py --images DIR --out DIR --smoke
    python3 scripts/train/vmamba.py --images DIR --out DIR --epochs 300 --seconds 480

A call trains for at most --seconds; called again with the same arguments it goes on from OUT/state.pt until --epochs are done, and the
result is that of a training that never stopped. A step is a function of the seed and its number: order of the pictures, augmentation
and dropped branches are drawn on the CPU. The forward and backward pass with the augmentation is one CUDA graph.

OUT gets curve.jsonl (a line an epoch: step, seconds, loss, learning rate, pictures a second, and top-1 of the averaged weights in bf16).
When the training is done, or with --export, also the averaged weights (model.safetensors, config.json, preprocessor_config.json; see vision_checkpoint.py) and what
the folder's model says of every validation picture in f32: predictions.npz and summary.json.
--smoke trains for 20 s, says how many epochs fit into 18 minutes and exports, so that a call tries everything.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from augment import FIELDS, Augment, draw
from images import read_classes, read_images
from vision_checkpoint import evaluate_folder, write_model
from vmamba_model import Sizes, VMamba

SMOKE_SECONDS, WHOLE_SECONDS = 20, 18 * 60
WARM_RUNS = 3
VALIDATION_BATCH = 512


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of the .webppack and .idx files and classes.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=480, help="of training in this call")
    parser.add_argument("--smoke", action="store_true", help="20 s, then export")
    parser.add_argument("--export", action="store_true", help="write the model at the end of the call, done or not")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=10, help="epochs")
    parser.add_argument("--weight-decay", type=float, default=0.08)
    parser.add_argument("--clip", type=float, default=2.0, help="largest norm of the gradient")
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--drop-path", type=float, default=0.15, help="of the last block; the first has 0")
    parser.add_argument("--depths", type=int, nargs="+", default=list(Sizes.depths))
    parser.add_argument("--dims", type=int, default=Sizes.dims)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate-every", type=int, default=1, help="epochs")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-graph", action="store_true")
    parser.add_argument("--limit", type=int, help="the first pictures of each split only, for checks")
    parser.add_argument("--size", type=int, help="pictures made this small, for checks")
    return parser.parse_args()


def shrink(images: torch.Tensor, size: int | None) -> torch.Tensor:
    if size is None:
        return images
    small = F.interpolate(images.permute(0, 3, 1, 2).float(), (size, size), mode="area")
    return small.round().byte().permute(0, 2, 3, 1).contiguous()


def decayed(name: str, parameter: torch.Tensor) -> bool:
    """Decay would pull A, D, the step size's bias and the norms off their meaning."""
    return name.endswith("weight") and parameter.ndim > 1


class Training:
    """Everything that changes from step to step."""

    def __init__(self, args: argparse.Namespace, device: str):
        torch.manual_seed(args.seed)
        self.args, self.device, self.cuda = args, device, device == "cuda"
        pictures, labels = read_images(args.images, "train", args.limit)
        self.images, self.labels = shrink(pictures, args.size).to(device), labels.to(device)
        pictures, labels = read_images(args.images, "val", args.limit)
        self.validation = shrink(pictures, args.size).to(device), labels.to(device)
        classes = len(read_classes(args.images))
        self.model = VMamba(Sizes(depths=tuple(args.depths), dims=args.dims, num_classes=classes)).to(device)
        self.forward = self.model if args.no_compile else torch.compile(self.model, dynamic=False)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        named = list(self.model.named_parameters())
        groups = [
            {"params": [p for n, p in named if decayed(n, p)], "weight_decay": args.weight_decay},
            {"params": [p for n, p in named if not decayed(n, p)], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.999), fused=self.cuda)
        self.augment = Augment(self.images.shape[1], classes, device)
        self.steps_an_epoch = len(self.images) // args.batch
        if self.steps_an_epoch == 0:
            raise ValueError(f"{len(self.images)} pictures are fewer than one batch: give a --batch below {args.batch}")
        self.steps = args.epochs * self.steps_an_epoch
        blocks = sum(args.depths)
        self.drop = torch.linspace(0, args.drop_path, blocks)[:, None, None]
        # What a step reads, at places that a captured step knows.
        self.index = torch.zeros(args.batch, dtype=torch.long, device=device)
        self.draws = torch.zeros(len(FIELDS), args.batch, device=device)
        self.keep = torch.zeros(blocks, 2, args.batch, device=device)
        self.loss = torch.zeros((), device=device)
        self.graph = None
        self.step, self.seconds = 0, 0.0

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    def feed(self) -> None:
        args, (epoch, within) = self.args, divmod(self.step, self.steps_an_epoch)
        order = torch.Generator().manual_seed(args.seed * 1_000_003 + epoch)
        batch = torch.randperm(len(self.images), generator=order)[within * args.batch : (within + 1) * args.batch]
        drops = torch.Generator().manual_seed(args.seed * 1_000_003 + self.step)
        kept = torch.rand(self.keep.shape, generator=drops) >= self.drop
        for to, values in (
            (self.index, batch), (self.keep, kept / (1 - self.drop)),
            (self.draws, torch.from_numpy(draw(args.seed, self.step, args.batch))),
        ):  # fmt: skip
            to.copy_(values.pin_memory() if self.cuda else values, non_blocking=True)

    def compute(self) -> None:
        """The gradients of one batch."""
        with torch.no_grad():
            pixels, targets = self.augment(self.images[self.index], self.labels[self.index], self.draws)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.cuda):
            logits = self.forward(pixels, self.keep)
        loss = F.cross_entropy(logits.float(), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.loss += loss.detach()

    def capture(self) -> None:
        """Nothing that the warm runs do outlives them: no weight changes, and the loss is put back."""
        self.feed()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_RUNS):
                self.compute()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.compute()
        self.loss.zero_()
        torch.cuda.synchronize()

    def rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self.args.warmup * self.steps_an_epoch))
        return self.args.lr * warm * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))

    @torch.no_grad()
    def update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        parameters = list(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, self.args.clip)
        self.optimizer.step()
        decay = min(self.args.ema, (1 + self.step) / (10 + self.step))  # the first weights are forgotten soon
        torch._foreach_lerp_(list(self.averaged.parameters()), parameters, 1 - decay)

    def advance(self) -> None:
        self.feed()
        if self.graph is None:
            self.compute()
        else:
            self.graph.replay()
        self.update()
        self.step += 1

    @torch.no_grad()
    def validate(self) -> float:
        """Top-1 of the averaged weights, bf16 on a GPU."""
        images, labels = self.validation
        right = torch.zeros((), dtype=torch.long, device=self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.cuda):
            for part, wanted in zip(images.split(VALIDATION_BATCH), labels.split(VALIDATION_BATCH)):
                right += (self.averaged(self.augment.normalise(part)).argmax(1) == wanted).sum()
        return right.item() / len(labels)

    def settings(self) -> dict:
        """What a resumed training must share with the one that was saved."""
        names = ("epochs", "batch", "lr", "warmup", "weight_decay", "clip", "ema", "drop_path", "depths", "dims", "seed", "limit", "size")
        return {name: getattr(self.args, name) for name in names}

    def save(self, path: Path) -> None:
        parts = {"model": self.model.state_dict(), "averaged": self.averaged.state_dict(), "optimizer": self.optimizer.state_dict()}
        part = path.with_suffix(".part")
        torch.save({**parts, "step": self.step, "seconds": self.seconds, "settings": self.settings()}, part)
        part.rename(path)

    def load(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device, weights_only=True)
        other = {k: (v, self.settings()[k]) for k, v in saved["settings"].items() if v != self.settings()[k]}
        if other:
            raise ValueError(f"{path} was trained with other settings (then, now): {other}; give the same ones or another --out")
        self.model.load_state_dict(saved["model"])
        self.averaged.load_state_dict(saved["averaged"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.seconds = saved["step"], saved["seconds"]


def train(training: Training, seconds: float) -> None:
    """Until all steps or the seconds are done, and logs every epoch."""
    start, before, epoch = time.monotonic(), training.seconds, training.steps_an_epoch
    marked_step, marked_seconds = training.step, 0.0
    with (training.args.out / "curve.jsonl").open("a" if training.step else "w") as curve:
        while not training.done and time.monotonic() - start < seconds:
            training.advance()
            if training.step % epoch and not training.done:
                continue
            steps = training.step - marked_step
            loss = training.loss.item() / steps  # waits for the GPU
            training.loss.zero_()
            spent = time.monotonic() - start
            line = {"epoch": training.step // epoch, "step": training.step, "seconds": round(before + spent, 2)}
            line |= {"loss": round(loss, 5), "lr": round(training.rate(), 7)}
            line |= {"images_per_second": round(steps * training.args.batch / (spent - marked_seconds))}
            if line["epoch"] % training.args.validate_every == 0 or training.done:
                line["top1"] = round(training.validate(), 5)
            print(json.dumps(line), file=curve, flush=True)
            print(line, flush=True)
            if loss != loss:
                raise FloatingPointError(f"the loss is not a number at step {training.step}: lower --lr")
            marked_step, marked_seconds = training.step, time.monotonic() - start
    training.loss.zero_()
    training.seconds = before + time.monotonic() - start


def main() -> None:
    args = parse_arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = time.monotonic()
    # Equal runs give equal weights; and figures of f32 are of f32.
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if device == "cuda":
        from check_cross_scan import check

        print(f"{torch.cuda.get_device_name()}; kernels against autograd, worst relative errors:", check(device), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    training = Training(args, device)
    state = args.out / "state.pt"
    if state.exists() and not args.smoke:
        training.load(state)
    count = sum(p.numel() for p in training.model.parameters())
    print(f"{count} parameters, {len(training.images)} pictures, {training.steps_an_epoch} steps an epoch, at step {training.step}", flush=True)
    if device == "cuda" and not args.no_graph and not training.done:
        training.capture()
    print(f"{time.monotonic() - began:.1f} s until the first step", flush=True)
    first, seconds_before = training.step, training.seconds
    train(training, SMOKE_SECONDS if args.smoke else args.seconds)
    spent, steps = training.seconds - seconds_before, training.step - first
    if steps:
        epochs = WHOLE_SECONDS / (spent / steps) / training.steps_an_epoch
        print(f"{steps} steps in {spent:.1f} s, {1000 * spent / steps:.2f} ms each; {int(epochs)} epochs fit into 18 minutes", flush=True)
    if not args.smoke:
        training.save(state)
    if training.done or args.smoke or args.export:
        classes = read_classes(args.images)
        write_model(training.averaged, args.out, classes, training.images.shape[1])
        evaluate_folder(args.out, *training.validation, classes, device)


if __name__ == "__main__":
    main()
