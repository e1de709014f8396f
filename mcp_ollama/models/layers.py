"""Layers of a model with what each keeps in memory, read from the metadata of its weights file.

The rules are those of llama.cpp, which runs every GGUF model of Ollama since 0.30; each names the source that it was
read in (`l:` is llama.cpp, `o:` is Ollama).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

MAX_BLOCKS = 512
"""llama.cpp loads no more (l:src/llama-hparams.h); a damaged file may state any number."""
_MAX_VALUE = 2**40
"""No length or count of a model comes near it; keeps products of damaged files small."""


class UnknownArchitecture(ValueError):  # noqa: N818 - reads as what it is: `except UnknownArchitecture`
    """The metadata do not suffice for an estimate of anything but the weights."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"Only the weights can be estimated: {cause}.")


@dataclass(frozen=True, slots=True)
class Layer:
    """Values that one layer keeps per cell of the KV cache and per slot.

    Attributes:
        key_row: Values of a key, over all KV heads; 0 without a cache of its own.
        value_row: Values of a value, over all KV heads.
        slides: Only a window of the context is kept.
        state: Values of the recurrent state, 4 bytes each.
    """

    key_row: int
    value_row: int
    slides: bool
    state: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a model that its memory follows from.

    Attributes:
        layers: The layers of the trunk; those that predict further tokens are left out.
        window: Tokens that sliding layers keep; 0 without such layers.
        context_length: The trained context in tokens; None when it is not stated.
        heads: Attention heads of the layer that has most.
        embedding_length: Width of the model.
        inner_length: Width of the widest intermediate result of a layer.
        is_embedding: An embedding model, whose context is one micro-batch.
        predicts_tokens: It has layers that predict further tokens (MTP).
        host_bytes: The most that stays in host memory: the token embedding and the per-layer embeddings.
    """

    layers: tuple[Layer, ...]
    window: int
    context_length: int | None
    heads: int
    embedding_length: int
    inner_length: int
    is_embedding: bool
    predicts_tokens: bool
    host_bytes: int


@dataclass(frozen=True, slots=True)
class _Sliding:
    """Which layers slide where the file does not say: all but the last of each `period`, over `window` tokens."""

    period: int
    window: int = 0
    is_fixed: bool = False


_SLIDING: Mapping[str, _Sliding] = MappingProxyType(
    {
        "gemma2": _Sliding(2, 4096),  # l:src/models/gemma2.cpp
        "gemma3": _Sliding(6),  # l:src/models/gemma3.cpp: without a window none slides
        "gemma3n": _Sliding(5, 512),  # l:src/models/gemma3n.cpp
        "gemma4": _Sliding(6),  # l:src/models/gemma4.cpp: 5 for e2b, which its array says
        "gpt-oss": _Sliding(2, 128),  # l:src/models/openai-moe.cpp
        "gptoss": _Sliding(2, 128),  # o:llama/compat: Ollama's own name for it
        "llama4": _Sliding(4, 8192, is_fixed=True),  # l:src/models/llama4.cpp: chunks of 8192, whatever the key says
        "cohere2": _Sliding(4, 4096),  # l:src/models/cohere2.cpp
        "exaone4": _Sliding(4, 4096),  # l:src/models/exaone4.cpp
        "olmo2": _Sliding(4),  # l:src/models/olmo2.cpp
        "olmo3": _Sliding(4),  # l:src/models/olmo2.cpp
        "afmoe": _Sliding(4),  # l:src/models/afmoe.cpp
        "mellum": _Sliding(4),  # l:src/models/mellum.cpp
        "plamo3": _Sliding(4),  # l:src/models/plamo3.cpp
        "phi3": _Sliding(0),  # l:src/models/phi3.cpp:13-23: the key is there, and disabled
    }
)
_RECURRENT: Mapping[str, Literal["no heads", "no heads, no ffn", "interval", "all"]] = MappingProxyType(
    {  # l:src/llama-hparams.cpp:208-265
        "jamba": "no heads",
        "granitehybrid": "no heads",
        "lfm2": "no heads",
        "lfm2moe": "no heads",
        "plamo2": "no heads",
        "nemotron_h": "no heads, no ffn",
        "nemotron_h_moe": "no heads, no ffn",
        "qwen3next": "interval",
        "qwen35": "interval",
        "qwen35moe": "interval",
        "falcon-h1": "all",
    }
)
_DEFAULT_INTERVAL = 4
_GEMMA3N_CACHES = 20
"""l:src/models/gemma3n.cpp:7: fixed there, whatever `attention.shared_kv_layers` says."""
_DEEPSTACK_FACTOR = 10
"""Widths more that a vision model with deepstack layers takes per token; fitted to qwen3-vl."""
_WITHOUT_CACHE = frozenset(  # l:src/llama-model.cpp:2358
    {
        "bert",
        "nomic-bert",
        "nomic-bert-moe",
        "jina-bert-v2",
        "jina-bert-v3",
        "neo-bert",
        "modern-bert",
        "eurobert",
        "gemma-embedding",
        "dream",
        "llada",
        "llada-moe",
        "rnd1",
    }
)
_BYTES_PER_HOST_VALUE: Mapping[int | None, tuple[int, int]] = MappingProxyType({0: (4, 1), 1: (2, 1), 32: (2, 1)})
"""By `general.file_type`: F32, F16, BF16; any other file quantizes its embeddings to Q8_0 at most."""
_UNMODELLED = frozenset({"deepseek32", "deepseek4", "glm-dsa", "kimi-linear", "minimax-01"})
"""Architectures with caches of a further kind."""
_UNMODELLED_KEYS = ("ssm.", "wkv.", "shortconv.", "attention.indexer.")
"""Their presence means a state or a cache that only a rule above describes."""


def read_shape(metadata: Mapping[str, object]) -> Shape:
    """Read the shape of a model from GGUF metadata, or from the `model_info` of a verbose `/api/show`.

    Raises:
        UnknownArchitecture: A key is missing, null or nonsense, or no rule covers the architecture.
    """
    keys = _Keys(metadata)
    blocks = keys.count("block_count", at_most=MAX_BLOCKS)
    trunk = blocks - keys.count("nextn_predict_layers", 0, at_most=blocks - 1)  # l:src/llama-model.cpp:2802
    embedding = keys.count("embedding_length")
    heads = keys.per_layer("attention.head_count", blocks)
    if not embedding or not any(heads):
        raise UnknownArchitecture("its head count or embedding length is zero")
    is_embedding = keys.has("pooling_type") or keys.architecture in _WITHOUT_CACHE
    window, slides = _read_window(keys, blocks)
    return Shape(
        layers=tuple(_read_layers(keys, heads, slides)[:trunk]),
        window=window,
        context_length=keys.count("context_length", 0) or None,
        heads=max(heads),
        embedding_length=embedding,
        inner_length=_read_inner_length(keys, blocks, embedding, max(heads)),
        is_embedding=is_embedding,
        predicts_tokens=trunk < blocks,
        host_bytes=_read_host_bytes(keys, blocks, metadata.get("general.file_type")),
    )


class _Keys:
    """The keys of one architecture, checked."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise UnknownArchitecture("the file does not state its architecture")
        self.architecture = architecture
        self._metadata = metadata
        self._check_rules()

    def _check_rules(self) -> None:
        prefixes = tuple(f"{self.architecture}.{key}" for key in _UNMODELLED_KEYS)
        has_state = self.architecture not in _RECURRENT and any(key.startswith(prefixes) for key in self._metadata)
        if has_state or self.architecture in _UNMODELLED:
            raise UnknownArchitecture(f"no rule covers the architecture {self.architecture[:40]!r}")

    def get(self, key: str) -> object:
        return self._metadata.get(f"{self.architecture}.{key}")

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._metadata

    def count(self, key: str, default: int | None = None, *, at_most: int = _MAX_VALUE) -> int:
        """Read a whole number that is not negative."""
        if not self.has(key) and default is not None:
            return default
        return self._check(key, self.get(key), at_most)

    def per_layer(self, key: str, blocks: int, default: Sequence[int] | None = None) -> list[int]:
        """Read one number for all layers, or an array with one for each."""
        if not self.has(key) and default is not None:
            return list(default)
        value = self.get(key)
        if not isinstance(value, list):
            return [self._check(key, value)] * blocks
        items = cast("list[object]", value)
        if len(items) < blocks:
            raise UnknownArchitecture(f"{key!r} has fewer items than the model has layers")
        return [self._check(key, item) for item in items[:blocks]]

    def flags(self, key: str, blocks: int) -> list[bool] | None:
        """Read an array of one boolean per layer; None when the key holds no array."""
        value = self.get(key)
        if self.has(key) and value is None:
            raise UnknownArchitecture(f"{key!r} is null")
        return [item > 0 for item in self.per_layer(key, blocks)] if isinstance(value, list) else None

    def _check(self, key: str, value: object, at_most: int = _MAX_VALUE) -> int:
        if not isinstance(value, int | float) or not 0 <= value <= at_most:
            cause = "is missing or null" if value is None else "is not a valid number"
            raise UnknownArchitecture(f"{key!r} {cause}")
        return int(value)


