"""What a model reads of a prompt and of an answer: the text itself, or the text in the tokenizer's chat template.

Everything that is read through here keeps to the prompt's own characters: the offsets of an `Encoding` are those in the
prompt, whatever a template puts around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zu_framework.errors import ConfigError, ModelError
from zu_framework.models.positions import check_length, check_tokens
from zu_framework.models.spacing import puts_space
from zu_framework.models.tokens import Encoding, answer_ids, encode

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel

# What templates ask for besides the messages. One that writes the day's date would make a run depend on the day:
# Llama 3's own default is given instead. Qwen3's has the model think first unless told not to; here answers follow.
FIXED: dict[str, Any] = {"date_string": "26 Jul 2024", "enable_thinking": False}

_MARK = "Zq7mark"  # a text that no template holds


@dataclass(frozen=True)
class Chat:
    """A chat template in use.

    Args:
        system: The system prompt; "" for none.
        after: What the template puts after a user's message, up to where the reply starts.
        gap: The white space that it puts before a reply.
    """

    system: str
    after: str
    gap: str

    @classmethod
    def of(cls, tokenizer: Any, system: str = "") -> Chat:
        """Return the template of a tokenizer.

        Args:
            tokenizer: With a chat template.
            system: The system prompt; "" for none.

        Returns:
            The template in use.

        Raises:
            ModelError: There is none, it takes no system prompt, or it writes a message more than once.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                "model.chat is true, and this tokenizer has no chat template: use an instruct checkpoint, whose "
                "tokenizer brings one, or model.chat=false"
            )
        whole = _rendered(tokenizer, _messages(system, _MARK))
        if whole.count(_MARK) != 1:
            raise ModelError(
                f"the chat template writes a message {whole.count(_MARK)} times, so that no offset in a prompt is "
                "known: use model.chat=false"
            )
        if system and system.strip() not in whole:
            raise ModelError("the chat template leaves the system prompt out: drop model.system")
        reply = [*_messages(system, "a"), {"role": "assistant", "content": _MARK}]
        before, found, _ = _rendered(tokenizer, reply, reply_follows=False).partition(_MARK)
        open_turn = _rendered(tokenizer, _messages(system, "a"))
        gap = before[len(open_turn) :] if found and before.startswith(open_turn) else ""
        return cls(system, whole.partition(_MARK)[2], gap if gap.isspace() else "")

    def wrapped(self, tokenizer: Any, text: str) -> tuple[str, int, str]:
        """Put the template around a prompt.

        Args:
            tokenizer: Whose template it is.
            text: The prompt.

        Returns:
            The template's text, where the prompt starts in it, and the prompt as it stands there: a template may cut
            white space at its ends.

        Raises:
            ModelError: The template changes anything else of the prompt.
        """
        whole = _rendered(tokenizer, _messages(self.system, text))
        for kept in (text, text.strip()):
            start = len(whole) - len(self.after) - len(kept)
            if kept and start >= 0 and whole == whole[:start] + kept + self.after:
                return whole, start, kept
        raise ModelError(
            f"the chat template does not keep the prompt {text[:60]!r} as it is: model.chat=false"
        )


def encode_prompt(lm: LanguageModel, text: str) -> Encoding:
    """Tokenize a prompt as the model reads it, BOS (where the tokenizer has one) once.

    Args:
        lm: The model, whose chat template is put around the prompt where it has one.
        text: The prompt.

    Returns:
        Tokens, with their spans in `text`. Tokens of a chat template have an empty span; the last token is where the
        model is about to answer.

    Raises:
        DataError: They are more than the model's positions, or one has no row in its embedding.
    """
    encoding = _encoded(lm, text)
    check_length(lm, text, len(encoding.ids))
    check_tokens(lm, text, encoding.ids)
    return encoding


def _encoded(lm: LanguageModel, text: str) -> Encoding:
    if lm.chat is None:
        return encode(lm.tokenizer, text)
    whole, start, kept = lm.chat.wrapped(lm.tokenizer, text)
    encoded = lm.tokenizer(whole, return_offsets_mapping=True, add_special_tokens=False)
    cut = len(text) - len(text.lstrip()) if kept != text else 0  # white space that the template took away
    ids, offsets = list(encoded["input_ids"]), []
    for a, b in encoded["offset_mapping"]:
        low, high = max(int(a), start), min(int(b), start + len(kept))
        offsets.append((low - start + cut, high - start + cut) if low < high else (0, 0))
    bos = lm.tokenizer.bos_token_id
    if bos is not None:
        while ids[:2] == [bos, bos]:
            ids, offsets = ids[1:], offsets[1:]
        # it puts one before any text, the template none
        if ids[0] != bos and encode(lm.tokenizer, "a").ids[0] == bos:
            ids, offsets = [bos, *ids], [(0, 0), *offsets]
    return Encoding(ids, offsets)


def encode_answer(lm: LanguageModel, text: str, prompt: str | None = None) -> list[int]:
    """Return the tokens of an answer that follows `encode_prompt`.

    Args:
        lm: The model. Where it reads a chat template, the answer stands as the template writes a reply.
        text: The answer.
        prompt: What it follows; decides, by `lm.answer_space`, whether a space comes between them. None: one does.

    Returns:
        At least one token id.

    Raises:
        ModelError: The answer has no token.
        DataError: A token of it has no row in the model's embedding.
    """
    ids = _answer(lm, text, prompt)
    check_tokens(lm, text, ids)
    return ids


def _answer(lm: LanguageModel, text: str, prompt: str | None) -> list[int]:
    special = lm.tokenizer.get_added_vocab()
    if lm.chat is None or (text in special and text in lm.tokenizer.all_special_tokens):
        return answer_ids(lm.tokenizer, text, space=prompt is None or puts_space(lm.answer_space, prompt))
    word = lm.chat.gap + text.lstrip(" ")
    before = _plain(lm.tokenizer, lm.chat.after)
    joined = _plain(lm.tokenizer, lm.chat.after + word)
    ids = joined[len(before) :] if joined[: len(before)] == before else _plain(lm.tokenizer, word)
    if not ids:
        raise ModelError(f"answer {text!r} has no token")
    return ids


def eos_of(lm: LanguageModel, key: str) -> str:
    """Return the tokenizer's EOS: what a model says that has nothing to say.

    Args:
        lm: The model.
        key: Of the config: gives another text where there is no EOS.

    Returns:
        The special token as text; `encode_answer` makes one token of it.

    Raises:
        ConfigError: The tokenizer has none.
    """
    text = lm.tokenizer.eos_token
    if not text:
        raise ConfigError(
            f'this tokenizer has no EOS token: give a neutral text, for example {key}=" unknown"'
        )
    return str(text)


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _messages(system: str, text: str) -> list[dict[str, str]]:
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": text}]


def _rendered(tokenizer: Any, messages: Sequence[dict[str, str]], *, reply_follows: bool = True) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=reply_follows, **FIXED
        )
    # a template is a program of its own: it may raise anything, "no system role" above all
    except Exception as cause:
        raise ModelError(
            f"the chat template refuses {' and '.join(m['role'] for m in messages)} messages: {cause}; "
            + ("drop model.system, or " if messages[0]["role"] == "system" else "")
            + "use model.chat=false"
        ) from cause
    return text
