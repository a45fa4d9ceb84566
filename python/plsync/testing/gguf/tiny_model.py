"""A language model small enough to write in a test: 0.3 MB, no download, no training, real inference.

The file is a GGUF of the llama architecture, and GPT4All and llama.cpp load it. Its weights are set by hand and encode
a lookup table. A keyword anywhere in the prompt selects one fixed reply. A prompt without a keyword gets the default.
The text ends after the reply.

The best token leads the next one by at least 40 logits. The reply is therefore the same at any usual temperature, and a
test may compare it literally.

Pass ``n_threads=1`` to GPT4All. Its native threads wait by spinning: LangChain's default of 4 threads makes a token
about a thousand times slower on two cores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from plsync.testing.gguf.container import BOOL, FLOAT32, INT32, STRING, UINT32, ArrayOf, Matrix, gguf_bytes, ones

__all__ = ["ANSWERS", "DEFAULT", "write_tiny_model"]

ANSWERS: Final[Mapping[str, str]] = {
    "France": "Paris is the capital of France.",
    "Japan": "Tokyo, of course.",
    "joke": "Why did the cassette cross the road? To replay the other side!",
    "Once": "there was a small model that lived on a machine without any network.",
}
"""Replies by keyword. A keyword is one whole word; punctuation may follow it in the prompt."""

DEFAULT: Final = "I am a tiny local model without any knowledge."
"""The reply to a prompt without a keyword."""

_BLANK: Final = "\u2581"  # a blank in SentencePiece
_END: Final = "</s>"
_CONTROL: Final = ("<unk>", "<s>", _END)

# LangChain's GPT4All cannot set n_ctx: it is always 2048.
_CONTEXT: Final = 2048
_HEADS: Final = 4
_FEED_FORWARD: Final = 32
_DIM_STEP: Final = 64

# Signal strengths: the next word of a reply beats its keyword, and a keyword beats the default.
_FOLLOW: Final = 4000.0
_KEYWORD: Final = 1000.0
_ANY: Final = 0.05
_SHARP: Final = 100.0


def write_tiny_model(
    path: str | os.PathLike[str], *, answers: Mapping[str, str] = ANSWERS, default: str = DEFAULT
) -> Path:
    """Write a tiny language model to a GGUF file.

    Args:
        path: the file to write, usually ``*.gguf``. An existing file is replaced. The directory must exist.
        answers: replies by keyword. A keyword is one word. With two keywords in a prompt, either reply may win.
        default: the reply to any other prompt.

    Returns:
        ``path``. The bytes depend on ``answers`` and ``default`` alone.

    Raises:
        ValueError: a keyword is not one word, there are too many keywords, or two replies end with the same words.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     model = write_tiny_model(directory + "/tiny.gguf")
        ...     model.read_bytes()[:4]
        b'GGUF'

    A reply starts with a blank, as it does in every model that uses SentencePiece: ``" Tokyo, of course."``.
    """
    for keyword in answers:
        if not keyword or keyword.split() != [keyword]:
            raise ValueError(
                f"keyword {keyword!r} is not one word; nothing was written: use a single word without blanks"
            )
    target = Path(path)
    target.write_bytes(_model(answers, default))
    return target


def _model(answers: Mapping[str, str], default: str) -> bytes:
    used: set[str] = set()
    replies = {keyword: _pieces(reply, used) for keyword, reply in answers.items()}
    fallback = _pieces(default, used)
    tokens, kinds, scores = _vocabulary([*replies.values(), fallback], list(answers))
    tensors = _weights(tokens, replies, fallback)
    return gguf_bytes(_metadata(tokens, kinds, scores, tensors["token_embd.weight"].cols), tensors)


def _pieces(reply: str, used: set[str]) -> list[str]:
    """Cut a reply into pieces that no other reply has: the piece alone then determines the next one."""
    pieces, current = [], ""
    for word in reply.split(" "):
        current += _BLANK + word
        if current not in used:
            used.add(current)
            pieces.append(current)
            current = ""
    if current:
        raise ValueError(f"reply {reply!r} ends like another reply; nothing was written: change its last words")
    return pieces


def _vocabulary(replies: list[list[str]], keywords: list[str]) -> tuple[list[str], list[int], list[float]]:
    # 256 byte tokens make every prompt tokenisable. llama.cpp merges pairs of known pieces, so the vocabulary must
    # hold every prefix of a word.
    tokens = [*_CONTROL, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds, scores = [2, 3, 3] + [6] * 256, [0.0] * 259
    wanted = [_BLANK, *map(chr, range(0x21, 0x7F))]
    for piece in [*(piece for reply in replies for piece in reply), *(_BLANK + keyword for keyword in keywords)]:
        wanted += [piece] if _BLANK in piece[1:] else [piece[:end] for end in range(1, len(piece) + 1)]
    for piece in dict.fromkeys(wanted):
        tokens.append(piece)
        kinds.append(1)
        scores.append(len(piece) - 100.0)
    return tokens, kinds, scores


def _weights(tokens: list[str], replies: Mapping[str, list[str]], fallback: list[str]) -> dict[str, Matrix]:
    # One layer. Dimension 0 is "any token". A piece has one dimension; a keyword has two, "present" and "recalled".
    # Query and key are zero, so attention is a plain mean over the prompt: it detects a keyword, not its position.
    keywords, index = list(replies), {token: i for i, token in enumerate(tokens)}
    pieces = [piece for reply in [*replies.values(), fallback] for piece in reply]
    present = {keyword: 1 + len(pieces) + i for i, keyword in enumerate(keywords)}
    recalled = {keyword: present[keyword] + len(keywords) for keyword in keywords}
    dim = -(-(1 + len(pieces) + 2 * len(keywords)) // _DIM_STEP) * _DIM_STEP
    if len(keywords) > dim // _HEADS:
        raise ValueError(
            f"{len(keywords)} keywords are too many for these replies; nothing was written: "
            f"use at most {dim // _HEADS}, or longer replies"
        )
    at_piece = {piece: 1 + i for i, piece in enumerate(pieces)}

    embedding, output = Matrix(len(tokens), dim), Matrix(len(tokens), dim)
    value, project = Matrix(dim, dim), Matrix(dim, dim)
    for i, token in enumerate(tokens):
        embedding[i, at_piece.get(token, 0)] = 1.0
        for word in set(token.replace(_BLANK, " ").split()) & present.keys():
            embedding[i, present[word]] = 1.0
    for i, keyword in enumerate(keywords):
        value[i, present[keyword]] = 1.0
        project[recalled[keyword], i] = _KEYWORD
        output[index[replies[keyword][0]], recalled[keyword]] = _SHARP
    output[index[fallback[0]], 0] = _ANY * _SHARP
    for reply in [*replies.values(), fallback]:
        for piece, following in pairwise([*reply, _END]):
            output[index[following], at_piece[piece]] = _FOLLOW * _SHARP
    return {
        "token_embd.weight": embedding,
        "output_norm.weight": ones(dim),
        "output.weight": output,
        "blk.0.attn_norm.weight": ones(dim),
        "blk.0.attn_q.weight": Matrix(dim, dim),
        "blk.0.attn_k.weight": Matrix(dim, dim),
        "blk.0.attn_v.weight": value,
        "blk.0.attn_output.weight": project,
        "blk.0.ffn_norm.weight": ones(dim),
        "blk.0.ffn_gate.weight": Matrix(_FEED_FORWARD, dim),
        "blk.0.ffn_up.weight": Matrix(_FEED_FORWARD, dim),
        "blk.0.ffn_down.weight": Matrix(dim, _FEED_FORWARD),
    }


def _metadata(
    tokens: list[str], kinds: list[int], scores: list[float], dim: int
) -> list[tuple[str, int | ArrayOf, Any]]:
    chat = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "plsync-tiny"),
        ("general.file_type", UINT32, 0),
        ("llama.vocab_size", UINT32, len(tokens)),
        ("llama.context_length", UINT32, _CONTEXT),
        ("llama.embedding_length", UINT32, dim),
        ("llama.block_count", UINT32, 1),
        ("llama.feed_forward_length", UINT32, _FEED_FORWARD),
        ("llama.attention.head_count", UINT32, _HEADS),
        ("llama.attention.head_count_kv", UINT32, _HEADS),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        ("llama.rope.dimension_count", UINT32, dim // _HEADS),
        ("llama.rope.freq_base", FLOAT32, 10000.0),
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.tokens", ArrayOf(STRING), tokens),
        ("tokenizer.ggml.scores", ArrayOf(FLOAT32), scores),
        ("tokenizer.ggml.token_type", ArrayOf(INT32), kinds),
        ("tokenizer.ggml.bos_token_id", UINT32, _CONTROL.index("<s>")),
        ("tokenizer.ggml.eos_token_id", UINT32, _CONTROL.index(_END)),
        ("tokenizer.ggml.unknown_token_id", UINT32, _CONTROL.index("<unk>")),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_eos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, chat),
    ]
