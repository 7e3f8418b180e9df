"""What is known of a model before its weights are: its size, and which layers offer no site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from zu_framework.errors import ModelError
from zu_framework.models.positions import UNLIMITED, positions_of
from zu_framework.models.projections import known_refusal

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel

DEPTH = 4  # names of a list of decoder layers have at most so many parts: "model.decoder.layers"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself without its weights.

    Args:
        model_type: As its config names it.
        num_layers: Decoder layers.
        hidden_size: The width of the residual stream.
        refused: Layer -> why it offers no site, of those of which its modules alone tell.
        parameters: Name of each parameter -> class of the module that it is of; {} where they are not known.
        has_eos: Whether its tokenizer has an EOS; True where it is not known.
        positions: Tokens that it takes at once.
    """

    model_type: str
    num_layers: int
    hidden_size: int
    refused: Mapping[int, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    has_eos: bool = True
    positions: int = UNLIMITED

    @classmethod
    def of(cls, config: Any, model: Any = None, tokenizer: Any = None) -> CheckpointInfo:
        """Return what a transformers config says.

        Args:
            config: Of a causal language model.
            model: Which it describes, with or without its weights; None where it is not at hand.
            tokenizer: Of the model; None where it is not at hand.

        Returns:
            Its type, number of layers and width, and what its modules and its tokenizer tell.

        Raises:
            ModelError: It says no number of layers, or no width.
        """
        text = config.get_text_config()
        sizes = []
        for name in ("num_hidden_layers", "hidden_size"):
            value = getattr(text, name, None)
            if not isinstance(value, int) or value < 1:
                raise ModelError(f"the config of model type {config.model_type!r} has no {name} ({value!r})")
            sizes.append(value)
        num_layers, hidden_size = sizes
        refused = {} if model is None else _refused(model, num_layers, hidden_size)
        parameters = {} if model is None else _parameters(model)
        has_eos = tokenizer is None or bool(tokenizer.eos_token)
        return cls(
            str(config.model_type),
            num_layers,
            hidden_size,
            refused,
            parameters,
            has_eos,
            positions_of(config),
        )

    @classmethod
    def of_model(cls, lm: LanguageModel) -> CheckpointInfo:
        """Return what a loaded model says of itself.

        Args:
            lm: The model.

        Returns:
            The same as its checkpoint says, and of every layer whether it offers a site.
        """
        return replace(cls.of(lm.model.config, lm.model, lm.tokenizer), refused=lm.architecture.refused)

    def check_site(self, layer: int) -> None:
        """Refuse a layer that is known to offer no site.

        Args:
            layer: From 0.

        Raises:
            ModelError: As `LanguageModel.site` words it; the message says the way out.
        """
        if layer in self.refused:
            dense = sorted(set(range(self.num_layers)) - self.refused.keys())
            raise ModelError(no_site(self.refused[layer], dense))

    def check_sites(self) -> None:
        """Refuse a model of which no layer offers a site.

        Raises:
            ModelError: As `check_site`, of its first layer.
        """
        if len(self.refused) == self.num_layers:
            self.check_site(min(self.refused))


def no_site(why: str, dense: list[int]) -> str:
    """Return what to say of a layer that offers no site.

    Args:
        why: Beginning with "layer N".
        dense: Layers that offer one.

    Returns:
        The message, with the way out.
    """
    if dense:
        return f"{why}; choose among layers {dense}"
    return (
        f"{why}; no layer of this model has a dense MLP: load a model that has, or name other linear maps by a locator "
        "of your own"
    )


def _parameters(model: Any) -> dict[str, str]:
    return {
        name: type(model.get_submodule(name.rpartition(".")[0])).__name__
        for name, _ in model.named_parameters()
    }


def _refused(model: Any, num_layers: int, hidden: int) -> dict[int, str]:
    """Layer -> why its modules offer no MLP output projection; those that only behaviour can tell of are left out."""
    lists = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers and name.count(".") < DEPTH
    ]
    if not lists:
        return {}
    layers = max(lists, key=lambda module: sum(p.numel() for p in module.parameters()))
    found = {index: known_refusal(layer, hidden) for index, layer in enumerate(layers.children())}
    return {index: f"layer {index} {why}" for index, why in found.items() if why}
