"""A causal language model with its tokenizer and its known structure: sites, weights, fingerprints, generation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zu_framework.models.architecture import find_architecture
from zu_framework.models.borrowing import check_finite, check_tokenizer, check_vocabulary, plain_model
from zu_framework.models.chat import Chat
from zu_framework.models.digests import state_digest, tokenizer_digest
from zu_framework.models.fingerprint import Fingerprint, identity, tensor_digest, tensor_digests
from zu_framework.models.loading import load_checkpoint, save_checkpoint
from zu_framework.models.sampling import sampled_tokens
from zu_framework.models.tokens import encode
from zu_framework.models.verifying import check_linear
from zu_framework.models.weights import Weights
from zu_framework.problem import Architecture, Site


@dataclass(frozen=True)
class LanguageModel(Weights):
    """A model in evaluation mode, its fast tokenizer, and where its parts are.

    Args:
        model: Of transformers, in evaluation mode.
        tokenizer: Fast.
        architecture: Where the model keeps its parts.
        chat: The template that prompts are read in; None for a model that reads them as they are.
        answer_space: Prompt -> whether its answer follows after a space; a prompt that is not there goes by
            `wants_space`. None: one space always.
    """

    model: Any
    tokenizer: Any
    architecture: Architecture
    chat: Chat | None = None
    answer_space: Mapping[str, bool] | None = None

    @classmethod
    def wrap(
        cls, model: Any, tokenizer: Any, architecture: Architecture | None = None, chat: Chat | None = None
    ) -> LanguageModel:
        """Take a model in memory, and find its parts.

        Args:
            model: A causal language model of transformers, which is put in evaluation mode (`borrowed` gives its mode
                back). `torch.compile(model)` is unwrapped.
            tokenizer: Its fast tokenizer.
            architecture: Where its parts are; None: they are found.
            chat: The template that prompts are read in, if any.

        Returns:
            The model with what is known of it.

        Raises:
            ModelError: The arguments are no model and no fast tokenizer, or do not belong together; the model carries
                an adapter, is quantised, compiled in place, damaged, or no causal decoder.
        """
        plain = plain_model(model)
        check_tokenizer(tokenizer)
        embeddings = plain.get_input_embeddings()
        check_vocabulary(tokenizer, embeddings.weight.shape[0], "the model's embedding")
        check_finite(plain)
        plain.eval()
        return cls(plain, tokenizer, architecture or find_architecture(plain), chat)

    @classmethod
    def from_pretrained(
        cls,
        path: str,
        *,
        dtype: str = "auto",
        device: str = "cpu",
        device_map: Any = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        chat: bool = False,
        system: str = "",
        find_architecture: Callable[[Any], Architecture | None] | None = None,
    ) -> LanguageModel:
        """Load a checkpoint: safetensors, or a GGUF file, whose weights are dequantised.

        Args:
            path: A folder, a GGUF file or a folder with one, `zu:demo`, `zu:smollm2`, or an id of the hub.
            dtype: "auto" (the checkpoint's own; float32 for a GGUF file), or a dtype's name.
            device: Where the model goes, where it is not spread.
            device_map: As accelerate knows it.
            revision: Of a hub id.
            trust_remote_code: Whether code that the checkpoint brings may run.
            chat: Whether prompts are read in the tokenizer's chat template.
            system: With `chat`: the system prompt, if any.
            find_architecture: Asked first where the model's parts are; None from it: they are found.

        Returns:
            The model in evaluation mode.

        Raises:
            ModelError: The checkpoint cannot be loaded or edited; the file, tensor or key is named.
        """
        model, tokenizer = load_checkpoint(
            path,
            dtype=dtype,
            device=device,
            device_map=device_map,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        template = Chat.of(tokenizer, system) if chat else None
        return cls.wrap(model, tokenizer, find_architecture(model) if find_architecture else None, template)

    @property
    def device(self) -> torch.device:
        """Of the input embeddings."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Of the input embeddings."""
        dtype: torch.dtype = self.model.get_input_embeddings().weight.dtype
        return dtype

    def verify(self, site: Site, text: str = "The capital of France is") -> None:
        """Check on a real forward pass that a site's module computes W k + b.

        Args:
            site: Of this model.
            text: That is run.

        Raises:
            ModelError: It does not; the module is named.
        """
        check_linear(self, site, text)

    def fingerprint(self) -> str:
        """Return SHA-256 of names, dtypes, shapes and bytes of all parameters, the same under any transformers."""
        return self.tensor_fingerprint().value

    def tensor_fingerprint(self) -> Fingerprint:
        """Return digests of all parameters, tied ones once, and the config's own entries."""
        parameters = {name: parameter.data for name, parameter in self.model.named_parameters()}
        return Fingerprint(tensor_digests(parameters), _plain(identity(self.model.config.to_diff_dict())))

    def digest(self, site: Site) -> str:
        """Digest a site's parameter as the model stores it.

        Args:
            site: A site of this model.

        Returns:
            Its entry of `tensor_fingerprint().tensors`.
        """
        return tensor_digest(self.parameter(site).data)

    def parameter_names(self, site: Site) -> tuple[str, ...]:
        """List the names of a site's parameter, that of `tensor_fingerprint().tensors` first; several where it is tied.

        Args:
            site: A site of this model.

        Returns:
            At least one name.
        """
        wanted = self.parameter(site)
        named = self.model.named_parameters(remove_duplicate=False)
        return tuple(name for name, parameter in named if parameter is wanted)

    def state_digest(self) -> str:
        """Return xxh3-128 of all that the model computes from: its whole config, every parameter and buffer."""
        return state_digest(self)

    def weights_below_fingerprint(self, layer: int) -> str:
        """Digest all that a layer's output depends on: config, embeddings, layers up to and with this one.

        Args:
            layer: From 0.

        Returns:
            xxh3-128.
        """
        return state_digest(self, up_to=layer)

    def tokenizer_fingerprint(self) -> str:
        """Return xxh3-128 of all that decides a text's tokens."""
        return tokenizer_digest(self.tokenizer)

    def save(self, folder: str | Path, also: Callable[[Path], None] | None = None) -> None:
        """Write a checkpoint that `from_pretrained` loads; the folder appears whole or not at all.

        Args:
            folder: Must not exist.
            also: Writes what belongs into the folder besides, before it appears.
        """
        save_checkpoint(self.model, self.tokenizer, Path(folder), also)

    def sample(self, prompts: Sequence[str], max_new_tokens: int, seed: int, top_k: int = 5) -> list[str]:
        """Draw a continuation of each prompt among the likeliest tokens; a seed draws the same, whatever ran before.

        Of the bare texts, outside any chat template: what is drawn stands for text in general.

        Args:
            prompts: Texts.
            max_new_tokens: Tokens that are drawn for each at most; its EOS ends one before.
            seed: Decides the draws; the global random state is left as it was.
            top_k: Tokens that are drawn among.

        Returns:
            What follows each prompt, special tokens left out.
        """
        rows = [encode(self.tokenizer, prompt).ids for prompt in prompts]
        drawn = sampled_tokens(self, rows, max_new_tokens, seed=seed, top_k=top_k)
        return [str(self.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in drawn]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: what is no JSON as text, tuples as lists."""
    found: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return found
