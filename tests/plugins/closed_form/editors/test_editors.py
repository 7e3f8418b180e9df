"""What the editors promise beyond the contract: exactness, earlier edits retained, refusals with a way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import zu_framework as zu
from zu_framework.testing import Shape, edit_problem

WIDE = Shape(outputs=10, inputs=24, requests=4, text_tokens=96)


def after(problem: zu.EditProblem, update: zu.Update) -> Tensor:
    return update.applied(problem.weight, torch.float64)


@pytest.mark.parametrize("solver", ["rome", "emmet"])
def test_targets_are_met_exactly(solver: str) -> None:
    problem = edit_problem(replace(WIDE, requests=1) if solver == "rome" else WIDE)
    reached = after(problem, zu.solve(solver, problem)) @ problem.keys
    assert torch.allclose(reached, problem.targets, atol=1e-9)


def test_rome_is_emmet_with_one_request_and_memit_in_the_limit() -> None:
    problem = edit_problem(replace(WIDE, requests=1))
    rome = after(problem, zu.solve("rome", problem))
    assert torch.allclose(rome, after(problem, zu.solve("emmet", problem)), atol=1e-10)
    assert torch.allclose(
        rome, after(problem, zu.solve("memit", problem, background_weight=1e-10)), atol=1e-6
    )


def test_emmet_says_so_where_targets_cannot_all_be_met() -> None:
    problem = edit_problem(replace(WIDE, duplicates=1))
    update = zu.solve("emmet", problem)
    assert update.report["key_rank"] == 3 and "least squares" in update.report["notes"][0]
    assert update.report["residual"] < 1e-8, "a repeated request wants the same: it can be met"


def test_one_factor_serves_every_weight_and_every_solver_of_the_key_moment() -> None:
    problem = edit_problem(WIDE)
    factor = zu.prepare("memit", problem.background, problem.weight)
    # a background without moments: nothing but the factor can be solved with
    bare = replace(problem, background=zu.Background())
    for solver, options in (
        ("memit", {"background_weight": 3.0}),
        ("memit", {}),
        ("emmet", {}),
        ("rome", {}),
    ):
        given, own = zu.solve(solver, bare, factor=factor, **options), zu.solve(solver, problem, **options)
        assert torch.equal(after(problem, given), after(problem, own))


def test_alphaedit_leaves_earlier_keys_alone_and_equals_its_dense_form() -> None:
    problem = edit_problem(WIDE)
    earlier = torch.randn(24, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    options = {"null_rank": 12, "l2": 0.5}
    free = zu.solve("alphaedit", problem, **options)
    held = zu.solve("alphaedit", replace(problem, earlier_keys=earlier), **options)
    assert held.report["earlier_keys"] == 3 and free.report["earlier_keys"] == 0

    kept = torch.linalg.eigh(problem.background.key_moment)[1][:, :12]
    P, K, R = kept @ kept.T, problem.keys, problem.targets - problem.values
    system = (K @ K.T + earlier @ earlier.T) @ P + 0.5 * torch.eye(24).double()
    dense = torch.linalg.solve(system, R @ K.T @ P, left=False)
    assert torch.allclose(held.delta(problem.weight), dense, atol=1e-10)
    moved = [float((u.delta(problem.weight) @ earlier).norm()) for u in (free, held)]
    assert moved[1] < 0.5 * moved[0]


def test_leace_erases_the_sensitive_directions() -> None:
    problem = edit_problem(WIDE)
    basis = torch.linalg.qr(problem.sensitive)[0]
    straight = after(problem, zu.solve("leace", problem))
    assert float((basis.T @ straight).norm()) < 1e-10
    oblique = zu.solve("leace", problem, projection="oblique")
    change = oblique.delta(problem.weight)
    moment = problem.background.key_moment
    # the oblique one moves general outputs no further than the orthogonal one moves them... along its own constraint
    D = torch.linalg.lstsq(problem.weight.T, (problem.weight + change).T).solution.T
    assert float((D @ basis).norm()) < 1e-8
    eye = torch.eye(10).double()
    ours = float(torch.trace(change @ moment @ change.T))
    other = eye - basis @ torch.linalg.pinv(basis)  # another map with D Q = 0
    theirs = (other - eye) @ problem.weight
    assert ours <= float(torch.trace(theirs @ moment @ theirs.T)) + 1e-12


@pytest.mark.parametrize(
    ("solver", "options", "shape", "message"),
    [
        ("memit", {}, replace(WIDE, text_tokens=6), "give more background text than the site has inputs"),
        ("alphaedit", {"null_threshold": 0.0}, WIDE, "raise null_threshold above it"),
        ("leace", {}, Shape(outputs=4, inputs=24, requests=5, text_tokens=96), "nothing would be left of it"),
        ("leace", {"projection": "oblique"}, replace(WIDE, weight_rank=3), "projection: orthogonal"),
    ],
)
def test_refusals_name_the_way_out(
    solver: str, options: dict[str, float], shape: Shape, message: str
) -> None:
    problem = edit_problem(shape)
    with pytest.raises(zu.SolverError, match=message):
        zu.solve(solver, problem, **options)


def test_rome_refuses_a_request_that_no_rank_one_change_serves() -> None:
    problem = edit_problem(replace(WIDE, requests=1))
    u = torch.linalg.solve(problem.background.key_moment, problem.keys)
    noise = torch.randn(24, 1, dtype=torch.float64)
    off = noise - u @ (u.T @ noise) / (u.T @ u)
    with pytest.raises(zu.SolverError, match="key: averaged"):
        zu.solve("rome", replace(problem, bare_keys=off), key="mixed")


@pytest.mark.parametrize(
    ("solver", "options", "message"),
    [
        ("rome", {"key": "both"}, "use averaged, mixed"),
        ("memit", {"background_weight": 0}, "background_weight must be above 0"),
        ("alphaedit", {"null_rank": 3, "null_energy": 0.1}, "give exactly one rule"),
        ("alphaedit", {"l2": -1}, "l2 must be above 0"),
        ("leace", {"projection": "skew"}, "use orthogonal, oblique"),
        ("emmet", {"relative_ridge": -0.1}, "relative_ridge must not be negative"),
    ],
)
def test_options_are_checked(solver: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(zu.ConfigError, match=message):
        zu.solve(solver, edit_problem(WIDE), **options)