def _read_layers(keys: _Keys, heads: Sequence[int], slides: Sequence[bool]) -> list[Layer]:
    blocks = len(heads)
    kv_heads = keys.per_layer("attention.head_count_kv", blocks, heads)
    states = _read_states(keys, kv_heads)
    rows = {slide: _read_lengths(keys, max(heads), sliding=slide) for slide in set(slides)}
    has_cache = _read_cache_owners(keys, kv_heads, states)
    return [
        Layer(
            key_row=kv_heads[il] * rows[slides[il]][0] if has_cache[il] else 0,
            value_row=kv_heads[il] * rows[slides[il]][1] if has_cache[il] else 0,
            slides=slides[il],
            state=states[il],
        )
        for il in range(blocks)
    ]


def _read_lengths(keys: _Keys, heads: int, *, sliding: bool) -> tuple[int, int]:
    """Return the values of one head's key and value in the cache."""
    default, remainder = divmod(keys.count("embedding_length"), heads)  # l:src/llama-model.cpp:1439-1442
    if remainder and not (keys.has("attention.key_length") and keys.has("attention.value_length")):
        raise UnknownArchitecture("its embedding length is not a multiple of its head count")
    key, value = (keys.count(f"attention.{part}_length", default) for part in ("key", "value"))
    if sliding:
        key, value = keys.count("attention.key_length_swa", key), keys.count("attention.value_length_swa", value)
    return key, 0 if _is_latent(keys) else value


