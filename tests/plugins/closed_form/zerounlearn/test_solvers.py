"""What the solvers refuse, warn of, report and keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import zu_framework as zu
from zu_framework.testing import Shape, edit_problem


def problem(**shape: object) -> zu.EditProblem:
    return edit_problem(Shape(**shape))  # type: ignore[arg-type]


def test_as_many_sensitive_directions_as_outputs_are_refused() -> None:
    with pytest.raises(zu.SolverError, match=r"span all 6 outputs.*zerounlearn-local"):
        zu.solve("zerounlearn", problem(outputs=6, inputs=12, requests=8))


def test_many_sensitive_directions_are_a_warning_that_gives_their_share() -> None:
    crowded = zu.solve("zerounlearn", problem(outputs=12, inputs=20, requests=4))
    assert crowded.report["notes"] == [
        "4 of 12 output directions (33%) are removed for every input: expect damage; "
        "forget fewer facts at a time, or use solver 'zerounlearn-local'"
    ]
    assert zu.solve("zerounlearn", problem(outputs=12, inputs=20, requests=3)).report["notes"] == []


def test_repeated_requests_count_once() -> None:
    update = zu.solve("zerounlearn", problem(outputs=12, inputs=20, requests=6, duplicates=3))
    assert update.report["sensitive_rank"] == 3
    assert update.left is not None and update.left.shape == (12, 9)


def test_slack_zero_is_exactly_low_rank_and_exactly_orthogonal() -> None:
    given = problem(requests=3)
    update = zu.solve("zerounlearn", given, slack=0.0)
    assert update.exactly_low_rank
    assert given.sensitive is not None
    assert float((given.sensitive.T @ update.apply(given.weight)).norm()) < 1e-12
    assert not zu.solve("zerounlearn", given).exactly_low_rank


def test_dependent_rows_are_solved_in_the_column_space_and_said() -> None:
    update = zu.solve("zerounlearn", problem(outputs=20, inputs=8))
    assert update.report["notes"] == ["W has dependent rows (rank 8 of 20): solved in its column space"]


def test_a_singular_moment_without_ridge_is_refused_with_the_way_out() -> None:
    given = problem(outputs=10, inputs=20, text_tokens=4)
    with pytest.raises(zu.DependentRows, match=r"raise ridge, .* with space: key"):
        zu.solve("zerounlearn", given, ridge=0.0)


@pytest.mark.parametrize("solver", ["zerounlearn", "zerounlearn-local", "zerounlearn-gd"])
def test_a_factor_serves_every_edit_of_its_weight(solver: str) -> None:
    given = problem(text_tokens=12)
    factor = zu.prepare(solver, given.background, given.weight)
    for later in (given, replace(given, targets=given.targets * 2)):
        bare = replace(later, background=zu.Background())
        by_factor, anew = zu.solve(solver, bare, factor=factor), zu.solve(solver, later)
        assert torch.equal(by_factor.apply(later.weight), anew.apply(later.weight))


@pytest.mark.parametrize(
    ("space", "moment", "other"),
    [("key", "key_moment", "value_moment"), ("output", "value_moment", "key_moment")],
)
def test_local_needs_the_moment_of_its_space_alone(space: str, moment: str, other: str) -> None:
    given = problem()
    both = {"key_moment": given.key_moment, "value_moment": given.value_moment}
    alone = replace(given, background=zu.Background(**{moment: both[moment]}))
    zu.solve("zerounlearn-local", alone, space=space)
    broken = {**both, other: both[other] * float("nan")}  # would be seen in the answer if it was read
    answer = zu.solve("zerounlearn-local", replace(given, background=zu.Background(**broken)), space=space)
    assert torch.equal(
        answer.delta(given.weight), zu.solve("zerounlearn-local", alone, space=space).delta(given.weight)
    )


def test_a_moment_that_is_not_there_is_named() -> None:
    with pytest.raises(zu.SolverError, match="holds no value_moment"):
        zu.solve("zerounlearn", replace(problem(), background=zu.Background()))
    with pytest.raises(zu.SolverError, match="'memit' needs `key_moment`"):
        zu.prepare("memit", zu.Background(), problem().weight)


@pytest.mark.parametrize("space", ["key", "output"])
def test_what_is_retained_moves_less_and_forget_inputs_still_move(space: str) -> None:
    given = problem(outputs=16, inputs=40, text_tokens=30)
    assert given.retain_keys is not None

    def moved(weight: float) -> tuple[float, float]:
        update = zu.solve(
            "zerounlearn-local", given, space=space, background_weight=1.0, retain_weight=weight
        )
        change = update.delta(given.weight)
        return float((change @ given.retain_keys).norm()), float((change @ given.keys).norm())

    (free, forgot), (held, still) = moved(0.0), moved(1e6)
    assert held < 1e-2 * free
    assert still > 0.1 * forgot


def test_without_a_zero_term_no_sensitive_value_is_read() -> None:
    given = replace(problem(), sensitive=None)
    zu.solve("zerounlearn-local", given, zero_weight=0.0)
    with pytest.raises(zu.SolverError, match="needs `sensitive`"):
        zu.solve("zerounlearn-local", given)


def test_a_retain_weight_without_facts_to_retain_is_refused() -> None:
    given = replace(problem(), retain_keys=None)
    with pytest.raises(zu.SolverError, match="needs `retain_keys`"):
        zu.solve("zerounlearn-local", given, retain_weight=1.0)


def test_the_relaxation_is_never_above_the_output_space_optimum() -> None:
    """Same objective, more freedom; equal where W is square and invertible."""
    options = {"background_weight": 3.0, "forget_weight": 2.0, "ridge": 1e-6, "zero_weight": 4.0}

    def objective(p: zu.EditProblem, space: str) -> float:
        after = zu.solve("zerounlearn-local", p, space=space, **options).apply(p.weight)
        assert p.sensitive is not None
        basis = torch.linalg.svd(p.sensitive, full_matrices=False)[0]
        change, out = after - p.weight, after @ p.keys
        return float(
            3.0 * torch.trace(change @ p.background.key_moment @ change.T)
            + 2.0 * (out - p.targets).square().sum()
            + 4.0 * (basis.T @ out).square().sum()
            + 1e-6 * change.square().sum()
        )

    wide, square = problem(outputs=8, inputs=20), problem(outputs=12, inputs=12)
    assert objective(wide, "key") < objective(wide, "output")
    assert objective(square, "key") == pytest.approx(objective(square, "output"), rel=1e-6)


def test_an_empty_null_space_says_how_far_it_is_and_what_to_do() -> None:
    with pytest.raises(
        zu.EmptyNullSpace,
        match=r"null_threshold 0.01: the smallest singular value .* raise null_threshold .* null_rank",
    ):
        zu.solve("zerounlearn-gd", problem(text_tokens=96))


@pytest.mark.parametrize(
    "options", [{"null_energy": 0.05}, {"null_rank": 4}, {"null_threshold": 0.3}], ids=lambda o: next(iter(o))
)
def test_each_rule_gives_a_null_space(options: dict[str, float]) -> None:
    given = problem(text_tokens=40)
    report = zu.solve("zerounlearn-gd", given, **options).report
    values = torch.linalg.eigvalsh(given.background.key_moment)
    kept = report["null_rank"]
    assert 0 < kept < 20
    if "null_threshold" in options:
        assert values[kept - 1] <= 0.3 < values[kept]
    if "null_energy" in options:
        assert values[:kept].sum() <= 0.05 * values.sum() < values[: kept + 1].sum()
    assert report["null_energy"] == pytest.approx(float(values[:kept].sum() / values.sum()))


def test_two_rules_for_the_null_space_are_one_too_many() -> None:
    with pytest.raises(zu.ConfigError, match="null_threshold and null_rank: give exactly one rule"):
        zu.solve("zerounlearn-gd", problem(), null_threshold=0.1, null_rank=3)


def test_forget_keys_outside_the_null_space_are_a_warning() -> None:
    given = problem(text_tokens=10)
    seen = replace(given, keys=given.background.key_moment @ given.keys)
    seen = replace(seen, values=seen.weight @ seen.keys)
    notes = zu.solve("zerounlearn-gd", seen).report["notes"]
    assert len(notes) == 1 and "of the forget keys lies in the null space (10 directions)" in notes[0]


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
@pytest.mark.parametrize("seed", range(4))
def test_first_order_methods_reach_the_optimum(method: str, seed: int) -> None:
    given = problem(outputs=14, inputs=24, requests=5, text_tokens=12, duplicates=seed % 2, seed=seed)
    report = zu.solve("zerounlearn-gd", given, method=method).report
    assert report["loss_total"] == pytest.approx(report["optimum_total"], rel=1e-6)
    assert report["notes"] == []


def test_too_few_steps_are_reported() -> None:
    report = zu.solve("zerounlearn-gd", problem(text_tokens=12), method="adam", steps=3).report
    assert report["excess"] > 1e-6
    assert "adam stopped" in report["notes"][0] and "above the optimum" in report["notes"][0]


def test_mini_batches_of_requests_come_near_the_optimum_and_repeat() -> None:
    given = problem(outputs=14, inputs=24, requests=6, text_tokens=12)
    options = {"method": "adam", "requests_per_step": 2, "steps": 2000}
    first, again = (zu.solve("zerounlearn-gd", given, **options) for _ in range(2))
    assert first.left is not None and again.left is not None and torch.equal(first.left, again.left)
    assert first.report["excess"] < 0.2
    assert first.report["steps"] == 2000


@pytest.mark.parametrize("solver", ["zerounlearn", "zerounlearn-local"])
def test_float32_algebra_is_an_option(solver: str) -> None:
    given = edit_problem(Shape(dtype=torch.float32))
    single, double = (
        zu.solve(solver, given, precision=p).apply(given.weight) for p in ("float32", "float64")
    )
    assert not torch.equal(single, double)
    assert float((single - double).norm() / double.norm()) < 1e-3


@pytest.mark.parametrize(
    ("solver", "options", "message"),
    [
        ("zerounlearn", {"forget_weight": 0}, "forget_weight must be above 0"),
        ("zerounlearn", {"slack": -0.1}, "slack must not be negative"),
        ("zerounlearn", {"rank_tolerance": 2}, "rank_tolerance must be in"),
        ("zerounlearn", {"precision": "float16"}, "precision 'float16': use float64, float32"),
        ("zerounlearn-local", {"space": "input"}, "space 'input': use output, key"),
        ("zerounlearn-local", {"space": "key", "ridge": 0}, "ridge must be above 0 in space key"),
        ("zerounlearn-gd", {"method": "sgd"}, "method 'sgd': use exact, adam, lbfgs"),
        ("zerounlearn-gd", {"norm_weight": 0}, "norm_weight must be above 0"),
        ("zerounlearn-gd", {"requests_per_step": 4}, "requests_per_step is for method adam"),
    ],
)
def test_options_out_of_range_are_refused(solver: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(zu.ConfigError, match=message):
        zu.solve(solver, problem(), **options)


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        ("zerounlearn", {"slack": 0.01}),
        ("zerounlearn-local", {"space": "output"}),
        ("zerounlearn-local", {"space": "key"}),
        ("zerounlearn-gd", {"null_rank": 6}),
    ],
)
def test_one_request_more_than_rows_is_solved_as_one_less(solver: str, options: dict[str, object]) -> None:
    """Below and above n = d two systems of different size give one answer: a duplicate of no weight tells them apart.

    A request whose key, value, target and sensitive value are zero adds nothing to any term, but a column to n.
    """
    inputs = 12
    problem = edit_problem(Shape(outputs=12, inputs=inputs, requests=inputs, sensitive_rank=2, seed=3))

    def padded(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor, torch.zeros(len(tensor), 1, dtype=tensor.dtype)], 1)

    assert problem.sensitive is not None
    more = zu.EditProblem(
        problem.weight,
        padded(problem.keys),
        padded(problem.values),
        padded(problem.targets),
        padded(problem.sensitive),
        problem.background,
    )
    by_requests, by_rows = (zu.solve(solver, p, **options) for p in (problem, more))
    assert by_rows.left is None or by_rows.left.shape == (12, 12)  # dense in key space; else of W's rows
    ours, theirs = (u.applied(problem.weight, torch.float64) for u in (by_rows, by_requests))
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-9
    for name in ("residual", "relative_norm"):
        assert by_rows.report[name] == pytest.approx(by_requests.report[name], rel=1e-6)


@pytest.mark.parametrize("space", ["output", "key"])
@pytest.mark.parametrize("requests", [2, 20])
def test_local_keeps_what_earlier_edits_wrote_and_equals_its_dense_form(space: str, requests: int) -> None:
    """The term le ||Delta K_p||^2 joins the moment: as if the earlier keys were background, counted le / lb times."""
    given = problem(outputs=8, inputs=14, requests=requests)
    earlier = torch.randn(14, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    options = {"space": space, "background_weight": 2.0, "earlier_weight": 30.0}
    free = zu.solve("zerounlearn-local", given, **options)
    held = zu.solve("zerounlearn-local", replace(given, earlier_keys=earlier), **options)
    assert (free.report["earlier_keys"], held.report["earlier_keys"]) == (0, 3)
    moment = given.background.key_moment.double() + 30.0 / 2.0 * earlier @ earlier.T
    dense = zu.solve(
        "zerounlearn-local",
        replace(given, background=zu.Background(key_moment=moment)),
        **options,
    )
    torch.testing.assert_close(held.delta(given.weight), dense.delta(given.weight), rtol=1e-8, atol=1e-10)
    moved = [float((update.delta(given.weight) @ earlier).norm()) for update in (free, held)]
    assert moved[1] < (0.5 if requests == 2 else 1.0) * moved[0]
    off = zu.solve(
        "zerounlearn-local", replace(given, earlier_keys=earlier), **(options | {"earlier_weight": 0.0})
    )
    assert torch.equal(off.delta(given.weight), free.delta(given.weight))
