"""Reading and steering modules at token positions while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.models.chat import encode_answer, encode_prompt
from zu_framework.models.modules import by_token, first, with_first
from zu_framework.models.positions import check_length
from zu_framework.models.tokens import Row, batch, batches_of, needed_mask, token_at
from zu_framework.problem import ReadPrompt, Site

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


class _Stop(Exception):
    """Ends a forward pass above the last module that is read."""


def read_states(
    lm: LanguageModel,
    modules: Sequence[str],
    prompts: Sequence[ReadPrompt],
    batch_size: int = 32,
    *,
    inputs: bool = True,
    outputs: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, tuple[Tensor | None, Tensor | None]]:
    """Read inputs and outputs of modules at the read position of each prompt, one forward pass a batch.

    Args:
        lm: The model.
        modules: By name. The pass ends above the last one.
        prompts: m texts, and where they are read.
        batch_size: Rows that one forward pass may hold.
        inputs: Whether inputs are wanted.
        outputs: Whether outputs are wanted.
        progress: `progress(label, done, total)` is called after each batch.

    Returns:
        Module -> inputs (i, m) and outputs (o, m), None for what is not wanted; in float32 (float64 for float64
        models), on the model's device.
    """
    rows = [row_of(lm, prompt) for prompt in prompts]
    work = torch.promote_types(lm.dtype, torch.float32)
    found: dict[str, tuple[list[Tensor], list[Tensor]]] = {m: ([], []) for m in modules}
    done = 0
    for chosen in batches_of(rows, batch_size, by_length=False):
        made = batch([rows[index] for index in chosen], lm.device)
        at = torch.arange(len(chosen), device=lm.device), made.positions

        def collect(name: str, entered: Tensor, left: Tensor, at: Any = at) -> None:
            if inputs:
                found[name][0].append(_picked(entered, at).to(lm.device, work).T)  # (i, b)
            if outputs:
                found[name][1].append(_picked(left, at).to(lm.device, work).T)  # (o, b)

        run_until(lm, modules, made.input_ids, made.attention_mask, collect)
        done += len(chosen)
        if progress is not None:
            progress("reading states", done, len(rows))
    return {
        m: (torch.cat(i, 1) if inputs else None, torch.cat(o, 1) if outputs else None)
        for m, (i, o) in found.items()
    }


def _picked(states: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
    """States (b, d) at places of (b, t, d), on whichever device a spread model keeps them."""
    return states[at[0].to(states.device), at[1].to(states.device)]


def row_of(lm: LanguageModel, prompt: ReadPrompt, continuation: Sequence[int] = ()) -> Row:
    """Make a row of a prompt.

    Args:
        lm: The model, whose chat template is put around the prompt where it has one.
        prompt: A text, and where it is read.
        continuation: Token ids that follow it.

    Returns:
        The row.

    Raises:
        DataError: It is longer than the model's positions.
    """
    encoding = encode_prompt(lm, prompt.text)
    check_length(lm, prompt.text, len(encoding.ids) + len(continuation))
    last = len(encoding.ids) - 1
    position = last if prompt.at_end else token_at(encoding, prompt.text, prompt.read_end)
    return Row(encoding.ids, position, continuation)


def answer_row(lm: LanguageModel, prompt: str, answer: str | Sequence[int]) -> Row:
    """Make a row of a prompt, read at its last token, and the answer that follows it.

    Args:
        lm: The model, whose chat template is put around the prompt where it has one.
        prompt: The prompt.
        answer: The answer, as text or as its token ids.

    Returns:
        The row, whose continuation is the answer.

    Raises:
        DataError: Both are longer than the model's positions, or a token has no row in its embedding.
        ModelError: The answer has no token.
    """
    ids = encode_answer(lm, answer, prompt) if isinstance(answer, str) else answer
    return row_of(lm, ReadPrompt(prompt, len(prompt), at_end=True), ids)


def run_until(
    lm: LanguageModel,
    modules: Sequence[str],
    input_ids: Tensor,
    attention_mask: Tensor,
    consume: Callable[[str, Tensor, Tensor], None],
) -> None:
    """Run one forward pass without gradients, and end it once every module has run.

    Args:
        lm: The model.
        modules: By name.
        input_ids: (b, t), padded on the right.
        attention_mask: (b, t): 1 for a token, 0 for padding.
        consume: `consume(module, input (b, t, i), output (b, t, o))` is called as each module has run.
    """
    waiting = set(modules)

    def hook(name: str) -> Callable[[Any, Any, Any], None]:
        def seen(module: Any, arguments: Any, output: Any) -> None:
            entered = arguments[0] if arguments else torch.empty(0, 0)
            rows = len(input_ids)
            consume(name, by_token(entered, rows, name), by_token(first(output), rows, name))
            waiting.discard(name)
            if not waiting:
                raise _Stop

        return seen

    with ExitStack() as stack, torch.no_grad():
        for name in modules:
            stack.callback(lm.model.get_submodule(name).register_forward_hook(hook(name)).remove)
        try:
            lm.model(input_ids=input_ids, attention_mask=needed_mask(attention_mask), use_cache=False)
        except _Stop:
            return


def read_tokens(lm: LanguageModel, module: str, rows: Sequence[Row]) -> Tensor:
    """Read a module's output at every token; gradients flow where they are enabled.

    Args:
        lm: The model.
        module: By name.
        rows: Prompts with what follows them.

    Returns:
        (t, d), the tokens of all rows in order, padding left out.
    """
    made = batch(rows, lm.device)
    seen: list[Tensor] = []

    def stop(_: Any, __: Any, output: Any) -> None:
        seen.append(by_token(first(output), len(rows), module)[made.attention_mask.bool()])
        raise _Stop

    handle = lm.model.get_submodule(module).register_forward_hook(stop)
    try:
        lm.model(input_ids=made.input_ids, attention_mask=needed_mask(made.attention_mask), use_cache=False)
    except _Stop:
        pass
    finally:
        handle.remove()
    return seen[0]


@contextmanager
def add_at(lm: LanguageModel, module: str, positions: Tensor, delta: Tensor) -> Iterator[None]:
    """Add to a module's output at one position of each row, while the block runs; gradients flow to `delta`.

    Args:
        lm: The model.
        module: By name.
        positions: (b,), one a row.
        delta: (b, o), what is added there.

    Yields:
        Nothing.
    """

    def add(_: Any, __: Any, output: Any) -> Any:
        hidden = first(output)
        states = by_token(hidden, len(positions), module)
        here = torch.zeros(states.shape[:2], dtype=hidden.dtype, device=hidden.device)
        here[torch.arange(len(positions), device=hidden.device), positions.to(hidden.device)] = 1
        changed = (states + here[:, :, None] * delta.to(hidden)[:, None, :]).reshape(hidden.shape)
        return with_first(output, changed)

    handle = lm.model.get_submodule(module).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def stream_inputs(
    lm: LanguageModel,
    sites: Sequence[Site],
    rows: Sequence[Row],
    consume: Callable[[Site, Tensor, Tensor], None],
    *,
    inputs: Collection[str] | None = None,
    outputs: Collection[str] | None = None,
) -> int:
    """Run one batch and hand on what each site reads and gives at every token.

    Args:
        lm: The model.
        sites: Of the model.
        rows: One batch.
        consume: `consume(site, inputs (t, i), outputs (t, o))` gets all tokens, without padding; outputs are without
            the bias.
        inputs: Modules of the sites whose inputs are wanted; None for all. The others' are handed on empty (0, i), so
            that nothing is copied in vain.
        outputs: The same of outputs.

    Returns:
        t, the number of tokens.
    """
    made = batch(rows, lm.device)
    lengths = [len(row.ids) + len(row.continuation) for row in rows]
    width = max(lengths)
    # counted here and not on the device, which would have to be waited for; None where there is no padding
    kept = (
        None
        if min(lengths) == width
        else torch.cat([torch.arange(length) + at * width for at, length in enumerate(lengths)])
    )
    by_name = {site.module: site for site in sites}

    def tokens(states: Tensor, wanted: bool) -> Tensor:
        flat = states.flatten(0, 1)  # (b t, d)
        if not wanted:
            return flat[:0]
        return flat if kept is None else flat.index_select(0, kept.to(flat.device, non_blocking=True))

    def take(name: str, entered: Tensor, left: Tensor) -> None:
        out = tokens(left, outputs is None or name in outputs)
        bias = lm.bias(by_name[name])
        consume(
            by_name[name],
            tokens(entered, inputs is None or name in inputs),
            out if bias is None else out - bias.to(out.device),
        )

    run_until(lm, list(by_name), made.input_ids, made.attention_mask, take)
    return sum(lengths)
