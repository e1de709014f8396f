"""Simulated Ollama server on a real socket."""

from mcp_ollama.simulator.balancer import serve_balancer
from mcp_ollama.simulator.demo import PULLABLE, demo_simulator
from mcp_ollama.simulator.faults import (
    Armed,
    Drop,
    Fail,
    FakeSuccess,
    Fault,
    HeadWindow,
    Rewind,
    Send,
    Silence,
    Stall,
    digest_mismatch,
    no_space,
    registry_error,
)
from mcp_ollama.simulator.hub import (
    BAD_GATEWAY,
    RATE_LIMITED,
    RATE_LIMITED_WITHOUT_TIME,
    SIGN_IN_PAGE,
    Hub,
    HubRepository,
)
from mcp_ollama.simulator.manifests import Layer, Manifest, Weights
from mcp_ollama.simulator.server import RunningSimulator, serve
from mcp_ollama.simulator.simulator import Simulator

__all__ = [
    "BAD_GATEWAY",
    "PULLABLE",
    "RATE_LIMITED",
    "RATE_LIMITED_WITHOUT_TIME",
    "SIGN_IN_PAGE",
    "Armed",
    "Drop",
    "Fail",
    "FakeSuccess",
    "Fault",
    "HeadWindow",
    "Hub",
    "HubRepository",
    "Layer",
    "Manifest",
    "Rewind",
    "RunningSimulator",
    "Send",
    "Silence",
    "Simulator",
    "Stall",
    "Weights",
    "demo_simulator",
    "digest_mismatch",
    "no_space",
    "registry_error",
    "serve",
    "serve_balancer",
]
