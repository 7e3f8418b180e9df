"""One state per request: what a module must output so that the model says a text.

Requests are optimised in batches of like length. A batch replays the layers above the module where that gives what a
full forward gives, which is checked before the first step; otherwise the whole model runs, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.contracts import Progress, no_progress
from zu_framework.errors import ModelError
from zu_framework.models import LanguageModel, Readout, find_readout, replay_bytes, row_of
from zu_framework.options import DescentOptions
from zu_framework.problem import ReadPlan
from zu_framework.states.alike import alike
from zu_framework.states.captures import Captures
from zu_framework.states.descent import Optimised, descend
from zu_framework.states.evaluators import Evaluator, FullForward, Replayed, Task

GIB = 1 << 30
CPU_MEMORY = 2 * GIB  # of a batch, where nothing else is asked for
# tokens that take as long as a pass does beside them: 140 on two CPU cores and SmolLM2; a guess elsewhere
PASS_COSTS = {"cpu": 140, "cuda": 4096}
WINDOW, WHOLE, FULL = "replay", "replay of whole rows", "full forward"
# largest differences that rounding explains: of losses, relative to 1 + the loss, and of slopes, relative
# (in a float64 model too, some families compute attention in float32)
AGREES = {torch.float64: (1e-6, 1e-4), torch.float32: (1e-3, 1e-2)}
HALF_AGREES = (1e-1, 5e-1)


@dataclass
class _Way:
    """How batches are run from here on.

    Args:
        left: Ways not ruled out, best first.
        checked: Whether the best one was compared with a full forward.
        most: Requests that memory has held.
    """

    left: list[str]
    checked: bool = False
    most: int | None = None


def optimise(
    lm: LanguageModel,
    module: str,
    plan: ReadPlan,
    texts: Sequence[Sequence[int]],
    options: DescentOptions,
    *,
    rows_per_forward: int = 32,
    progress: Progress = no_progress,
    label: str = "target states",
    captures: Captures | None = None,
) -> Optimised:
    """Optimise a state for each request at `module`, so that the model says a text.

    The model's weights get no gradient and stay as they are; no random number is drawn.

    Args:
        lm: The model.
        module: Whose output is moved.
        plan: n requests and their texts.
        texts: Token ids that each request's rows should go on with.
        options: The optimisation, and how large a batch may be.
        rows_per_forward: Rows that a full forward holds.
        progress: Told of requests that are done.
        label: What is shown with the progress.
        captures: Captures to use and to add to, of the model as it is now.

    Returns:
        A state a request, (o, n), in float32 or better, with the trace of its losses.

    Raises:
        ModelError: Not even one request fits into memory.
    """
    tasks = [
        Task(
            # the last token of the text is predicted, never read
            rows=[row_of(lm, prompt, ids[:-1]) for prompt in prompts],
            wanted=list(ids),
            anchor=None if anchor is None else row_of(lm, anchor),
            spared=[row_of(lm, other) for other in others] if options.spare_weight > 0 else [],
        )
        for prompts, anchor, others, ids in zip(
            plan.prompts, plan.anchors, plan.others or [()] * len(texts), texts, strict=True
        )
    ]
    readout = find_readout(lm) if options.replay == "auto" else None
    way = _Way([WINDOW, WHOLE, FULL] if readout is not None else [FULL])
    if readout is None and options.replay == "auto":
        _warn(lm, "its logits are not those of a plain head over a final norm", FULL)
    done = 0

    def stopped(count: int) -> None:
        nonlocal done
        done += count
        progress(label, done, len(tasks))

    def run(chosen: Sequence[int]) -> Optimised:
        nonlocal done
        before = done
        try:
            evaluator = _evaluator(
                lm, module, [tasks[i] for i in chosen], readout, way, options, captures or Captures()
            )
            return descend(evaluator, options, way.left[0], stopped)
        except BaseException:
            done = before
            raise

    parts: list[tuple[Sequence[int], Optimised]] = []
    sizes = [task.window if way.left[0] == WINDOW else task.width for task in tasks]
    pass_costs = PASS_COSTS.get(lm.device.type, PASS_COSTS["cpu"])
    with _frozen(lm):
        for waiting in alike(sizes, [len(task.all_rows) for task in tasks], pass_costs):
            while waiting:
                count = _fitting(lm, module, [tasks[i] for i in waiting], way, options, rows_per_forward)
                parts += _by_halves(run, waiting[:count], way)
                waiting = waiting[count:]
    return _in_order(parts)


def _evaluator(
    lm: LanguageModel,
    module: str,
    tasks: Sequence[Task],
    readout: Readout | None,
    way: _Way,
    options: DescentOptions,
    captures: Captures,
) -> Evaluator:
    """The best way that is left to run these tasks; the first batch rules out what does not give what it should."""
    while readout is not None and way.left[0] != FULL:
        try:
            fast = Replayed(lm, module, tasks, readout, captures, whole=way.left[0] == WHOLE)
            why = None if way.checked else _difference(lm, module, tasks, fast, options)
        except Exception as cause:  # the model's own code, called in a way that it may not have been made for
            if _out_of_memory(cause):
                raise
            why = f"{type(cause).__name__}: {cause}"
        if why is None:
            way.checked = True
            return fast
        failed = way.left.pop(0)
        _warn(lm, f"{failed} fails ({why})", way.left[0])
    return FullForward(lm, module, tasks)


def _difference(
    lm: LanguageModel, module: str, tasks: Sequence[Task], fast: Evaluator, options: DescentOptions
) -> str | None:
    """Where a way disagrees with a full forward on a batch's longest and shortest request; None where it does not."""
    ends = sorted({0, len(tasks) - 1})
    full = FullForward(lm, module, [tasks[i] for i in ends])
    # a step in no special direction, as long as it may get; no random number is drawn
    probe = options.clamp * fast.init.roll(1, 0).T  # (n, o)
    ours = _predicted(fast, ends, probe)
    theirs = _predicted(full, range(len(ends)), probe[ends])
    near, steep = AGREES.get(lm.dtype, HALF_AGREES)
    for what, allowed, a, b, size in (
        ("clean states", near, fast.init[:, ends], full.init, full.init.abs().max()),
        ("losses", near, ours[0], theirs[0], 1 + theirs[0].abs().max()),
        ("log-probabilities", near, ours[1], theirs[1], 1 + theirs[1].abs().mean() if len(theirs[1]) else 1),
        ("slopes", steep, ours[2], theirs[2], theirs[2].abs().max()),
    ):
        gap = float((a - b.to(a)).abs().max()) if a.numel() else 0.0
        apart = gap / float(size) if gap else 0.0  # both may be zero: where a gradient vanishes
        if not apart <= allowed:
            return f"{what} differ from a full forward's by {apart:.1e}, relative"
    return None


