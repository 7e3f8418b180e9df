"""What knows transformers: structure, tokens, tracing, loading and saving."""

from zu_framework.models.answers import Continuations, continuations, logits_at
from zu_framework.models.architecture import find_architecture
from zu_framework.models.borrowing import borrowed
from zu_framework.models.chat import Chat, encode_answer, encode_prompt, eos_of
from zu_framework.models.checkpoints import check_folder, load_tokenizer
from zu_framework.models.greedy import drawn_copies, drawn_tokens, greedy_tokens
from zu_framework.models.language_model import LanguageModel
from zu_framework.models.lending import altered, lent
from zu_framework.models.modules import is_linear
from zu_framework.models.outline import CheckpointInfo
from zu_framework.models.positions import beginnings, check_length, check_tokens, longest_input
from zu_framework.models.products import quick_products
from zu_framework.models.readout import Readout, find_readout
from zu_framework.models.replay import Replay, capture
from zu_framework.models.replay_plan import entry_of, replay_bytes
from zu_framework.models.sinks import TEXTS, Sink, Sinks, measure_sinks, text_keys
from zu_framework.models.spacing import AnswerSpace, puts_space, wants_space
from zu_framework.models.steering import attention_projections, embeddings_of, replaced
from zu_framework.models.tokens import (
    Batch,
    Encoding,
    Row,
    answer_ids,
    batch,
    batches_of,
    beginning_of,
    encode,
    encode_all,
    token_at,
)
from zu_framework.models.tracing import (
    add_at,
    answer_row,
    read_states,
    read_tokens,
    row_of,
    run_until,
    stream_inputs,
)

__all__ = [
    "TEXTS",
    "AnswerSpace",
    "Batch",
    "Chat",
    "CheckpointInfo",
    "Continuations",
    "Encoding",
    "LanguageModel",
    "Readout",
    "Replay",
    "Row",
    "Sink",
    "Sinks",
    "add_at",
    "altered",
    "answer_ids",
    "answer_row",
    "attention_projections",
    "batch",
    "batches_of",
    "beginning_of",
    "beginnings",
    "borrowed",
    "capture",
    "check_folder",
    "check_length",
    "check_tokens",
    "continuations",
    "drawn_copies",
    "drawn_tokens",
    "embeddings_of",
    "encode",
    "encode_all",
    "encode_answer",
    "encode_prompt",
    "entry_of",
    "eos_of",
    "find_architecture",
    "find_readout",
    "greedy_tokens",
    "is_linear",
    "lent",
    "load_tokenizer",
    "logits_at",
    "longest_input",
    "measure_sinks",
    "puts_space",
    "quick_products",
    "read_states",
    "read_tokens",
    "replaced",
    "replay_bytes",
    "row_of",
    "run_until",
    "stream_inputs",
    "text_keys",
    "token_at",
    "wants_space",
]
