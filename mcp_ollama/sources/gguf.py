"""Metadata of a GGUF weights file, read from its first kilobytes.

The layout is that of llama.cpp's `ggml/include/gguf.h`: little endian, a magic, a version, two counts, then keys with
typed values. The limits hold for files from strangers: no number in the file decides how much memory is allocated.
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType

MAX_HEAD_BYTES = 16 * 2**20
MAX_KEYS = 4096
MAX_KEY_BYTES = 256
MAX_STRING_BYTES = 16 * 2**20
"""Ollama's own limit (fs/gguf/gguf.go)."""
MAX_ARRAY_ITEMS = 64 * 2**20
"""Ollama's own limit (fs/gguf/gguf.go)."""
MAX_KEPT_STRING_BYTES = 4096
MAX_KEPT_ITEMS = 4096
MAX_ITEMS = 16_384
"""Items of all arrays that are looked at: some 20 ms of work, and 30 times what a model of 100 layers has."""
MAX_KEPT_TEXT = 2**20
"""Bytes of all strings that are kept."""

_MAGIC = b"GGUF"
_OLDER_MAGICS = (b"lmgg", b"fmgg", b"tjgg", b"algg", b"ggml", b"ggmf", b"ggjt", b"ggla")
_SWAPPED_VERSIONS = (0x02000000, 0x03000000)
_STRING = 8
_ARRAY = 9
_SCALARS: Mapping[int, struct.Struct] = MappingProxyType(
    {
        kind: struct.Struct(f"<{code}")
        for kind, code in zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
    }
)
_U32 = _SCALARS[4]
_U64 = _SCALARS[10]
_SKIPPED = object()


class NeedMoreData(ValueError):  # noqa: N818 - not an error: the next request
    """The head ends before what is asked of it: read a longer one."""

    def __init__(self) -> None:
        super().__init__("The head of the weights file is incomplete. Read more of it.")


def read_metadata(data: bytes) -> dict[str, object]:
    """Read the keys of a GGUF file that an estimate of its memory needs.

    Reading stops at the first `tokenizer.` key once block count and head count are known, because the tokenizer takes
    up to 16 MB. Strings over 4 KiB and arrays over 4,096 items are left out.

    Args:
        data: The first bytes of the file, 16 MiB at most; 64 KiB suffice for nearly every model.

    Returns:
        Values by full GGUF key: int, float, bool, str, or a list of these.

    Raises:
        NeedMoreData: The file goes on where `data` ends.
        ValueError: It is not a GGUF file of version 2 or 3, or it is damaged.
    """
    if len(data) > MAX_HEAD_BYTES:
        raise _invalid(f"its head is longer than {MAX_HEAD_BYTES:,} bytes")
    head = _Head(data)
    metadata: dict[str, object] = {}
    for _ in range(_read_key_count(head)):
        key = head.read_string(MAX_KEY_BYTES)
        if key.startswith("tokenizer.") and _suffices(metadata):
            break
        if key in metadata:
            raise _invalid("a key occurs twice")
        value = head.read_value(head.read_number(_U32))
        if value is not _SKIPPED:
            metadata[key] = value
    return metadata


def _read_key_count(head: "_Head") -> int:
    magic = head.take(min(4, max(1, head.remaining)))
    if magic in _OLDER_MAGICS:
        raise _invalid("it has a format older than GGUF")
    if magic == _MAGIC[::-1]:
        raise _invalid("its bytes are in big-endian order")
    if not _MAGIC.startswith(magic):
        raise _invalid("it is not a GGUF file")
    if len(magic) < len(_MAGIC):
        raise NeedMoreData
    version = head.read_number(_U32)
    if version in _SWAPPED_VERSIONS:
        raise _invalid("its bytes are in big-endian order")
    if version not in (2, 3):
        raise _invalid(f"version {version} of GGUF is not supported")
    head.read_number(_U64)
    count = head.read_number(_U64)
    if count > MAX_KEYS:
        raise _invalid(f"it has more than {MAX_KEYS:,} keys")
    return count


