"""A causal language model with its tokenizer and its known structure: sites, weights, fingerprints, generation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from zu_framework.errors import ModelError
from zu_framework.models.architecture import find_architecture
from zu_framework.models.borrowing import check_finite, check_tokenizer, check_vocabulary, plain_model
from zu_framework.models.chat import Chat
from zu_framework.models.fingerprint import (
    OF_LOADING,
    Fingerprint,
    hash_tensors,
    identity,
    tensor_digest,
    tensor_digests,
)
from zu_framework.models.loading import load_checkpoint, save_checkpoint
from zu_framework.models.sampling import sampled_tokens
from zu_framework.models.tokens import batch, encode
from zu_framework.models.tracing import row_of, run_until
from zu_framework.models.weights import Weights
from zu_framework.problem import Architecture, ReadPrompt, Site


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"LanguageModel({self.model_type}, {self.num_layers} layers, {self.dtype}, {self.device})"

    @classmethod
    def wrap(
        cls, model: Any, tokenizer: Any, architecture: Architecture | None = None, chat: Chat | None = None
    ) -> LanguageModel:
        """Wrap a model in memory.

        Args:
            model: Of transformers; it is left in evaluation mode.
            tokenizer: Fast.
            architecture: Where the model keeps its parts; found by structure where it is None.
            chat: The template that prompts are read in; None for a model that reads them as they are.

        Returns:
            The model with its structure; the parameters are the model's own.

        Raises:
            ModelError: The tokenizer is slow or larger than the embedding, a weight is not finite, or no decoder
                structure is found.
        """
        plain = plain_model(model)
        check_tokenizer(tokenizer)
        check_vocabulary(tokenizer, plain.get_input_embeddings().weight.shape[0], "the model's embedding")
        check_finite(plain)
        model = plain.eval()
        return cls(model, tokenizer, architecture or find_architecture(model), chat)

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
        key: str = "path",
    ) -> LanguageModel:
        """Load a checkpoint folder or hub id.

        Args:
            path: A folder, a hub id, or the name of an embedded model.
            dtype: "auto" for the checkpoint's own, or such as "float32".
            device: Such as "cpu" or "cuda".
            device_map: Spreads the layers over devices, as transformers reads it; needs the extra accelerate.
            revision: Of a hub id.
            trust_remote_code: Whether code that the checkpoint brings may run.
            chat: Whether prompts are read in the tokenizer's chat template.
            system: The system prompt of that template; "" for none.
            find_architecture: Returns where a model keeps its parts; None, or where it returns None, finds them by
                structure.
            key: What the path was given by, for messages.

        Returns:
            The model, in evaluation mode.

        Raises:
            ModelError: It cannot be loaded or edited; the message says what to mend.
        """
        model, tokenizer = load_checkpoint(
            path,
            dtype=dtype,
            device=device,
            device_map=device_map,
            revision=revision,
            trust_remote_code=trust_remote_code,
            key=key,
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
        """Check on a real forward pass that the module computes W k + b.

        Args:
            site: Of this model.
            text: What is run.

        Raises:
            ModelError: It does not: it is quantised, carries an adapter, or is no plain linear map.
        """
        made = batch([row_of(self, ReadPrompt(text, len(text)))], self.device)
        seen: list[tuple[Tensor, Tensor]] = []
        run_until(
            self, [site.module], made.input_ids, made.attention_mask, lambda n, k, v: seen.append((k, v))
        )
        keys, values = (t[0].T.to(torch.float64) for t in seen[0])  # (i, t), (o, t)
        weight, bias = self.weight(site).to(torch.float64), self.bias(site)
        if weight.shape != (values.shape[0], keys.shape[0]):
            raise ModelError(
                f"module {site.module!r} maps {keys.shape[0]} to {values.shape[0]}, its weight does not"
            )
        expected = weight @ keys + (0 if bias is None else bias.to(torch.float64)[:, None])
        tolerance = 1e-4 if self.dtype in (torch.float32, torch.float64) else 3e-2
        error = float((expected - values).norm() / values.norm().clamp_min(1e-30))
        if not error <= tolerance:
            raise ModelError(
                f"module {site.module!r} does not compute W k + b (relative error {error:.1e}): it is quantised, "
                "carries an adapter, or is no plain linear map; merge the adapter, load the model unquantised, or "
                "choose another layer"
            )

    def fingerprint(self) -> str:
        """SHA-256 of names, dtypes, shapes and bytes of all parameters; the same under any version of transformers."""
        return self.tensor_fingerprint().value

    def tensor_fingerprint(self) -> Fingerprint:
        """Digests of all parameters, tied ones once, and the config's own entries."""
        parameters = {name: parameter.data for name, parameter in self.model.named_parameters()}
        return Fingerprint(tensor_digests(parameters), _plain(identity(self.model.config.to_diff_dict())))

    def digest(self, site: Site) -> str:
        """Digest of a site's parameter as the model stores it.

        Args:
            site: A site of this model.

        Returns:
            Its entry of `tensor_fingerprint().tensors`.
        """
        return tensor_digest(self.parameter(site).data)

    def parameter_names(self, site: Site) -> tuple[str, ...]:
        """The names of a site's parameter, that of `tensor_fingerprint().tensors` first; several where it is tied.

        Args:
            site: A site of this model.

        Returns:
            At least one name.
        """
        wanted = self.parameter(site)
        named = self.model.named_parameters(remove_duplicate=False)
        return tuple(name for name, parameter in named if parameter is wanted)

    def state_digest(self) -> str:
        """xxh3-128 of all that the model computes from: its whole config, every parameter and buffer."""
        digest = self._config_digest()
        hash_tensors(digest, self.model.state_dict())
        found: str = digest.hexdigest()
        return found

    def weights_below_fingerprint(self, layer: int) -> str:
        """Digest all that a layer's output depends on: config, embeddings, layers up to and with this one.

        Args:
            layer: From 0.

        Returns:
            xxh3-128, as hexadecimal digits.
        """
        digest = self._config_digest()
        above = tuple(f"{self.architecture.layers}.{i}." for i in range(layer + 1, self.num_layers))
        later = (*above, f"{self.architecture.final_norm}.", f"{self.architecture.head}.")
        kept = {n: t for n, t in self.model.state_dict().items() if not n.startswith(later)}
        hash_tensors(digest, kept)
        found: str = digest.hexdigest()
        return found

    def tokenizer_fingerprint(self) -> str:
        """xxh3-128 of all that decides a text's tokens; padding and truncation are but state of the last call."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        kept = {name: value for name, value in state.items() if name not in ("padding", "truncation")}
        return xxhash.xxh3_128_hexdigest(json.dumps(kept, sort_keys=True).encode())

    def save(self, folder: str | Path, also: Callable[[Path], None] | None = None) -> None:
        """Write a checkpoint that `from_pretrained` loads; the folder appears whole or not at all.

        Args:
            folder: Where it appears.
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

    def _config_digest(self) -> Any:
        entries = identity(self.model.config.to_dict(), but=OF_LOADING)
        return xxhash.xxh3_128(json.dumps(entries, sort_keys=True, default=str).encode())


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: what is no JSON as text, tuples as lists."""
    found: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return found
