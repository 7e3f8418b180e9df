"""Files encrypted by AES-256-GCM to a key that lies elsewhere, in pieces that each vouch for their place."""

from __future__ import annotations

import base64
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zu_framework.errors import RunFolderError, ZuError
from zu_framework.files import whole_file, write_text

MAGIC = b"zu-sealed-1\n"
PIECE = 1 << 24  # bytes
PREFIX = 8  # random bytes of a file's nonces; the number of the piece follows, in four
TAG = 16  # bytes behind each piece


def key_from(path: Path) -> bytes:
    """Read the key of a file, or make one.

    Args:
        path: A file with 32 bytes in base64; made, private, where it does not exist.

    Returns:
        The key.

    Raises:
        RunFolderError: The file holds something else, or cannot be made.
    """
    if not path.exists():
        key = secrets.token_bytes(32)
        write_text(path, f"{base64.b64encode(key).decode()}\n", private=True)
        return key
    try:
        key = base64.b64decode(path.read_text(encoding="ascii"), validate=False)
    except (OSError, ValueError) as cause:
        raise RunFolderError(f"{path}: no key can be read: {cause}") from cause
    if len(key) != 32:
        raise RunFolderError(
            f"{path}: holds no key of 32 bytes in base64: name another file, or one that is not there"
        )
    return key


def encrypt(source: Path, target: Path, name: str, key: bytes) -> None:
    """Encrypt a file.

    Args:
        source: What to encrypt.
        target: Where it goes.
        name: What it will be called once decrypted; it is authenticated, and not hidden.
        key: 32 bytes.

    Raises:
        ZuError: The package cryptography is not installed.
        RunFolderError: The target cannot be written.
    """
    cipher = _cipher(key)
    prefix = secrets.token_bytes(PREFIX)
    size = source.stat().st_size
    with whole_file(target, private=True) as partial, source.open("rb") as read, partial.open("wb") as write:
        write.write(MAGIC + prefix)
        for number, last in _pieces(size):
            write.write(
                cipher.encrypt(_nonce(prefix, number), read.read(PIECE), _context(name, number, last))
            )


def decrypt(source: Path, target: Path, name: str, key: bytes) -> None:
    """Decrypt a file, whole or not at all.

    Args:
        source: What `encrypt` wrote.
        target: Where it goes.
        name: As it was encrypted under.
        key: 32 bytes.

    Raises:
        ZuError: The package cryptography is not installed.
        RunFolderError: The key is another, or the file is damaged.
    """
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag

    head = len(MAGIC) + PREFIX
    sealed = source.stat().st_size - head
    count = max(1, -(-sealed // (PIECE + TAG)))
    with source.open("rb") as read, whole_file(target, private=True) as partial, partial.open("wb") as write:
        start = read.read(head)
        if not start.startswith(MAGIC) or len(start) < head:
            raise RunFolderError(f"{source} is damaged: it is no sealed file")
        for number, last in _pieces(sealed - count * TAG):
            piece = read.read(PIECE + TAG)
            try:
                plain = cipher.decrypt(_nonce(start[-PREFIX:], number), piece, _context(name, number, last))
            except (InvalidTag, ValueError) as cause:
                raise RunFolderError(
                    f"{source} cannot be decrypted: the key is another, or it is damaged"
                ) from cause
            write.write(plain)


def _pieces(size: int) -> Iterator[tuple[int, bool]]:
    """Number of each piece, and whether it is the last: there is always one."""
    count = max(1, -(-size // PIECE))
    for number in range(count):
        yield number, number == count - 1


def _nonce(prefix: bytes, number: int) -> bytes:
    return prefix + struct.pack(">I", number)


def _context(name: str, number: int, last: bool) -> bytes:
    return f"{name}\n{number} {last}".encode()


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as cause:
        raise ZuError("encrypting needs the extra seal: pip install 'zu_framework[seal]'") from cause
    return AESGCM(key)
