"""An operator's choices, and the messages for invalid ones."""

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from mcp_ollama import OllamaSettings
from mcp_ollama.settings import unknown_variables

SECRET = "sk-distinctive"
DEFAULTS: dict[str, Any] = {
    "base_url": "http://127.0.0.1:11434",
    "api_key": None,
    "headers": {},
    "model_name": "llama3.2",
    "timeout": 30,
    "pull_wait": 45,
    "stall_seconds": 60,
    "access": "full",
    "confirm_delete": True,
    "allow_push": False,
    "registries": (),
    "outage_seconds": 900,
    "state_dir": None,
    "resume": False,
    "memory": None,
    "search": "on",
    "hf_endpoint": "https://huggingface.co",
    "hf_token": None,
    "hf_hub_offline": False,
    "log_level": "WARNING",
}


def refusal(**given: Any) -> ValueError:
    """Load invalid settings, and return the one line of the error."""
    with pytest.raises(ValueError, match=r"\A(MCP_OLLAMA|OLLAMA|HF)_.+\Z") as caught:
        OllamaSettings.load(**given)
    return caught.value


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sets variables."""
    return monkeypatch


def test_settings_without_variables_are_the_defaults() -> None:
    chosen = OllamaSettings.load().model_dump()
    assert {name: chosen[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("MCP_OLLAMA_BASE_URL", "http://h:1/v1/", "base_url", "http://h:1"),
        ("OLLAMA_BASE_URL", "https://h/base/v1", "base_url", "https://h:443/base"),
        ("OLLAMA_HOST", "0.0.0.0", "base_url", "http://127.0.0.1:11434"),
        ("MCP_OLLAMA_API_KEY", SECRET, "api_key", SecretStr(SECRET)),
        ("MCP_OLLAMA_HEADERS", '{"X-Key": "a b"}', "headers", {"X-Key": SecretStr("a b")}),
        ("MCP_OLLAMA_MODEL", "qwen3", "model_name", "qwen3"),
        ("MCP_OLLAMA_TIMEOUT", "2.5", "timeout", 2.5),
        ("MCP_OLLAMA_PULL_WAIT", "0", "pull_wait", 0),
        ("MCP_OLLAMA_STALL_SECONDS", "90", "stall_seconds", 90),
        ("MCP_OLLAMA_ACCESS", "no-delete", "access", "no-delete"),
        ("MCP_OLLAMA_ACCESS", "read-only", "access", "read-only"),
        ("MCP_OLLAMA_ACCESS", " read-only\t", "access", "read-only"),
        ("MCP_OLLAMA_CONFIRM_DELETE", "false", "confirm_delete", False),
        ("MCP_OLLAMA_CONFIRM_DELETE", "false ", "confirm_delete", False),
        ("MCP_OLLAMA_API_KEY", f"{SECRET} ", "api_key", SecretStr(SECRET)),
        ("MCP_OLLAMA_ALLOW_PUSH", "1", "allow_push", True),
        (
            "MCP_OLLAMA_REGISTRIES",
            " Models.example, ,localhost:5000",
            "registries",
            ("models.example", "localhost:5000"),
        ),
        (
            "MCP_OLLAMA_REGISTRIES",
            "http://Localhost:5000/,https://models.example",
            "registries",
            ("http://localhost:5000", "models.example"),
        ),
        ("MCP_OLLAMA_OUTAGE_SECONDS", "0", "outage_seconds", 0),
        ("MCP_OLLAMA_STATE_DIR", "off", "state_dir", "off"),
        ("MCP_OLLAMA_RESUME", "true", "resume", True),
        ("MCP_OLLAMA_MEMORY", " 24GB, 24GB ", "memory", "24GB, 24GB"),
        ("MCP_OLLAMA_MEMORY", "gpu:24 GB ram:64GiB", "memory", "gpu:24 GB ram:64GiB"),
        ("MCP_OLLAMA_MEMORY", "ram:32gb", "memory", "ram:32gb"),
        ("MCP_OLLAMA_SEARCH", "OFF", "search", "off"),
        ("HF_ENDPOINT", "https://mirror.example/hf/", "hf_endpoint", "https://mirror.example/hf"),
        ("HF_TOKEN", SECRET, "hf_token", SecretStr(SECRET)),
        ("HF_HUB_OFFLINE", "1", "hf_hub_offline", True),
        ("MCP_OLLAMA_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("mcp_ollama_access", "read-only", "access", "read-only"),
    ],
)
def test_variable_sets_its_field(
    variable: str, text: str, field: str, value: object, export: pytest.MonkeyPatch
) -> None:
    export.setenv(variable, text)
    chosen = OllamaSettings.load().model_dump()
    assert {name: chosen[name] for name in DEFAULTS} == DEFAULTS | {field: value}


def test_empty_variable_is_ignored(export: pytest.MonkeyPatch) -> None:
    for field in OllamaSettings.model_fields:
        export.setenv(f"MCP_OLLAMA_{field.upper()}", "")
    for variable in ("MCP_OLLAMA_MODEL", "OLLAMA_BASE_URL", "OLLAMA_HOST", "OLLAMA_API_KEY"):
        export.setenv(variable, "")
    chosen = OllamaSettings.load().model_dump()
    assert {name: chosen[name] for name in DEFAULTS} == DEFAULTS


def test_address_comes_from_the_first_variable(export: pytest.MonkeyPatch) -> None:
    addresses: list[str] = []
    for variable in ("OLLAMA_HOST", "OLLAMA_BASE_URL", "MCP_OLLAMA_BASE_URL"):
        export.setenv(variable, f"http://{variable.lower().replace('_', '-')}:1")
        addresses.append(OllamaSettings.load().base_url)
    addresses.append(OllamaSettings.load(base_url="http://argument:1/v1").base_url)
    hosts = ("ollama-host", "ollama-base-url", "mcp-ollama-base-url", "argument")
    assert addresses == [f"http://{host}:1" for host in hosts]


def test_argument_overrides_the_variable(export: pytest.MonkeyPatch) -> None:
    export.setenv("MCP_OLLAMA_TIMEOUT", "5")
    export.setenv("MCP_OLLAMA_MODEL", "variable")
    chosen = OllamaSettings.load(timeout=7, model_name="argument")
    assert (chosen.timeout, chosen.model_name) == (7, "argument")


@pytest.mark.parametrize("address", ["http://h", "http://h/", "http://h/v1", "http://h/v1/", "h:80"])
def test_address_may_end_in_v1(address: str) -> None:
    assert OllamaSettings(base_url=address).base_url == "http://h:80"


@pytest.mark.parametrize(
    ("variables", "base_url", "key"),
    [
        ({}, "http://127.0.0.1:1", None),
        ({"OLLAMA_API_KEY": "shared"}, "http://127.0.0.1:1", "shared"),
        ({"OLLAMA_API_KEY": "shared"}, "https://ollama.com", "shared"),
        ({"OLLAMA_API_KEY": "shared"}, "http://h:1", None),
        ({"OLLAMA_API_KEY": "shared", "MCP_OLLAMA_API_KEY": "own"}, "http://h:1", "own"),
        ({"OLLAMA_API_KEY": "shared", "MCP_OLLAMA_API_KEY": "own"}, "https://h", "own"),
        ({"OLLAMA_API_KEY": "sh är ed"}, "http://h:1", None),
    ],
)
def test_shared_key_is_not_used_for_plain_http(
    variables: dict[str, str], base_url: str, key: str | None, export: pytest.MonkeyPatch
) -> None:
    for variable, text in variables.items():
        export.setenv(variable, text)
    assert OllamaSettings.load(base_url=base_url).plain_api_key() == key


def test_headers_are_sent_unchanged() -> None:
    headers = {"Authorization": "Basic dTpw", "X-Empty": ""}
    assert OllamaSettings(headers=headers).plain_headers() == headers  # pyright: ignore[reportArgumentType]


MEMORY = "must be the memory of each GPU and the RAM, such as 24GB, 24GB,24GB or gpu:24GB ram:64GB"


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("MCP_OLLAMA_BASE_URL", "ftp://h", "An Ollama address begins with http:// or https://, not 'ftp://'"),
        ("OLLAMA_BASE_URL", "ftp://h", "An Ollama address begins with http:// or https://, not 'ftp://'."),
        ("OLLAMA_HOST", "ftp://h", "An Ollama address begins with http:// or https://, not 'ftp://'."),
        ("MCP_OLLAMA_TIMEOUT", "soon", "should be a valid number, unable to parse string as a number"),
        ("MCP_OLLAMA_TIMEOUT", "0", "should be greater than 0"),
        ("MCP_OLLAMA_TIMEOUT", "nan", "should be less than or equal to 3600"),
        ("MCP_OLLAMA_TIMEOUT", "inf", "should be less than or equal to 3600"),
        ("MCP_OLLAMA_PULL_WAIT", "-1", "should be greater than or equal to 0"),
        ("MCP_OLLAMA_PULL_WAIT", "3601", "should be less than or equal to 3600"),
        ("MCP_OLLAMA_STALL_SECONDS", "0", "should be greater than 0"),
        ("MCP_OLLAMA_ACCESS", "none", "should be 'full', 'no-delete' or 'read-only'"),
        ("MCP_OLLAMA_CONFIRM_DELETE", "perhaps", "should be true or false"),
        ("MCP_OLLAMA_ALLOW_PUSH", "2", "should be true or false"),
        (
            "MCP_OLLAMA_REGISTRIES",
            "ftp://models.example/",
            "must be hosts, separated by commas, such as registry.example.com,http://localhost:5000",
        ),
        ("MCP_OLLAMA_OUTAGE_SECONDS", "-1", "should be greater than or equal to 0"),
        ("MCP_OLLAMA_RESUME", "later", "should be true or false"),
        ("MCP_OLLAMA_MEMORY", "a lot", MEMORY),
        ("MCP_OLLAMA_SEARCH", "maybe", "should be 'on' or 'off'"),
        (
            "HF_ENDPOINT",
            "huggingface.co",
            "must be an https address, such as https://huggingface.co, or one of this machine",
        ),
        ("HF_HUB_OFFLINE", "maybe", "should be true or false"),
        ("MCP_OLLAMA_LOG_LEVEL", "loud", "should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_invalid_value_names_its_variable(variable: str, text: str, said: str, export: pytest.MonkeyPatch) -> None:
    export.setenv(variable, text)
    assert str(refusal()) == f"{variable}: {said}"


def test_all_invalid_values_are_named_at_once(export: pytest.MonkeyPatch) -> None:
    export.setenv("MCP_OLLAMA_TIMEOUT", "0")
    export.setenv("MCP_OLLAMA_ACCESS", "none")
    timeout, access = str(refusal()).split("; ")
    assert timeout.startswith("MCP_OLLAMA_TIMEOUT: ")
    assert access.startswith("MCP_OLLAMA_ACCESS: ")


PLACEHOLDER = "is a placeholder without its value"
HEADERS = "must be a JSON object of header names and texts"
KEY = "must be one word of printable ASCII characters"
UNEXPANDED = (
    "%OLLAMA_API_KEY%",
    "$OLLAMA_API_KEY",
    "$env:KEY",
    "$(KEY)",
    "{env:KEY}",
    "{file:~/key}",
    "<your-api-key>",
)


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("MCP_OLLAMA_API_KEY", f"{SECRET} and more", KEY),
        ("MCP_OLLAMA_API_KEY", f"{SECRET}\n{SECRET}", KEY),
        ("MCP_OLLAMA_API_KEY", f"{SECRET}ü", KEY),
        ("OLLAMA_API_KEY", f"{SECRET} and more", KEY),
        ("OLLAMA_API_KEY", f"{SECRET}ü", KEY),
        ("MCP_OLLAMA_HEADERS", SECRET, HEADERS),
        ("MCP_OLLAMA_HEADERS", f'["{SECRET}"]', HEADERS),
        ("MCP_OLLAMA_HEADERS", f'{{"X-Key": ["{SECRET}"]}}', HEADERS),
        ("MCP_OLLAMA_HEADERS", f'{{"X-Key": "{SECRET}\\r\\nX-More: 1"}}', HEADERS),
        ("MCP_OLLAMA_HEADERS", f'{{"X Key": "{SECRET}"}}', HEADERS),
        ("MCP_OLLAMA_HEADERS", f'{{"": "{SECRET}"}}', HEADERS),
        (
            "MCP_OLLAMA_HEADERS",
            f'{{"X": "{SECRET}", "TE": "x", "content-Length": "3"}}',
            "must not hold TE, content-Length",
        ),
        ("MCP_OLLAMA_API_KEY", "${user_config.api_key}", PLACEHOLDER),
        ("MCP_OLLAMA_API_KEY", "${env:" + SECRET + "}", PLACEHOLDER),
        ("MCP_OLLAMA_HTTP_TOKEN", "{{" + SECRET + "}}", PLACEHOLDER),
        ("MCP_OLLAMA_HEADERS", '{"Authorization": "Bearer ${TOKEN}"}', PLACEHOLDER),
        ("HF_TOKEN", "${HF_TOKEN}", PLACEHOLDER),
        ("MCP_OLLAMA_STATE_DIR", "${HOME}/state", PLACEHOLDER),
        ("OLLAMA_API_KEY", "${OLLAMA_API_KEY}", PLACEHOLDER),
        *(("MCP_OLLAMA_API_KEY", text, PLACEHOLDER) for text in UNEXPANDED),
        ("MCP_OLLAMA_HEADERS", '{"Authorization": "Bearer $TOKEN"}', PLACEHOLDER),
        ("MCP_OLLAMA_STATE_DIR", "$HOME/state", PLACEHOLDER),
        ("MCP_OLLAMA_BASE_URL", f"http://user:{SECRET}@h", "An Ollama address carries no user name or password"),
        ("OLLAMA_HOST", f"http://user:{SECRET}@h", "An Ollama address carries no user name or password"),
    ],
)
def test_invalid_secret_is_not_in_the_traceback(
    variable: str, text: str, said: str, export: pytest.MonkeyPatch
) -> None:
    export.setenv(variable, text)
    error = refusal()
    assert str(error).startswith(f"{variable}: {said}")
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "key", ["$2b$12$Qw", "$ecret", "$X9KEY", "%41%42", "a$KEY", "$KEY$", "{x}", "<a8>", "Zm9v/+=="]
)
def test_key_with_marks_of_placeholders_is_accepted(key: str) -> None:
    assert OllamaSettings.load(api_key=key).plain_api_key() == key


def test_secret_is_not_in_the_repr() -> None:
    chosen = OllamaSettings.load(api_key=SECRET, headers={"X-Key": SECRET})
    assert SECRET not in f"{chosen!r} {chosen} {chosen.model_dump()} {chosen.model_dump_json()}"


@pytest.mark.parametrize(
    "given", [{"registries": 3}, {"registries": ["a b"]}, {"timeout": "x"}, {"base": "h"}, {"headers": {"X": 1}}]
)
def test_invalid_argument_names_its_variable(given: dict[str, Any]) -> None:
    (name,) = given
    assert str(refusal(**given)).startswith(f"MCP_OLLAMA_{name.upper()}: ")


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"hf_endpoint": "h"}, "HF_ENDPOINT"),
        ({"hf_hub_offline": "no way"}, "HF_HUB_OFFLINE"),
        ({"model_name": 5}, "MCP_OLLAMA_MODEL"),
    ],
)
def test_invalid_argument_names_a_variable_of_another_name(given: dict[str, Any], variable: str) -> None:
    assert str(refusal(**given)).startswith(f"{variable}: ")


def test_variables_without_prefix_are_ignored(export: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, field in OllamaSettings.model_fields.items():
        if not str(field.validation_alias or "").startswith("HF_"):
            export.setenv(name.upper(), "bare")
    (tmp_path / ".env").write_text("MCP_OLLAMA_ACCESS=read-only\n")
    export.chdir(tmp_path)
    chosen = OllamaSettings.load().model_dump()
    assert {name: chosen[name] for name in DEFAULTS} == DEFAULTS


def test_settings_are_frozen() -> None:
    chosen = OllamaSettings()
    with pytest.raises(ValidationError):
        chosen.access = "read-only"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("registry.ollama.ai", True),
        ("Registry.Ollama.AI", True),
        ("ollama.com", True),
        ("hf.co", True),
        ("huggingface.co", True),
        ("models.example:5000", True),
        ("models.example", False),
        ("evil.hf.co", False),
        ("", False),
    ],
)
def test_only_named_registries_are_allowed(host: str, allowed: bool) -> None:
    assert OllamaSettings.load(registries="Models.example:5000").allows_registry(host) is allowed


def test_registry_with_scheme_uses_plain_http() -> None:
    settings = OllamaSettings(registries=("http://localhost:5000", "models.example"))
    assert settings.registry_hosts == ("localhost:5000", "models.example")
    assert settings.plain_http_registries == {"localhost:5000": "http://localhost:5000"}
    assert settings.allows_registry("Localhost:5000")
    assert settings.uses_plain_http("Localhost:5000")
    assert not settings.uses_plain_http("models.example")


@pytest.mark.parametrize(
    "text", ["", "24", "gpu:", "24GB;24GB", "vram:24GB", "ram:1GB,2GB", "ram:24GB, gpu:1GB", "24GB,,24GB", "8 XB"]
)
def test_memory_that_is_not_a_statement_is_refused(text: str) -> None:
    assert MEMORY in str(refusal(memory=text))


def test_registries_of_another_type_are_refused() -> None:
    assert "must be hosts, separated by commas" in str(refusal(registries=5))


def test_unknown_variables_are_named_with_the_nearest() -> None:
    environ = {
        "MCP_OLLAMA_PULLWAIT": "1",
        "MCP_OLLAMA_FOO": "",
        "MCP_OLLAMA_URL": "",
        "mcp_ollama_access": "full",
        "MCP_OLLAMA_LIVE_URL": "",
    }
    assert unknown_variables(environ) == [
        "MCP_OLLAMA_FOO is not a setting and is ignored.",
        "MCP_OLLAMA_PULLWAIT is not a setting and is ignored. Did you mean MCP_OLLAMA_PULL_WAIT?",
        "MCP_OLLAMA_URL is not a setting and is ignored. Did you mean MCP_OLLAMA_BASE_URL?",
    ]


def test_unknown_variables_of_the_process_are_none(export: pytest.MonkeyPatch) -> None:
    export.setenv("MCP_OLLAMA_MODEL", "m")
    assert unknown_variables() == []


@pytest.mark.parametrize("hosts", ["a b", "http://nas.example", 5])
def test_http_hosts_that_are_not_host_names_are_refused(hosts: object):
    with pytest.raises(ValueError, match="MCP_OLLAMA_HTTP_HOSTS: must be hosts, separated by commas"):
        OllamaSettings.load(http_hosts=hosts)
