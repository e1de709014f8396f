"""The arithmetic of a transfer: bytes over all layers, rate, time left, and its progress line."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile

from mcp_ollama.models.formatting import format_bytes, format_duration
from mcp_ollama.ollama.sanitizing import truncate
from mcp_ollama.ollama.schemas import Manifest, Progress

MOST_LAYERS = 2_000
"""Layers reported by lines; real models have a dozen, safetensors models one line for all."""
ALL_TENSORS = "sha256:model"
"""The digest that Ollama makes up for all tensors of a safetensors model together."""

_PHASES = {
    "pulling manifest": "manifest",
    "retrieving manifest": "manifest",
    "verifying": "verifying",
    "writing manifest": "writing",
    "pushing manifest": "writing",
    "removing": "writing",
    "couldn't remove": "writing",
    "success": "done",
}
_SMOOTHING_SECONDS = 4.0
_SAMPLE_SECONDS = 0.2
_WEEK_SECONDS = 7 * 86_400


def phase_of(progress: Progress) -> str:
    """Return the phase of a line: `manifest`, `layer`, `verifying`, `writing` or `done`."""
    if progress.digest:
        return "layer"
    return next((phase for start, phase in _PHASES.items() if progress.status.startswith(start)), "layer")


@dataclass(slots=True)
class _Layer:
    total: int
    completed: int = 0


class Meter:
    """The bytes and the rate of one transfer; times are seconds of a monotonic clock.

    Ollama reports one layer at a time, in the manifest's order: once it reports a layer, all before it are
    complete, even if their last line was short of that or never came.
    """

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self._known = False
        self._complete = False
        self._expected = 0
        self._rate: float | None = None
        self._sample: tuple[str, float, int] | None = None

    @property
    def completed_bytes(self) -> int:
        """Completed bytes of all layers reported or planned so far."""
        return sum(layer.completed for layer in self._layers.values())

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all layers; of those seen so far while the whole is not known; None before the first."""
        return max(self._expected, sum(layer.total for layer in self._layers.values())) or None

    @property
    def percent(self) -> float | None:
        """0-100, rounded down to a tenth; None while the whole is not known."""
        if not self._known or not (total := self.total_bytes):
            return None
        return math.floor(1000 * self.completed_bytes / total) / 10

    @property
    def bytes_per_second(self) -> int | None:
        """The smoothed rate of new bytes; None before there is one."""
        return None if self._rate is None else round(self._rate)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at the present rate; None when it cannot be estimated, as when almost nothing comes."""
        if not self._known or not self._rate or not (total := self.total_bytes):
            return None
        left = (total - self.completed_bytes) / self._rate
        return round(left, 1) if left < _WEEK_SECONDS else None

    def set_manifest(self, manifest: Manifest, present: Collection[str]) -> None:
        """Set all layers from the registry's manifest, and which of them the server has already."""
        seen = self._layers
        self._layers = {digest: _Layer(layer.size) for digest, layer in manifest.blobs.items()}
        for digest, layer in self._layers.items():
            known = layer.total if digest in present else seen[digest].completed if digest in seen else 0
            layer.completed = min(known, layer.total)
        if ALL_TENSORS in seen:
            self._layers = seen
        elif reported := [digest for digest in seen if digest in self._layers]:
            self._finish_before(reported[-1])
        self._known = True
        if self._complete:
            self._finish()

    def set_total(self, total_bytes: int) -> None:
        """Set the size of the whole where there is no manifest."""
        self._expected, self._known = total_bytes, total_bytes > 0

    def finalize(self, total_bytes: int) -> None:
        """Set the true size at the end: layers that finished without a line were not counted."""
        unlisted = total_bytes - (self.total_bytes or 0)
        if unlisted > 0:
            self._layers["unlisted"] = _Layer(unlisted)
        self._finish()

    def update(self, progress: Progress, now: float) -> str:
        """Count one line, and return its phase."""
        phase = phase_of(progress)
        match phase:
            case "layer" if progress.digest:
                self._update_layer(progress, now)
            case "verifying" | "writing" | "done":
                self._finish()
            case _:
                self._sample = None
        return phase

    def _update_layer(self, progress: Progress, now: float) -> None:
        digest = progress.digest
        if digest not in self._layers and len(self._layers) >= MOST_LAYERS:
            return
        self._complete = False
        if digest == ALL_TENSORS and digest not in self._layers:
            # One line reports all layers together.
            self._layers = {digest: _Layer(sum(layer.total for layer in self._layers.values()))}
            self._known = True
        layer = self._layers.setdefault(digest, _Layer(progress.total))
        total = max(progress.total, 0) or layer.total
        before = 0
        if digest == ALL_TENSORS:
            # After a reconnect it may report only the tensors that were still missing then.
            before = max(0, layer.total - total)
        layer.total = before + total
        layer.completed = before + max(0, min(progress.completed, total))
        self._finish_before(digest)
        self._measure(digest, layer.completed, now)

    def _finish_before(self, digest: str) -> None:
        for _, layer in takewhile(lambda entry: entry[0] != digest, self._layers.items()):
            layer.completed = layer.total

    def _finish(self) -> None:
        for layer in self._layers.values():
            layer.completed = layer.total
        # An expected layer that was never reported was not a layer of its own.
        self._known, self._complete, self._expected = True, True, 0
        self._rate, self._sample = None, None

    def _measure(self, digest: str, completed: int, now: float) -> None:
        # The first line of a layer may include bytes that were there before: it is only the start.
        if self._sample is None or self._sample[0] != digest or completed < self._sample[2]:
            self._sample = (digest, now, completed)
            return
        _, then, before = self._sample
        if (elapsed := now - then) >= _SAMPLE_SECONDS:
            rate = (completed - before) / elapsed
            weight = 1 - math.exp(-elapsed / _SMOOTHING_SECONDS)
            self._rate = rate if self._rate is None else self._rate + weight * (rate - self._rate)
            self._sample = (digest, now, completed)


def describe(name: str, state: str, meter: Meter) -> str:
    """Format the state of a transfer in one line of at most 120 characters."""
    name = truncate(name, 50)
    total, done = meter.total_bytes, meter.completed_bytes
    if state not in ("downloading", "uploading") or not total:
        return f"{name} {state}"
    whole = format_bytes(done)
    if meter.percent is not None:
        whole = f"{_without_unit_of(total, whole)} of {format_bytes(total)}"
    rate = f", {format_bytes(meter.bytes_per_second)}/s" if meter.bytes_per_second else ""
    left = f", {format_duration(meter.eta_seconds)} left" if meter.eta_seconds is not None else ""
    return f"{name} {whole}{rate}{left}"


def _without_unit_of(total: int, text: str) -> str:
    number, _, unit = text.partition(" ")
    return number if format_bytes(total).endswith(f" {unit}") else text
