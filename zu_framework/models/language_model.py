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
from zu_framework.models.modules import is_linear, transposed
from zu_framework.models.sampling import sampled_tokens
from zu_framework.models.tokens import batch, encode
from zu_framework.models.tracing import row_of, run_until
from zu_framework.problem import Architecture, ReadPrompt, Site
from zu_framework.problem.sites import as_matrix


@dataclass(frozen=True)
class LanguageModel:
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
        """A model in memory. Raises `ModelError` for a slow tokenizer or where no decoder structure is found."""
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
    ) -> LanguageModel:
        """Load a checkpoint folder or hub id, safetensors only. Raises `ModelError` that says what to mend.

        chat: prompts are read in the tokenizer's chat template, with `system` as the system prompt where it is not "".
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

    @property
    def model_type(self) -> str:
        """As the model's config names it."""
        return str(self.model.config.model_type)

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.model.get_submodule(self.architecture.layers))

    def site(self, layer: int) -> Site:
        """The MLP output projection of a layer. Raises `ModelError` where there is none to edit."""
        if not 0 <= layer < self.num_layers:
            raise ModelError(
                f"layer {layer} does not exist: this {self.model_type} has layers 0 to {self.num_layers - 1}"
            )
        if layer in self.architecture.refused:
            dense = sorted(self.architecture.projections)
            rest = f"; choose among layers {dense}" if dense else "; no layer of this model has a dense MLP"
            raise ModelError(f"{self.architecture.refused[layer]}{rest}")
        return Site(
            module=self.architecture.projections[layer],
            layer=layer,
            block=f"{self.architecture.layers}.{layer}",
            residual_stream=not self.architecture.scaled_branch.get(layer, False),
        )

    def weight(self, site: Site) -> Tensor:
        """W (o, i): a view of the parameter, detached. A vector is seen as a column, more axes as rows (..., i)."""
        return self.as_matrix(site, self.parameter(site).data)

    def parameter(self, site: Site) -> torch.nn.Parameter:
        """The parameter behind a site. Raises `ModelError` where there is none."""
        found = getattr(self.model.get_submodule(site.module), site.parameter, None)
        if not isinstance(found, torch.nn.Parameter):
            raise ModelError(
                f"module {site.module!r} has no parameter {site.parameter!r}: it is no plain module"
            )
        return found

    def as_matrix(self, site: Site, tensor: Tensor) -> Tensor:
        """A tensor shaped like the site's parameter, seen as W (o, i) is: a view."""
        return as_matrix(tensor, transposed=self.stores_transposed(site))

    def parameter_sites(self) -> list[Site]:
        """A site for each parameter of the model, tied ones once; those of a layer's projections are `site(layer)`."""
        known = {name: self.site(layer) for layer, name in self.architecture.projections.items()}
        found = []
        for full, _ in self.model.named_parameters():
            module, _, parameter = full.rpartition(".")
            if parameter == "weight" and module in known:
                found.append(known[module])
            else:
                found.append(Site(module, -1, "", residual_stream=False, parameter=parameter))
        return found

    def stores_transposed(self, site: Site) -> bool:
        """Whether the checkpoint keeps W as (i, o), as GPT-2's Conv1D does."""
        return site.parameter == "weight" and transposed(self.model.get_submodule(site.module))

    def bias(self, site: Site) -> Tensor | None:
        """b (o,), or None."""
        bias = getattr(self._projection(site), "bias", None)
        return None if bias is None else bias.data

    def write_weight(self, site: Site, new: Tensor) -> None:
        """Overwrite W in place with (o, i) of its own dtype. For `engine.writing` alone."""
        with torch.no_grad():
            self.weight(site).copy_(new)

    def verify(self, site: Site, text: str = "The capital of France is") -> None:
        """Check on a real forward pass that the module computes W k + b. Raises `ModelError` that names it."""
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
        """xxh3-128 of all that the layer's output depends on: config, embeddings, layers up to and with this one."""
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

        also: writes what belongs into the folder besides, before it appears.
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

    def _projection(self, site: Site) -> Any:
        module = self.model.get_submodule(site.module)
        if not is_linear(module):
            raise ModelError(f"module {site.module!r} is a {type(module).__name__}, not a linear map")
        return module


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: what is no JSON as text, tuples as lists."""
    found: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return found
