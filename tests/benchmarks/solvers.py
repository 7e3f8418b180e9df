"""Time the solvers on one large site against the dense float64 formula, in one run on one machine.

    python -m tests.benchmarks.solvers                        3072 x 8192, 50 requests, float32 weights
    python -m tests.benchmarks.solvers --outputs 512 --inputs 1024 --requests 10 --many 50,200,1000

Random data. Every contestant starts from the same given tensors (V and the value moment included) and ends with a
written W' in float32. Prints Markdown tables: one edit, and many facts.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import zu_framework as zu
from tests.benchmarks.measuring import Measured, machine, measured
from zu_framework.linalg import NullSpace

LB, LF, LR, SLACK = 15000.0, 50.0, 1.0, 0.01
SETTINGS = {"background_weight": LB, "forget_weight": LF, "ridge": LR}
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

    @property
    def background(self) -> zu.Background:
        return zu.Background(self.key_moment, self.value_moment)

    def problem(self) -> zu.EditProblem:
        return zu.EditProblem(
            self.weight, self.keys, self.values, self.targets, self.sensitive, self.background
        )


def site(outputs: int, inputs: int, requests: int, null: int) -> Site:
    made = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made)

    weight, keys = normal(outputs, inputs) / inputs**0.5, normal(inputs, requests)
    basis = torch.linalg.qr(normal(inputs, null).double())[0]  # (i, null): no background key lies here
    # C = P (D + A A^T) P, a diagonal and 512 strong directions: quick to make, and as full as text's
    spread, strong = normal(inputs).double().square() + 0.05, normal(inputs, 512).double()
    moment = torch.diag(spread) + strong @ strong.T
    moment -= basis @ (basis.T @ moment)
    moment -= (moment @ basis) @ basis.T
    wide = weight.double()
    wide -= (wide @ basis) @ basis.T
    along = wide @ strong
    value_moment = (wide * spread) @ wide.T + along @ along.T
    return Site(
        weight, keys, weight @ keys, normal(outputs, requests), normal(outputs, requests),
        (moment + moment.T) / 2, (value_moment + value_moment.T) / 2, basis,
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


def adam_loss(at: Site, steps: int) -> float:
    """The loss where `steps` Adam steps of the published variant stop (its step size, 0.01), on a small site."""
    W, K, T = at.weight.double(), at.keys.double(), at.targets.double()
    projector, basis = at.null @ at.null.T, torch.linalg.qr(at.sensitive.double())[0]
    parameter = torch.zeros_like(W, requires_grad=True)
    optimiser = torch.optim.Adam([parameter], lr=1e-2)

    def loss() -> Tensor:
        change = parameter @ projector
        after = (W + change) @ K
        return (basis.T @ after).square().sum() + A * (after - T).square().sum() + B * change.square().sum()

    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    return float(loss().detach())


def many(at: Site, counts: list[int], solver: str, written: Tensor) -> list[tuple[int, Measured]]:
    """An edit of n facts with the factor given, V and W' included, for each n; keys, targets and S are given."""
    made = torch.Generator().manual_seed(1)
    outputs, inputs = at.weight.shape
    factor = zu.prepare(solver, at.background, at.weight, **SETTINGS)
    rows = []
    # sensitive values of rank 64: more directions would leave nothing of a site, and no projection is made here
    few = torch.randn(outputs, 64, generator=made)
    for count in [1, *counts]:
        keys = torch.randn(inputs, count, generator=made)
        targets = torch.randn(outputs, count, generator=made)
        sensitive = few @ torch.randn(64, count, generator=made)

        def run(keys: Tensor = keys, targets: Tensor = targets, sensitive: Tensor = sensitive) -> Tensor:
            values = at.weight @ keys
            problem = zu.EditProblem(at.weight, keys, values, targets, sensitive, at.background)
            return zu.solve(solver, problem, factor=factor, **SETTINGS).apply(at.weight, out=written)

        rows.append((count, measured(run)))
    return rows[1:]  # the first warmed up


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outputs", type=int, default=3072)
    parser.add_argument("--inputs", type=int, default=8192)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--null", type=int, default=256, help="size of the null space")
    parser.add_argument("--many", default="100,300,1000,3000,10000", help="numbers of facts, or nothing")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    at = site(asked.outputs, asked.inputs, asked.requests, asked.null)
    written = torch.empty_like(
        at.weight
    )  # where each side writes W', as a run writes into the model's own weight

    def closed_form(factor: Any = None, precision: str = "float64") -> Tensor:
        update = zu.solve(
            "zerounlearn", at.problem(), factor=factor, slack=SLACK, precision=precision, **SETTINGS
        )
        precisions.append(update.report["precision"])
        return update.apply(at.weight, out=written)

    precisions: list[str] = []
    factor = zu.prepare("zerounlearn", at.background, at.weight, **SETTINGS)
    ours = closed_form(factor).clone()  # imports and thread pools are warm from here on
    dense = measured(lambda: written.copy_(dense_closed_form(at)))
    error = float((ours.double() - written.double()).norm() / written.double().norm())
    computed = measured(closed_form, 3)
    given = measured(lambda: closed_form(factor), 7)
    refined = measured(lambda: closed_form(precision="auto"), 3)
    chosen = precisions[-1]

    def exact() -> Tensor:
        space = NullSpace(at.null, 0.0)
        return zu.solve("zerounlearn-gd", at.problem(), factor=space).apply(at.weight, out=written)

    gradient = measured(exact, 5)
    adam = measured(adam_step(at), 2)
    least = []
    for seed_size in ((96, 160, 8, 24), (48, 200, 20, 60)):
        small = site(*seed_size)
        moment = torch.eye(seed_size[1]).double() - small.null @ small.null.T
        small_problem = zu.EditProblem(
            small.weight.double(), small.keys.double(), small.values.double(), small.targets.double(),
            small.sensitive.double(), zu.Background(moment),
        )  # fmt: skip
        report = zu.solve("zerounlearn-gd", small_problem, null_threshold=0.5).report
        least.append((report["loss_total"], adam_loss(small, ADAM_STEPS)))

    print(
        f"{asked.outputs} x {asked.inputs}, n = {asked.requests}, null space {asked.null}, float32 weights; "
        f"{machine(asked.threads)}\n"
    )
    print("| what | seconds | peak extra memory | against | ratio |\n| --- | --- | --- | --- | --- |")
    print(f"| dense float64 closed form | {dense.seconds:.2f} | {dense.extra_mib:.0f} MiB | | 1 |")
    for name, took in (
        ("factor computed", computed),
        (f"factor computed, `precision: auto` (chose {chosen})", refined),
        ("factor given", given),
    ):
        print(
            f"| `zerounlearn`, {name} | {took.seconds:.3f} | {took.extra_mib:.0f} MiB | dense closed form | "
            f"{dense.seconds / took.seconds:.0f} |"
        )
    print(
        f"| one Adam step of the published gradient variant | {adam.seconds:.2f} | {adam.extra_mib:.0f} MiB | | |"
    )
    print(
        f"| `zerounlearn-gd`, exact, null-space basis given | {gradient.seconds:.3f} | {gradient.extra_mib:.0f} MiB | "
        f"one Adam step times {ADAM_STEPS} (extrapolated) | {adam.seconds * ADAM_STEPS / gradient.seconds:.0f} |"
    )
    print(f"\nrelative difference of the two W' (closed form): {error:.1e}")
    for ours_, theirs in least:
        print(
            f"loss of the exact variant {ours_:.6g}, of {ADAM_STEPS} full-matrix Adam steps {theirs:.6g} (small site)"
        )
    counts = [int(count) for count in asked.many.split(",") if count]
    if not counts:
        return
    print("\n| facts | seconds | seconds per 1000 facts | exponent from the row above | peak extra memory |")
    print("| --- | --- | --- | --- | --- |")
    last: tuple[int, Measured] | None = None
    for count, took in many(at, counts, "zerounlearn-local", written):
        slope = ""
        if last is not None:
            slope = f"{math.log(took.seconds / last[1].seconds) / math.log(count / last[0]):.2f}"
        print(
            f"| {count} | {took.seconds:.2f} | {1000 * took.seconds / count:.2f} | {slope} | "
            f"{took.extra_mib:.0f} MiB |",
            flush=True,
        )
        last = count, took


if __name__ == "__main__":
    main()
