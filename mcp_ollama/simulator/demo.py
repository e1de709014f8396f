"""Simulated server with realistic models for `--demo`; it never uses the network."""

from collections.abc import Iterator, Mapping

from mcp_ollama.simulator.hub import HubRepository
from mcp_ollama.simulator.manifests import Tensor
from mcp_ollama.simulator.recipes import Recipe
from mcp_ollama.simulator.shapes import SHAPES
from mcp_ollama.simulator.simulator import Simulator

_HOUR = 3600.0
_RATE = 200_000_000
_BLOCK: Mapping[str, tuple[str, tuple[int, int]]] = {
    "attn_k": ("Q4_K", (8, 2)),
    "attn_norm": ("F32", (8, 0)),
    "attn_output": ("Q4_K", (8, 8)),
    "attn_q": ("Q4_K", (8, 8)),
    "attn_v": ("Q6_K", (8, 2)),
    "ffn_down": ("Q6_K", (21, 8)),
    "ffn_gate": ("Q4_K", (8, 21)),
    "ffn_norm": ("F32", (8, 0)),
    "ffn_up": ("Q4_K", (8, 21)),
}
"""The tensors of a block: type, and shape in eighths of the embedding length."""

_LLAMA_TEMPLATE = """<|start_header_id|>system<|end_header_id|>

Cutting Knowledge Date: December 2023

{{ if .System }}{{ .System }}{{- end }}{{- if .Tools }}When you receive a tool call response, use the output to \
format an answer to the original user question.{{- end }}<|eot_id|>
{{- range $i, $_ := .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>{{- end }}<|start_header_id|>assistant<|end_header_id|>

"""
_APACHE = "Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n"

_CHAT = ("completion", "tools")
_REASONING = ("completion", "tools", "thinking")
_EMBEDDING = ("embedding",)
_WEIGHTS: Mapping[str, tuple[int, str, str, str, int, int, tuple[str, ...]]] = {
    "llama3.2:3b": (2_019_377_376, "llama", "3.2B", "Q4_K_M", 131_072, 3072, _CHAT),
    "qwen3:8b": (5_225_374_368, "qwen3", "8.2B", "Q4_K_M", 40_960, 4096, _REASONING),
    "gemma3:4b": (3_338_792_448, "gemma3", "4.3B", "Q4_K_M", 131_072, 2560, ("completion", "vision")),
    "nomic-embed-text:latest": (274_290_656, "nomic-bert", "137M", "F16", 2048, 768, _EMBEDDING),
    "gpt-oss:120b-cloud": (0, "gptoss", "116.8B", "MXFP4", 131_072, 2880, _REASONING),
    "llama3.2:1b": (1_321_082_688, "llama", "1.2B", "Q8_0", 131_072, 2048, _CHAT),
    "smollm2:135m": (270_885_504, "llama", "134.52M", "F16", 8192, 576, _CHAT),
    "qwen3:0.6b": (522_640_096, "qwen3", "751.63M", "Q4_K_M", 40_960, 1024, _REASONING),
    "all-minilm:latest": (45_949_216, "bert", "23M", "F16", 512, 384, _EMBEDDING),
}
"""Size, family, parameters, quantization, context and embedding length, and capabilities."""

