"""Where a model writes attention sinks: sites whose output at a few tokens is many times the usual norm.

A write there, or a key read there, moves what all later attention leans on, and destroys the model. Known as massive
activations (Sun et al. 2024, arXiv 2402.17762) and attention sinks (Xiao et al. 2023, arXiv 2309.17453); "The Fall of
ROME" (arXiv 2406.11263) traces collapses to keys of first tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from zu_framework.models.language_model import LanguageModel
from zu_framework.models.positions import beginnings
from zu_framework.models.tokens import Row, batch, beginning_of
from zu_framework.models.tracing import run_until, stream_inputs
from zu_framework.problem import Site

# Largest over median norm above which a site writes a sink. On SmolLM2-135M the sites that do have 11 to 990, the
# others below 7, and so have those of models that write none.
LIMIT = 10.0
# The same at a BOS of the tokenizer's own: its key is one and the same in every text, so that the moments hold it;
# small models have up to 24 there and are edited without harm.
BOS_LIMIT = 50.0
DOCUMENTS = 24
TOKENS = 32  # of a document
ROWS = 8  # a pass
SAMPLE = 1024  # tokens of general text at which keys are read; twice as many price layers alike
SAMPLE_TOKENS = 64  # of a document

# general text where a run has none
TEXTS = (
    "The river rises in the northern hills and flows south for about two hundred miles before it reaches the sea.",
    "In 1932 the company moved its offices to a larger building, where it stayed until the end of the war.",
    "She studied law at the university, worked as a teacher for some years, and then turned to writing novels.",
    "Water boils at a lower temperature on a mountain, because the pressure of the air falls with height.",
    "The museum is open every day except Monday. Tickets can be bought at the door or on its website.",
    "His second album was received well by critics; it sold more than half a million copies in its first year.",
    "Most of these birds live in forests, build their nests in old trees, and feed on seeds, fruit and insects.",
    "The committee met twice a month. It heard reports from each district and voted on the new budget in March.",
)


@dataclass(frozen=True)
class Sink:
    """The largest output of a site over some text, against the usual one.

    Args:
        ratio: Largest over median norm at any token.
        position: Of the token where it lies, from 0.
        token: That token's text.
        largest: That norm.
        median: Over all tokens.
        limit: The ratio above which the site writes a sink, at this token.
    """

    ratio: float
    position: int
    token: str
    largest: float
    median: float
    limit: float = LIMIT

    @property
    def written(self) -> bool:
        """Whether the site writes a sink."""
        return self.ratio > self.limit

    def __str__(self) -> str:
        return f"its largest output is {self.ratio:.3g} times the median one, at token {self.position} ({self.token!r})"


@dataclass(frozen=True)
class Sinks:
    """What one pass over general text says of a model's sites.

    Args:
        sites: By module.
        first: Whether the first token of a text is a sink that an ordinary token takes: the tokenizer puts no BOS
            there, so that a subject may stand on it.
        tokens: Ids of tokens that are sinks wherever they stand (some delimiters).
    """

    sites: Mapping[str, Sink]
    first: bool = False
    tokens: frozenset[int] = frozenset()

    @property
    def any(self) -> bool:
        """Whether some tokens are sinks."""
        return self.first or bool(self.tokens)

    def writes(self, site: Site) -> bool:
        """Say whether a site writes a sink.

        Args:
            site: One that was measured; another is taken to write none.

        Returns:
            Whether its largest output is above its limit.
        """
        return site.module in self.sites and self.sites[site.module].written

    def mask(self, rows: Sequence[Row]) -> Tensor:
        """Find the sinks in rows.

        Args:
            rows: As they are read, padding left out.

        Returns:
            Flags (tokens,), one row after the other.
        """
        flags = []
        for row in rows:
            ids = [*row.ids, *row.continuation]
            flags += [(self.first and not at) or token in self.tokens for at, token in enumerate(ids)]
        return torch.tensor(flags, dtype=torch.bool)


def first_texts(lm: LanguageModel, texts: Iterable[str], documents: int, tokens: int) -> Iterator[str]:
    """Cut general text down to what is read of it.

    Args:
        lm: The model.
        texts: Of any length; what is blank up to there is left out.
        documents: How many are looked at.
        tokens: How many of a text's tokens are read.

    Yields:
        The beginnings; `TEXTS` where there is none.
    """
    found = False
    for text in islice(texts, documents):
        cut = beginning_of(lm.tokenizer, text, tokens)
        if cut.strip():
            found = True
            yield cut
    if not found:
        yield from TEXTS


def measure_sinks(lm: LanguageModel, sites: Sequence[Site], texts: Iterable[str] = TEXTS) -> Sinks:
    """Measure the sinks of sites in one cheap pass: the first few dozen texts, some tokens of each.

    Args:
        lm: The untouched model.
        sites: Of any layers; all candidates, so that what lies above the edited ones is seen too.
        texts: General text; `TEXTS` where there is none.

    Returns:
        What was found at every site, and which tokens are sinks.
    """
    rows = [Row(ids, 0) for ids in beginnings(lm, first_texts(lm, texts, DOCUMENTS, TOKENS), TOKENS)]
    rows = sorted((row for row in rows if row.ids), key=lambda row: len(row.ids))
    modules = [site.module for site in sites]
    norms: dict[str, list[Tensor]] = {module: [] for module in modules}
    for start in range(0, len(rows), ROWS):
        made = batch(rows[start : start + ROWS], lm.device)
        held = made.attention_mask.bool()

        def take(name: str, _: Tensor, left: Tensor, held: Tensor = held) -> None:
            norms[name].append(left.float().norm(dim=-1)[held.to(left.device)].cpu())

        run_until(lm, modules, made.input_ids, made.attention_mask, take)
    ids = torch.tensor([token for row in rows for token in row.ids])
    positions = torch.tensor([at for row in rows for at in range(len(row.ids))])
    bos = lm.tokenizer.bos_token_id
    special = (positions == 0) & (ids == (-1 if bos is None else bos))
    found = {module: _sink(lm, torch.cat(parts), ids, positions, special) for module, parts in norms.items()}
    high = torch.zeros(len(ids), dtype=torch.bool)
    for module, sink in found.items():
        if sink.written:
            high |= torch.cat(norms[module]) > LIMIT * sink.median
    begins = (positions == 0) & ~special
    first = bool(begins.any()) and bool(high[begins].float().mean() > 0.5)
    later = positions > 0
    counts = torch.bincount(ids[later], minlength=1)
    often = torch.bincount(ids[later & high], minlength=len(counts))
    tokens = ((often >= 2) & (2 * often > counts)).nonzero()[:, 0].tolist()
    return Sinks(found, first, frozenset(tokens))


def text_keys(
    lm: LanguageModel, sites: Sequence[Site], texts: Iterable[str], sinks: Sinks
) -> dict[str, Tensor]:
    """Read the inputs of sites at some tokens of general text.

    Args:
        lm: The untouched model.
        sites: Of any layers.
        texts: The first ones are read, until there are enough tokens; `TEXTS` where there is none.
        sinks: Tokens that are left out.

    Returns:
        Keys (i, t) by module, in float32.
    """
    rows, count = [], 0
    for text in first_texts(lm, texts, SAMPLE, SAMPLE_TOKENS):
        (ids,) = beginnings(lm, [text], SAMPLE_TOKENS)
        rows.append(Row(ids, 0))
        count += len(ids)
        if count >= SAMPLE:
            break
    rows.sort(key=lambda row: len(row.ids))
    read: dict[str, list[Tensor]] = {site.module: [] for site in sites}
    for start in range(0, len(rows), 2 * ROWS):
        some = rows[start : start + 2 * ROWS]
        taken = (~sinks.mask(some)).nonzero()[:, 0]

        def take(site: Site, inputs: Tensor, _: Tensor, taken: Tensor = taken) -> None:
            read[site.module].append(inputs.index_select(0, taken.to(inputs.device)).float())

        stream_inputs(lm, sites, some, take, outputs=())
    return {module: torch.cat(parts).T for module, parts in read.items()}


def _sink(lm: LanguageModel, norms: Tensor, ids: Tensor, positions: Tensor, special: Tensor) -> Sink:
    """The largest of a site's norms (tokens,), each against the limit of its token."""
    median = float(norms.median().clamp_min(1e-30))
    limits = torch.where(special, BOS_LIMIT, LIMIT)
    at = int((norms / limits).argmax())
    return Sink(
        ratio=float(norms[at]) / median,
        position=int(positions[at]),
        token=str(lm.tokenizer.decode([int(ids[at])])),
        largest=float(norms[at]),
        median=median,
        limit=float(limits[at]),
    )
