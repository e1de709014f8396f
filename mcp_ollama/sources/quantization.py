"""Quantizations: their labels in the names of weights files, and the bits they use per weight."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FileKind = Literal["model", "mmproj", "imatrix", "draft", "adapter", "other"]

BITS_PER_WEIGHT: Mapping[str, float] = {
    "F32": 32.0, "F16": 16.0, "BF16": 16.0,
    "Q8_K": 9.0, "Q8_0": 8.5, "Q6_K": 6.56,
    "Q5_1": 6.0, "Q5_K": 5.70, "Q5_K_M": 5.70, "Q5_K_S": 5.57, "Q5_0": 5.5,
    "Q4_1": 5.0, "Q4_K": 4.89, "Q4_K_M": 4.89, "IQ4_NL": 4.68, "Q4_K_S": 4.67,
    "Q4_0": 4.5, "NVFP4": 4.5, "IQ4_XS": 4.46, "MXFP4": 4.25,
    "Q3_K_L": 4.30, "Q3_K": 4.0, "Q3_K_M": 4.0, "IQ3_M": 3.76, "IQ3_S": 3.66, "Q3_K_S": 3.64,
    "IQ3_XS": 3.50, "IQ3_XXS": 3.25, "Q2_K": 3.16, "Q2_K_S": 2.97, "IQ2_M": 2.93, "IQ2_S": 2.74,
    "IQ2_XS": 2.59, "IQ2_XXS": 2.38, "Q2_0": 2.25, "IQ1_M": 2.15, "TQ2_0": 2.06, "IQ1_S": 2.00,
    "TQ1_0": 1.69, "Q1_0": 1.125,
}  # fmt: skip
"""Bits of a whole model (llama.cpp, tools/quantize/README for an 8B model; old and ternary ones: of a tensor)."""

OBSOLETE = frozenset({"Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8"})
"""Formats that no Ollama of today loads: llama.cpp b4282 removed them."""

_LABEL = re.compile(
    r"""(?<![^-._])                            # whole words only: "1_6b" and "promptq8_0" hold no label
    (UD-)?                                     # Unsloth Dynamic
    ( Q[1-8]_(?: 0(?:_4_4|_4_8|_8_8)? | 1 | K(?:_(?:XXL|XL|L|M|S|XS|XXS))? )
    | IQ[1-4]_(?: XXS | XS | S | M | NL | XL | L )
    | TQ[12]_0 | BF16 | F16 | F32 | MXFP4(?:_MOE)? | NVFP4 )
    (?![^-._])""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_SHARD = re.compile(r"-([0-9]{5})-of-([0-9]{5})$")
_RAW_PART = re.compile(r"\.part([0-9]{1,5})of([0-9]{1,5})$", re.IGNORECASE)
_GGUF = re.compile(r"\.gguf$", re.IGNORECASE)
_OTHER_WEIGHTS = re.compile(r"\.(?:safetensors|bin|dat|pth?)$", re.IGNORECASE)
_WORD_BREAK = re.compile(r"[-._]")
_DRAFTS = frozenset({"mtp", "eagle3", "dflash", "dspark"})


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a weights file's name.

    Attributes:
        kind: Content of the file; only a `model` without `part` can be pulled by its quantization.
        quantization: Label in upper case, such as `Q4_K_M` or `UD-Q4_K_XL`; None without one.
        part: Number and count of a split file, such as `(1, 3)`; None for a whole one.
    """

    kind: FileKind
    quantization: str | None
    part: tuple[int, int] | None


def parse_file_name(name: str) -> FileName:
    """Parse the path of a file in a repository of weights; never raises.

    The last label in the name counts, as in Hugging Face's own parser (huggingface.js, tasks/src/gguf.ts), which
    knows fewer labels; the name of the folder is used if that of the file has none.
    """
    folder, _, base = name.rpartition("/")
    base, raw_part = _split_part(base, _RAW_PART)
    is_gguf = _GGUF.search(base) is not None
    stem = _OTHER_WEIGHTS.sub("", _GGUF.sub("", base))
    stem, shard = _split_part(stem, _SHARD)
    label = _last_label(stem) or _last_label(folder.rpartition("/")[2])
    return FileName(_kind_of(stem.lower(), is_gguf=is_gguf), label, raw_part or shard)


def bits_per_weight(quantization: str) -> float | None:
    """Return the bits per weight of a quantization, None for an unknown label.

    A suffix without an entry (`Q4_K_XL`, `MXFP4_MOE`) counts as what it extends.
    """
    label = quantization.removeprefix("UD-")
    while label and label not in BITS_PER_WEIGHT:
        label = label.rpartition("_")[0]
    return BITS_PER_WEIGHT.get(label)


def _split_part(text: str, pattern: re.Pattern[str]) -> tuple[str, tuple[int, int] | None]:
    found = pattern.search(text)
    return (text[: found.start()], (int(found[1]), int(found[2]))) if found else (text, None)


def _last_label(text: str) -> str | None:
    labels = list(_LABEL.finditer(text))
    return labels[-1][0].upper() if labels else None


def _kind_of(stem: str, *, is_gguf: bool) -> FileKind:
    words = _WORD_BREAK.split(stem)
    if "mmproj" in words:
        return "mmproj"
    if "imatrix" in (words[0], words[-1]):
        return "imatrix"
    if not is_gguf or "vocab" in words:
        return "other"
    if words[0] in _DRAFTS:
        return "draft"
    return "adapter" if "lora" in words else "model"
