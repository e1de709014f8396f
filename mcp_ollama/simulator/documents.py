"""JSON documents that describe the models of the server."""

import json
from collections.abc import Iterator, Mapping, Sequence
from secrets import SystemRandom
from typing import Any, cast

from mcp_ollama.simulator.library import MODELS_PATH, Installed, Library
from mcp_ollama.simulator.manifests import Manifest, Weights
from mcp_ollama.simulator.wire import encode, in_go, timestamp

_FROM_CHAT_TEMPLATE = frozenset({"tools", "thinking"})
_STUB_FIELDS = ("remote_model", "remote_host")
_DEFAULT_TEMPLATE = "{{ .Prompt }}"


def newest_first(library: Library) -> list[Installed]:
    """Return the models, newest first by whole seconds; ties in random order."""
    models = list(library.models.values())
    SystemRandom().shuffle(models)
    return sorted(models, key=lambda model: int(model.modified_at), reverse=True)


def tags(library: Library) -> bytes:
    """Build the answer of `/api/tags`; as in Ollama, an entry is cached until its model changes."""
    models = newest_first(library)
    fresh = {model: library.entries.get(model) or encode(_tag(model)) for model in models}
    library.entries = fresh
    return b'{"models":[' + b",".join(fresh.values()) + b"]}"


def _tag(model: Installed) -> dict[str, Any]:
    settings, weights = model.manifest.settings, _weights(model.manifest)
    lengths = {key: _length(settings, weights, key) for key in ("context_length", "embedding_length")}
    entry = {
        "name": model.name.short,
        "model": model.name.short,
        **{key: settings[key] for key in _STUB_FIELDS if settings.get(key)},
        "modified_at": timestamp(model.modified_at),
        "size": model.manifest.size,
        "digest": model.manifest.digest,
        "details": details(model.manifest) | {key: length for key, length in lengths.items() if length},
    }
    listed = _listed_capabilities(model.manifest)
    return {**entry, "capabilities": listed} if listed else entry


def _listed_capabilities(manifest: Manifest) -> list[str]:
    shown = capabilities(manifest)
    if manifest.settings.get("unlisted_capabilities"):
        return []
    if _weights(manifest) is None or manifest.text("template"):
        return shown
    return [capability for capability in shown if capability not in _FROM_CHAT_TEMPLATE]


def _length(settings: Mapping[str, Any], weights: Weights | None, key: str) -> int:
    return getattr(weights, key) if weights else settings.get(key, 0)


def _weights(manifest: Manifest) -> Weights | None:
    return manifest.model.weights if manifest.model else None


def capabilities(manifest: Manifest) -> list[str]:
    """Return the capabilities as `/api/show` lists them."""
    weights = _weights(manifest)
    return list(weights.capabilities if weights else manifest.settings.get("capabilities", ()))


def details(manifest: Manifest) -> dict[str, Any]:
    """The `details` of a model, as show and ps have them."""
    settings = manifest.settings
    return {
        "parent_model": manifest.model.parent if manifest.model else "",
        "format": settings.get("model_format", ""),
        "family": settings.get("model_family", ""),
        "families": settings.get("model_families"),
        "parameter_size": settings.get("model_type", ""),
        "quantization_level": settings.get("file_type", ""),
    }


def show(model: Installed, *, verbose: bool) -> dict[str, Any]:
    """The answer of `/api/show`; what is empty is left out, as Ollama does."""
    manifest, weights = model.manifest, _weights(model.manifest)
    settings = manifest.settings
    optional = {
        "license": manifest.text("license"),
        "modelfile": modelfile(model),
        "parameters": "\n".join(_parameter_lines(manifest)),
        "template": manifest.text("template") or (weights.chat_template if weights else ""),
        "system": manifest.text("system"),
        "details": details(manifest),
        "messages": json.loads(manifest.text("messages") or "[]"),
        **{key: settings.get(key, "") for key in _STUB_FIELDS},
        "model_info": _model_info(weights, settings, verbose=verbose),
        "tensors": [_tensor(*tensor) for tensor in weights.tensors] if weights else [],
        "capabilities": capabilities(manifest),
        "modified_at": timestamp(model.modified_at),
        "requires": settings.get("requires", ""),
    }
    return {key: value for key, value in optional.items() if value or key in ("details", "model_info")}


def _tensor(name: str, kind: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "type": kind, "shape": list(shape)}


def _model_info(weights: Weights | None, settings: Mapping[str, Any], *, verbose: bool) -> dict[str, Any]:
    if weights is None:
        family = settings.get("model_family", "")
        lengths = {f"{family}.{key}": settings.get(key) for key in ("context_length", "embedding_length")}
        return {"general.architecture": family, **lengths}
    # The real server leaves long arrays out unless asked, and writes null for them.
    hidden = {key: None for key, value in weights.info.items() if isinstance(value, list) and not verbose}
    return {**weights.info, **hidden}


def _parameter_lines(manifest: Manifest) -> Iterator[str]:
    for key, value in manifest.parameters.items():
        for item in _listed(value):
            yield f"{key:<30} {json.dumps(item) if isinstance(item, str) else in_go(item)}"


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def modelfile(model: Installed) -> str:
    """Build the Modelfile that recreates the model."""
    manifest, short = model.manifest, model.name.short
    origin = f"{MODELS_PATH}/blobs/{manifest.model.digest.replace(':', '-')}" if manifest.model else short
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {short}\n",
        f"FROM {origin}",
        f"TEMPLATE {_quoted(manifest.text('template') or _DEFAULT_TEMPLATE)}",
        *_instructions(manifest),
    ]
    return "\n".join(lines) + "\n"


def _instructions(manifest: Manifest) -> Iterator[str]:
    if system := manifest.text("system"):
        yield f"SYSTEM {_quoted(system)}"
    for key, value in manifest.parameters.items():
        for item in _listed(value):
            yield f"PARAMETER {key} {_quoted(in_go(item))}"
    if license_text := manifest.text("license"):
        yield f"LICENSE {_quoted(license_text)}"
    for message in json.loads(manifest.text("messages") or "[]"):
        yield f"MESSAGE {message['role']} {_quoted(message['content'])}"


def _quoted(text: str) -> str:
    if "\n" not in text and text == text.strip(" "):
        return text
    return f'"""{text}"""' if '"' in text else f'"{text}"'
