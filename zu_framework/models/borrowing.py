"""A model that somebody else holds: what an edit would miss is refused, and its state is given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from zu_framework.errors import ModelError
from zu_framework.models.modules import FLOATING
from zu_framework.models.weight_files import DAMAGED, is_sound

MERGE = "merge the adapter first (`model = model.merge_and_unload()`), then edit the merged model"


def plain_model(model: Any) -> Any:
    """Return the transformers model behind what was given, `torch.compile(model)` unwrapped.

    Args:
        model: What a caller holds; left as it is.

    Raises:
        ModelError: It is no model, carries an adapter, is quantised, compiled in place, wrapped for training on several
            devices, or has weights that are not in memory.
    """
    if _is_wrapper(model):
        model = model._orig_mod
    _check_kind(model)
    for name, module in model.named_modules():
        where = f"module {name!r}" if name else "the model"
        if any(cls.__module__.partition(".")[0] == "peft" for cls in type(module).__mro__):
            raise ModelError(f"{where} is a PEFT adapter ({type(module).__name__}): {MERGE}")
        if type(module).__module__.startswith("torch.ao."):
            raise ModelError(
                f"{where} is quantised ({type(module).__name__}): take the model that it was made from"
            )
        if _is_wrapper(module) or _compiled(module):
            raise ModelError(
                f"{where} was compiled in place: wrap the model before it is compiled, or inside `with "
                "zu_framework.models.borrowed(model) as model:`"
            )
    if getattr(model, "is_quantized", False) or getattr(model.config, "quantization_config", None):
        raise ModelError(
            f"the model is quantised ({_method(model)}): load it unquantised, or dequantise it first"
        )
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise ModelError(f"weight {name!r} is not in memory: load the model without offloading")
        if parameter.dtype not in FLOATING or type(parameter.data) is not Tensor:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise ModelError(
                f"weight {name!r} is quantised ({kind}): load it unquantised, or dequantise it first"
            )
    return model


def check_finite(model: Any) -> None:
    """Read every weight once.

    Args:
        model: In memory, on any devices.

    Raises:
        ModelError: A tensor holds NaN, or a weight an infinity; it is named.
    """
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, tensor in model.state_dict().items():
        if not is_sound(tensor, buffer=name not in parameters):
            raise ModelError(f"weight {name!r} {DAMAGED}")


@contextmanager
def borrowed(model: Any) -> Iterator[Any]:
    """Borrow a model in evaluation mode and uncompiled; it is given back as it was, module by module.

    `torch.compile(model)` is unwrapped; what was compiled in place (`model.compile()`, compiled parts) runs uncompiled
    while the block runs. Weights that are changed meanwhile stay changed.

    Args:
        model: A transformers model, compiled or not, in any mode.

    Yields:
        The plain model.
    """
    plain = model._orig_mod if _is_wrapper(model) else model
    _check_kind(plain)
    modes = [(module, module.training) for module in plain.modules()]
    with ExitStack() as stack:
        for module, training in modes:
            stack.callback(setattr, module, "training", training)
        for module, _ in modes:
            _uncompile(module, stack)
        plain.eval()
        yield plain


def _uncompile(module: nn.Module, stack: ExitStack) -> None:
    """Take compiled calls off a module and its children; `stack` puts them back."""
    for name, child in list(module._modules.items()):
        if child is not None and _is_wrapper(child):
            stack.callback(module._modules.__setitem__, name, child)
            module._modules[name] = child.get_submodule("_orig_mod")
    compiled = module._compiled_call_impl
    if compiled is not None:
        stack.callback(setattr, module, "_compiled_call_impl", compiled)
        module._compiled_call_impl = None
    forward = module.__dict__.get("forward")
    if _is_compiled_function(forward):
        stack.callback(setattr, module, "forward", forward)
        del module.forward


def _is_wrapper(module: Any) -> bool:
    """Whether it is what torch.compile(module) returns; by name, since torch._dynamo is slow to import."""
    return type(module).__name__ == "OptimizedModule" and hasattr(module, "_orig_mod")


def _compiled(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or _is_compiled_function(module.__dict__.get("forward"))


def _is_compiled_function(forward: Any) -> bool:
    return hasattr(forward, "_torchdynamo_orig_callable")


def _check_kind(model: Any) -> None:
    kind = type(model).__name__
    if isinstance(model, str):
        raise ModelError(
            f"model {model!r} is a path: load it (`LanguageModel.from_pretrained({model!r})`), or use `zu.run`"
        )
    if hasattr(model, "convert_ids_to_tokens"):
        raise ModelError(f"model is a tokenizer ({kind}): give the model first, then its tokenizer")
    if isinstance(model, nn.parallel.DataParallel | nn.parallel.DistributedDataParallel):
        raise ModelError(f"model is wrapped in {kind}: give `model.module`")
    config: Any = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not hasattr(config, "model_type"):
        raise ModelError(f"model is a {kind}, not a causal language model of transformers")
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"model type {config.model_type!r} is no causal language model: it has an encoder and a decoder"
        )


def _method(model: Any) -> str:
    config = getattr(model.config, "quantization_config", None)
    method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
    return str(getattr(method, "value", method) or "its weights are packed")


def check_tokenizer(tokenizer: Any) -> None:
    """Look at a tokenizer in memory.

    Raises:
        ModelError: It is none, or a slow one, which gives no character offsets.
    """
    if getattr(tokenizer, "is_fast", False):
        return
    kind = type(tokenizer).__name__
    if isinstance(tokenizer, nn.Module) or not hasattr(tokenizer, "is_fast"):
        raise ModelError(
            f"tokenizer is a {kind}: give the model's fast tokenizer, `AutoTokenizer.from_pretrained(...)`"
        )
    raise ModelError(f"tokenizer {kind} gives no character offsets: load the fast one (tokenizer.json)")


def check_vocabulary(tokenizer: Any, rows: int, where: str) -> None:
    """Compare a tokenizer with the embedding that its tokens are looked up in.

    Special tokens that no text holds (padding, what a tokenizer's class adds) may lie beyond it.

    Args:
        tokenizer: Fast; added tokens count.
        rows: Of the embedding.
        where: What says so, for messages.

    Raises:
        ModelError: A token has no row; the first is named.
    """
    read = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special} - read
    beyond = sorted(
        (number, token)
        for token, number in tokenizer.get_vocab().items()
        if number >= rows and number not in special
    )
    if beyond:
        number, token = beyond[0]
        raise ModelError(
            f"{where} is {rows}, and the tokenizer has {len(beyond)} tokens beyond it, {token!r} ({number}) first: "
            "they belong to two models, or a token was added (`model.resize_token_embeddings(len(tokenizer))`, then "
            "save both)"
        )