def _predicted(evaluator: Evaluator, chosen: Sequence[int], moved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """NLL (m,), log-probabilities after the anchors (a, v) and the NLL's slopes (m, o) of chosen tasks."""
    delta = moved.clone().requires_grad_()
    with torch.enable_grad():
        nll, after = evaluator.predicted(chosen, delta)
        (slope,) = torch.autograd.grad(nll.sum(), delta)
    return nll.detach(), after.detach(), slope[list(chosen)]


def _fitting(
    lm: LanguageModel,
    module: str,
    tasks: Sequence[Task],
    way: _Way,
    options: DescentOptions,
    rows_per_forward: int,
) -> int:
    """How many of these tasks, the first at least, make a batch."""
    most = len(tasks) if way.most is None else way.most
    full = way.left[0] == FULL
    rows_at_most = rows_per_forward if full else options.rows_per_pass
    if rows_at_most is not None:
        most = min(most, max(1, rows_at_most // max(len(task.all_rows) for task in tasks)))
    if full:
        return min(most, len(tasks))
    room = memory(lm, options)
    for count, task in enumerate(tasks[:most]):
        whole = way.left[0] == WHOLE
        room -= replay_bytes(lm, module, task.all_rows, whole=whole, anchors=len(task.anchors))
        if room < 0:
            return max(1, count)
    return min(most, len(tasks))


def memory(lm: LanguageModel, options: DescentOptions) -> float:
    """Return the bytes that one batch may take: as asked, a fixed sum on a CPU, or half of what is left of a GPU.

    Args:
        lm: The model, whose parameters are there already.
        options: `memory`, in GiB.

    Returns:
        Bytes.
    """
    if options.memory is not None:
        return options.memory * GIB
    if lm.device.type != "cuda":
        return CPU_MEMORY
    whole: int = torch.cuda.get_device_properties(lm.device).total_memory
    taken: int = sum(p.numel() * p.element_size() for p in lm.model.parameters() if p.device == lm.device)
    return (whole - taken) / 2


def _by_halves(
    run: Callable[[Sequence[int]], Optimised], chosen: Sequence[int], way: _Way
) -> list[tuple[Sequence[int], Optimised]]:
    """Run a batch; where memory does not hold it, its halves, and none as large again."""
    try:
        return [(chosen, run(chosen))]
    except (RuntimeError, MemoryError) as cause:
        if not _out_of_memory(cause):
            raise
        if len(chosen) == 1:
            raise ModelError(
                "target states: memory does not hold the rows of one request; use fewer or shorter contexts, a "
                "smaller model.dtype, or another device"
            ) from cause
    # out of the handler: the failed pass's tensors are let go of
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    way.most = half = (len(chosen) + 1) // 2
    return [*_by_halves(run, chosen[:half], way), *_by_halves(run, chosen[half:], way)]


def _out_of_memory(cause: BaseException) -> bool:
    known = isinstance(cause, torch.OutOfMemoryError | MemoryError)
    return known or "can't allocate memory" in str(cause)  # a plain RuntimeError on a CPU


def _in_order(parts: Sequence[tuple[Sequence[int], Optimised]]) -> Optimised:
    """The parts' results in the order of the requests."""
    order = [i for chosen, _ in parts for i in chosen]
    place = sorted(range(len(order)), key=order.__getitem__)
    trace = [losses for _, part in parts for losses in part.trace]
    nll = [value for _, part in parts for value in part.last_nll]
    how: dict[str, int] = {}
    for _, part in parts:
        for name, count in part.how.items():
            how[name] = how.get(name, 0) + count
    return Optimised(
        states=torch.cat([part.states for _, part in parts], 1)[:, place],
        init=torch.cat([part.init for _, part in parts], 1)[:, place],
        trace=[trace[i] for i in place],
        last_nll=[nll[i] for i in place],
        how=how,
    )


def _warn(lm: LanguageModel, why: str, instead: str) -> None:
    warnings.warn(
        f"target states of model type {lm.model_type!r}: {why}; used instead: {instead}, which is slower",
        stacklevel=2,
    )


@contextmanager
def _frozen(lm: LanguageModel) -> Iterator[None]:
    """No gradient for any weight meanwhile."""
    flags = [(p, p.requires_grad) for p in lm.model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
