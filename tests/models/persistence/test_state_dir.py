"""Where this program keeps what survives its process."""

import pwd
from pathlib import Path

import pytest

from mcp_ollama.models.persistence.state_dir import state_dir


@pytest.fixture(autouse=True)
def without_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


@pytest.mark.parametrize("setting", ["off", " OFF "])
def test_state_dir_off_is_none(setting: str) -> None:
    assert state_dir(setting) is None


@pytest.mark.parametrize("setting", [None, "", " "])
def test_state_dir_without_setting_is_of_this_program(
    setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = state_dir(setting)
    assert folder
    assert folder.is_relative_to(tmp_path)
    assert folder.name == "mcp-ollama-manager"
    assert not folder.exists()


def test_state_dir_with_path_is_absolute(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_dir("~/state") == home / "state"
    assert state_dir("state") == tmp_path / "state"


@pytest.mark.parametrize("setting", ["", "~/state"])
def test_state_dir_without_home_is_none_with_a_warning(
    setting: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert state_dir(setting) is None
    assert "Set MCP_OLLAMA_STATE_DIR to an absolute path." in caplog.text
