"""Time the solvers on one large site against the dense float64 formula, in one run on one machine.

    python -m tests.benchmarks                        3072 x 8192, 50 requests, float32 weights
    python -m tests.benchmarks --outputs 512 --inputs 1024 --requests 10

Random data. Every contestant starts from the same given tensors (V and the value moment included) and ends with a
written W' in float32. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import zu_framework as zu
from zu_framework.algebra import null_space_key
from zu_framework.linalg import NullSpace
from zu_zerounlearn.gradient import PUBLISHED_THRESHOLD
from zu_zerounlearn.options import GradientOptions

LB, LF, LR, SLACK = 15000.0, 50.0, 1.0, 0.01
A, B, ADAM_STEPS = 100.0, 0.1, 500


@dataclass
class Site:
    """The data of one site: float32 weight and representations, a float64 key moment with a known null space."""

    weight: Tensor
    keys: Tensor
    values: Tensor
    targets: Tensor
    sensitive: Tensor
    key_moment: Tensor
    value_moment: Tensor
    null: Tensor

    def problem(self, background: zu.Background) -> zu.EditProblem:
        return zu.EditProblem(self.weight, self.keys, self.values, self.targets, self.sensitive, background)


def site(outputs: int, inputs: int, requests: int, null: int) -> Site:
    made = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made)

    weight, keys = normal(outputs, inputs) / inputs**0.5, normal(inputs, requests)
    basis = torch.linalg.qr(normal(inputs, null).double())[0]  # (i, null): no background key lies here
    text = normal(inputs, 2 * inputs).double()
    text -= basis @ (basis.T @ text)
    moment = text @ text.T / text.shape[1]
    wide = weight.double()
    return Site(
        weight, keys, weight @ keys, normal(outputs, requests), normal(outputs, requests),
        moment, wide @ moment @ wide.T, basis,
    )  # fmt: skip


def dense_closed_form(at: Site) -> Tensor:
    """The published formula as written: W C, W (..) W^T, one (o, o) solve, P D W; float64."""
    W, K, T, C = (t.double() for t in (at.weight, at.keys, at.targets, at.key_moment))
    right = (LB * (W @ C) + LF * T @ K.T + LR * W) @ W.T
    moment = W @ (LB * C + LF * K @ K.T + LR * torch.eye(len(C)).double()) @ W.T
    remap = torch.linalg.solve(moment, right, left=False)
    basis = torch.linalg.qr(at.sensitive.double())[0]
    projector = (1 + SLACK) * torch.eye(len(W)).double() - basis @ basis.T
    return projector @ (remap @ W)


def adam_step(at: Site) -> Callable[[], Tensor]:
    """One step of the published gradient variant: a full (o, i) float64 matrix D, X = D P."""
    W, K, T = at.weight.double(), at.keys.double(), at.targets.double()
    projector = at.null @ at.null.T  # (i, i)
    basis = torch.linalg.qr(at.sensitive.double())[0]
    parameter = torch.zeros_like(W, requires_grad=True)
    optimiser = torch.optim.Adam([parameter], lr=1e-3)

    def step() -> Tensor:
        optimiser.zero_grad()
        change = parameter @ projector
        after = (W + change) @ K
        loss = (basis.T @ after).square().sum() + A * (after - T).square().sum() + B * change.square().sum()
        loss.backward()
        optimiser.step()
        return parameter

    return step


def seconds(run: Callable[[], Tensor], repeats: int) -> float:
    """Median wall-clock time."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outputs", type=int, default=3072)
    parser.add_argument("--inputs", type=int, default=8192)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--null", type=int, default=256, help="size of the null space")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    at = site(asked.outputs, asked.inputs, asked.requests, asked.null)
    settings = {"background_weight": LB, "forget_weight": LF, "ridge": LR, "slack": SLACK}

    written = torch.empty_like(
        at.weight
    )  # where each side writes W', as a run writes into the model's own weight

    def closed_form(background: zu.Background) -> Tensor:
        return zu.solve("zerounlearn", at.problem(background), **settings).apply(at.weight, out=written)

    def fresh() -> zu.Background:
        return zu.Background.from_moments(at.key_moment, at.value_moment)

    kept = fresh()
    ours = closed_form(kept).clone()  # imports, thread pools and the cached factor are warm from here on
    start = time.perf_counter()
    reference = written.copy_(dense_closed_form(at))
    dense = time.perf_counter() - start
    error = float((ours.double() - reference.double()).norm() / reference.double().norm())
    uncached = seconds(lambda: closed_form(fresh()), 3)
    cached = seconds(lambda: closed_form(kept), 7)

    options = GradientOptions(null_rank=asked.null)
    background = fresh()
    problem = at.problem(background)
    problem.background.cached(
        null_space_key(options, PUBLISHED_THRESHOLD, torch.float64), lambda: NullSpace(at.null, 0.0)
    )

    def exact() -> Tensor:
        again = replace(problem, background=background)
        return zu.solve("zerounlearn-gd", again, null_rank=asked.null).apply(at.weight, out=written)

    gradient = seconds(exact, 5)
    step = adam_step(at)
    adam = seconds(step, 2)

    print(
        f"{asked.outputs} x {asked.inputs}, n = {asked.requests}, null space {asked.null}, float32 weights; "
        f"{platform.machine()}, {asked.threads} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}\n"
    )
    print("| what | seconds | against | ratio |\n| --- | --- | --- | --- |")
    print(f"| dense float64 closed form | {dense:.2f} | | 1 |")
    for name, took in (("not cached", uncached), ("cached", cached)):
        print(f"| `zerounlearn`, factor {name} | {took:.3f} | dense closed form | {dense / took:.0f} |")
    print(f"| one Adam step of the published gradient variant | {adam:.2f} | | |")
    print(
        f"| `zerounlearn-gd`, exact, null-space basis given | {gradient:.3f} | one Adam step times {ADAM_STEPS} "
        f"(extrapolated) | {adam * ADAM_STEPS / gradient:.0f} |"
    )
    print(f"\nrelative difference of the two W' (closed form): {error:.1e}")


if __name__ == "__main__":
    main()