_TEXTS: Mapping[str, Recipe] = {
    "llama3.2:3b": {
        "template": _LLAMA_TEMPLATE,
        "parameters": {"stop": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]},
    },
    "qwen3:8b": {
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
        "license": _APACHE,
        "parameters": {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    },
    "gemma3:4b": {
        "template": "<start_of_turn>user\n{{ .Prompt }}<end_of_turn>\n<start_of_turn>model\n",
        "parameters": {"temperature": 1, "top_k": 64},
    },
    "nomic-embed-text:latest": {"license": _APACHE},
    "gpt-oss:120b-cloud": {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"},
    "llama3.2:1b": {"template": _LLAMA_TEMPLATE},
    "smollm2:135m": {"license": _APACHE},
}
_INSTALLED: Mapping[str, float] = {
    "llama3.2:3b": 2,
    "qwen3:8b": 30,
    "gemma3:4b": 200,
    "nomic-embed-text:latest": 900,
    "gpt-oss:120b-cloud": 5,
}
"""Hours since installation; the other models can be pulled."""

PULLABLE = tuple(name for name in _WEIGHTS if name not in _INSTALLED)
"""The models that can be pulled in the demo, and are not installed."""

_RECOMMENDED = (
    ("llama3.2:1b", "Small and quick, for machines with little memory", 131_072, 1_800_000_000),
    ("qwen3:8b", "Reasons and calls tools", 40_960, 7_500_000_000),
    ("gemma3:4b", "Understands pictures", 131_072, 5_000_000_000),
)

_REPOSITORIES = (
    HubRepository(
        id="unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
        quantizations={"Q8_0": 32_483_935_392, "Q4_K_M": 18_556_689_568, "Q2_K": 11_258_610_848},
        split={"BF16": (49_900_000_000, 11_200_000_000)},
        base_model="Qwen/Qwen3-Coder-30B-A3B-Instruct",
        downloads=11_047_071,
        parameter_count=30_532_122_624,
        context_length=262_144,
    ),
    HubRepository(
        id="bartowski/Qwen2.5-Coder-7B-Instruct-GGUF",
        quantizations={"Q8_0": 8_098_525_888, "Q6_K": 6_254_199_488, "Q4_K_M": 4_683_073_984, "Q2_K": 3_015_940_032},
        base_model="Qwen/Qwen2.5-Coder-7B-Instruct",
        downloads=256_578,
        parameter_count=7_615_616_512,
    ),
    HubRepository(
        id="ggml-org/gemma-3-4b-it-GGUF",
        quantizations={"Q8_0": 4_130_226_336, "Q4_K_M": 2_489_757_856},
        files={"mmproj-model-f16.gguf": 851_251_104},
        base_model="google/gemma-3-4b-it",
        license="gemma",
        downloads=186_325,
        parameter_count=3_880_099_328,
        context_length=131_072,
    ),
)
"""What a search finds on Hugging Face."""


def demo_simulator() -> Simulator:
    """Build a server with half a dozen models, and a few more that can be pulled in seconds."""
    simulator = Simulator(rate=_RATE, pause=0.3)
    long: Recipe = {"tensors": list(_tensors(28, 3072)), "license": _long_license()}
    for name in _WEIGHTS:
        recipe = _recipe(name)
        if name == "llama3.2:3b":
            recipe |= long
        simulator.registry.publish(name, **recipe)
        if name in _INSTALLED:
            simulator.install(name, modified_at=simulator.now() - _INSTALLED[name] * _HOUR, **recipe)
    simulator.copy("llama3.2:3b", "assistant", modified_at=simulator.now() - _HOUR)
    for repository in _REPOSITORIES:
        simulator.registry.publish_repository(repository)
    # An update of a few bytes, with the same weights.
    update: Recipe = {**_recipe("gemma3:4b"), "system": "You are a helpful assistant."}
    simulator.registry.publish("gemma3:4b", **update)
    simulator.runners.load_seconds = 1.0
    fields = ("model", "description", "context_length", "vram_bytes")
    simulator.recommendations = [dict(zip(fields, row, strict=True)) for row in _RECOMMENDED]
    return simulator


def _recipe(name: str) -> Recipe:
    size, family, parameters, quantization, context, embedding, capabilities = _WEIGHTS[name]
    return {
        "size_bytes": size,
        "family": family,
        "parameter_size": parameters,
        "quantization": quantization,
        "context_length": context,
        "embedding_length": embedding,
        "capabilities": capabilities,
        "shape": SHAPES.get(name, {}),
        **_TEXTS.get(name, {}),
    }


def _tensors(blocks: int, width: int) -> Iterator[Tensor]:
    yield "rope_freqs.weight", "F32", (64,)
    yield "token_embd.weight", "Q6_K", (width, 128_256)
    for block in range(blocks):
        for name, (kind, eighths) in _BLOCK.items():
            yield f"blk.{block}.{name}.weight", kind, tuple(part * width // 8 for part in eighths if part)
    yield "output_norm.weight", "F32", (width,)


def _long_license() -> str:
    """Build a text as long as Llama's licence and policy: half of a `/api/show` answer."""
    clause = (
        "The licensee may use, reproduce and distribute the materials under the terms of this agreement, "
        "provided that a copy of it goes with them, that the notice of attribution is kept, and that their "
        "use complies with applicable laws and with the acceptable use policy."
    )
    clauses = "\n\n".join(f"{number}. {clause}" for number in range(1, 151))
    return f"LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n(abridged stand-in of the demo)\n\n{clauses}\n"