def _suffices(metadata: Mapping[str, object]) -> bool:
    # Ollama sorts the keys of the files that it writes: an architecture can come after "tokenizer".
    prefix = f"{metadata.get('general.architecture')}."
    return f"{prefix}block_count" in metadata and f"{prefix}attention.head_count" in metadata


def _invalid(cause: str) -> ValueError:
    return ValueError(f"The weights file cannot be read: {cause}. Pull the model again, or choose another one.")


class _Head:
    """A position in the bytes of a head."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0
        self._items_left = MAX_ITEMS
        self._text_left = MAX_KEPT_TEXT

    @property
    def remaining(self) -> int:
        return self._size - self._at

    def take(self, size: int) -> bytes:
        start = self._skip(size)
        return self._data[start : self._at]

    def read_number(self, number: struct.Struct) -> int:
        return number.unpack_from(self._data, self._skip(number.size))[0]

    def read_string(self, limit: int) -> str:
        size = self.read_number(_U64)
        if size > limit:
            raise _invalid(f"a text in it is longer than {limit:,} bytes")
        return self.take(size).decode(errors="replace")

    def read_value(self, kind: int) -> object:
        if kind == _STRING:
            return self._read_long_string()
        if kind == _ARRAY:
            return self._read_array()
        return self.read_number(_scalar(kind))

    def _skip(self, size: int) -> int:
        """Move on by a number of bytes; return where they begin."""
        start = self._at
        if size > self._size - start:
            raise NeedMoreData
        self._at = start + size
        return start

    def _read_long_string(self) -> object:
        size = self.read_number(_U64)
        if size > MAX_STRING_BYTES:
            raise _invalid(f"a text in it is longer than {MAX_STRING_BYTES:,} bytes")
        if size > min(MAX_KEPT_STRING_BYTES, self._text_left):
            self._skip(size)
            return _SKIPPED
        self._text_left -= size
        return self.take(size).decode(errors="replace")

    def _read_array(self) -> object:
        kind, count = self.read_number(_U32), self.read_number(_U64)
        if count > MAX_ARRAY_ITEMS:
            raise _invalid(f"an array in it has more than {MAX_ARRAY_ITEMS:,} items")
        if kind == _STRING:
            return self._read_strings(count)
        number = _scalar(kind)
        if count > min(MAX_KEPT_ITEMS, self._items_left):
            self._skip(number.size * count)
            return _SKIPPED
        self._items_left -= count
        return [item for (item,) in number.iter_unpack(self.take(number.size * count))]

    def _read_strings(self, count: int) -> object:
        if count > self._items_left:
            raise _invalid(f"its arrays have more than {MAX_ITEMS:,} items")
        self._items_left -= count
        is_kept = count <= MAX_KEPT_ITEMS
        texts = self._split_strings(count, MAX_KEPT_STRING_BYTES if is_kept else MAX_STRING_BYTES)
        return [text.decode(errors="replace") for text in texts] if is_kept else _SKIPPED

    def _split_strings(self, count: int, limit: int) -> list[bytes]:
        # In one loop: strings can be passed one by one only, and a hostile head of 1 MiB has thousands of them.
        data, size, at = self._data, self._size, self._at
        texts: list[bytes] = []
        for _ in range(count):
            start = at + _U64.size
            if start > size:
                raise NeedMoreData
            (length,) = _U64.unpack_from(data, at)
            if length > limit:
                raise _invalid(f"a text in it is longer than {limit:,} bytes")
            at = start + length
            if at > size:
                raise NeedMoreData
            texts.append(data[start:at])
        self._at = at
        return texts


def _scalar(kind: int) -> struct.Struct:
    if kind not in _SCALARS:
        raise _invalid("an array holds arrays" if kind == _ARRAY else f"a value has the unknown type {kind}")
    return _SCALARS[kind]