def _is_latent(keys: _Keys) -> bool:
    """Find out whether keys and values share one compressed row (MLA), l:src/llama-kv-cache.cpp:231."""
    return keys.count("attention.key_length_mla", 0) > 0 and keys.count("attention.value_length_mla", 0) > 0


def _read_cache_owners(keys: _Keys, kv_heads: Sequence[int], states: Sequence[int]) -> list[bool]:
    blocks = len(kv_heads)
    owners = blocks
    # Ollama's older files of embeddinggemma are named gemma3 (o:llama/compat); only pooling shows what they are.
    if keys.architecture in _WITHOUT_CACHE or (keys.architecture == "gemma3" and keys.has("pooling_type")):
        owners = 0
    elif keys.architecture == "gemma3n":
        owners = _GEMMA3N_CACHES
    else:
        owners -= keys.count("attention.shared_kv_layers", 0, at_most=blocks)
    has_both = _RECURRENT.get(keys.architecture) == "all"
    return [il < owners and (has_both or not states[il]) for il in range(blocks)]


def _read_states(keys: _Keys, kv_heads: Sequence[int]) -> list[int]:
    blocks = len(kv_heads)
    rule = _RECURRENT.get(keys.architecture)
    if rule is None:
        return [0] * blocks
    state = _read_state(keys)
    if rule == "all":
        return [state] * blocks
    recurrent = [count == 0 for count in kv_heads]
    if rule == "interval":
        interval = max(1, keys.count("full_attention_interval", _DEFAULT_INTERVAL))
        stated = keys.flags("attention.recurrent_layers", blocks)
        recurrent = stated or [(il + 1) % interval != 0 for il in range(blocks)]
    elif rule == "no heads, no ffn":
        ffn = keys.per_layer("feed_forward_length", blocks)
        recurrent = [recurrent[il] and ffn[il] == 0 for il in range(blocks)]
    return [state * is_recurrent for is_recurrent in recurrent]


def _read_state(keys: _Keys) -> int:
    """Return the values of a recurrent layer's state, l:src/llama-hparams.cpp:208-265."""
    if keys.has("shortconv.l_cache"):
        return keys.count("embedding_length") * max(0, keys.count("shortconv.l_cache") - 1)
    kernel, inner, size = (keys.count(f"ssm.{part}") for part in ("conv_kernel", "inner_size", "state_size"))
    return max(0, kernel - 1) * (inner + 2 * keys.count("ssm.group_count", 0) * size) + size * inner


def _read_window(keys: _Keys, blocks: int) -> tuple[int, list[bool]]:
    """Return the window, and for each layer whether it slides."""
    rule = _SLIDING.get(keys.architecture, _Sliding(0))
    window = keys.count("attention.sliding_window", rule.window)
    if rule.is_fixed and window:
        window = rule.window
    slides = keys.flags("attention.sliding_window_pattern", blocks)
    if keys.architecture == "phi3" or not window:
        slides = [False] * blocks
    elif slides is None:
        period = keys.count("attention.sliding_window_pattern", rule.period)
        slides = [period > 0 and il % period < period - 1 for il in range(blocks)]  # l:src/llama-model.cpp:3434
    return window if any(slides) else 0, slides


def _read_inner_length(keys: _Keys, blocks: int, embedding: int, heads: int) -> int:
    """Return the values per token of a layer's widest intermediate result; fitted, see docs/memory.md."""
    if _is_latent(keys):
        return 2 * heads * keys.count("attention.key_length")
    ffn = max(keys.per_layer("feed_forward_length", blocks, [0]))
    used = keys.count("expert_used_count", 0)
    inner = used * (2 * keys.count("expert_feed_forward_length", ffn) + embedding) if used else 2 * ffn
    return inner + _DEEPSTACK_FACTOR * embedding * keys.has("n_deepstack_layers")


def _read_host_bytes(keys: _Keys, blocks: int, file_type: object) -> int:
    # The size of the vocabulary can stand behind the tokenizer, where no head reaches: then nothing is known to stay.
    width = keys.count("embedding_length") + keys.count("embedding_length_per_layer_input", 0) * blocks
    # A damaged file may state anything, also what no mapping can look up.
    size, per = _BYTES_PER_HOST_VALUE.get(file_type if isinstance(file_type, int) else None, (34, 32))
    return keys.count("vocab_size", 0) * width * size // per
