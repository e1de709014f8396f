"""Named hosts: what is read, and what is refused."""

import json
import logging
from pathlib import Path
from typing import Any

import certifi
import pytest

from mcp_ollama.models.host_settings import HostSettings, parse_hosts
from mcp_ollama.models.hosts import NamedHosts, load_hosts
from mcp_ollama.settings import OllamaSettings

EXAMPLES = Path(__file__).parents[1] / "data/hosts/hosts.examples.toml"
TWO = '{"desk": "http://127.0.0.1:11434", "gpu": "http://gpu:11434/v1"}'


def from_json(text: str, environ: dict[str, str] | None = None, **settings: Any) -> NamedHosts:
    return parse_hosts(OllamaSettings.load(hosts=text, **settings), environ or {})


def from_toml(folder: Path, text: str, environ: dict[str, str] | None = None, **settings: Any) -> NamedHosts:
    path = folder / "hosts.toml"
    path.write_text(text, encoding="utf-8")
    return parse_hosts(OllamaSettings.load(hosts_file=path, **settings), environ or {})


def mistakes(*args: Any, **kwargs: Any) -> str:
    """Return the text of the refusal, one line."""
    with pytest.raises(ValueError, match=r"^MCP_OLLAMA_HOSTS") as caught:
        (from_toml if isinstance(args[0], Path) else from_json)(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_hosts_without_variables_are_the_single_server() -> None:
    settings = OllamaSettings.load(base_url="http://one:1")
    named = load_hosts(settings)
    assert named == NamedHosts({"": settings})
    assert not named.are_several


def test_hosts_as_json_keep_order_and_first_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_OLLAMA_HOSTS", TWO)
    named = parse_hosts(OllamaSettings.load())
    assert (named.names, named.default, named.are_several) == ("desk, gpu", "desk", True)
    assert [one.base_url for one in named.hosts.values()] == ["http://127.0.0.1:11434", "http://gpu:11434"]


def test_hosts_file_of_the_examples_is_read_whole(tmp_path: Path) -> None:
    text = EXAMPLES.read_text(encoding="utf-8").replace("/etc/ssl/our-ca.pem", certifi.where())
    named = from_toml(tmp_path, text, {"CLUSTER_OLLAMA_TOKEN": "s3cret"})
    assert named.default == "gpu-a"
    cluster = named.hosts["cluster"]
    assert isinstance(cluster, HostSettings)
    assert (cluster.base_url, cluster.access) == ("https://ollama.example.org:443/ollama", "read-only")
    assert (cluster.plain_api_key(), cluster.ca_file) == ("s3cret", Path(certifi.where()))
    assert [one.plain_api_key() for one in named.hosts.values()].count(None) == 3


def test_hosts_file_takes_memory_description_and_headers(tmp_path: Path) -> None:
    table = 'url = "gpu"\nmemory = "24GB"\ndescription = "two cards"\nheaders_env = "H"'
    named = from_toml(tmp_path, f"[hosts.gpu]\n{table}", {"H": '{"X-Key": "k"}'})
    host = named.hosts["gpu"]
    assert isinstance(host, HostSettings)
    assert (host.name, host.memory, named.descriptions) == ("gpu", "24GB", {"gpu": "two cards"})
    assert host.secret_variables() == ["H"]
    assert host.plain_headers() == {"X-Key": "k"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("http://GPU:11434", "gpu/v1/"),
        ("http://gpu.", "http://gpu:80/"),
        ("localhost", "0.0.0.0"),
        ("::1", "localhost"),
    ],
)
def test_one_server_under_two_spellings_is_refused(first: str, second: str) -> None:
    assert "b: url is the one of a; a server needs one name" in mistakes(json.dumps({"a": first, "b": second}))


def test_empty_address_of_a_host_is_refused() -> None:
    assert mistakes('{"a": "", "b": " ", "c": "gpu"}') == "MCP_OLLAMA_HOSTS: a: url is empty; b: url is empty"


def test_file_of_a_windows_editor_in_the_home_is_read(home: Path) -> None:
    """A byte order mark comes first, lines end in CR LF, and `ca_file` is beside it."""
    (home / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    table = '\ufeff[hosts.gpu]\r\nurl = "https://gpu"\r\nca_file = "ca.pem"\r\n'
    (home / "hosts.toml").write_text(table, encoding="utf-8", newline="")
    host = parse_hosts(OllamaSettings.load(hosts_file="~/hosts.toml"), {}).hosts["gpu"]
    assert host.extra_certificates() == home / "ca.pem"


def test_mistakes_in_the_form_of_a_table_hide_no_others(tmp_path: Path) -> None:
    tables = (
        '[hosts.a]\nurl = "a"\naccess = "Full"',
        '[hosts.B]\nurl = "b"\ntoken_env = "UNSET"',
        "[hosts.c]\nurl = 5",
    )
    assert mistakes(tmp_path, "\n".join(tables), memory="8GB") == (
        "MCP_OLLAMA_HOSTS_FILE: hosts.a.access: should be 'full', 'no-delete' or 'read-only'; "
        "hosts.c.url: should be a valid string; "
        "MCP_OLLAMA_MEMORY cannot be set beside it; use memory of a host in MCP_OLLAMA_HOSTS_FILE; "
        "the name 'B' is not valid; use up to 31 of a-z, 0-9 and -, no - first; "
        "B: token_env: the variable 'UNSET' is not set"
    )
    assert mistakes(tmp_path, "hosts = 5").endswith(": hosts: should be a valid dictionary")


def test_hosts_nested_without_an_end_are_one_line(tmp_path: Path) -> None:
    assert "must be a JSON object" in mistakes("[" * 100_000)
    assert "is not valid TOML" in mistakes(tmp_path, "hosts = " + "[" * 20_000)


def test_shared_key_reaches_no_named_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "shared")
    assert [one.plain_api_key() for one in from_json(TWO).hosts.values()] == [None, None]


def test_settings_of_the_server_hold_for_each_host() -> None:
    named = from_json(TWO, timeout=5, registries="reg.example", confirm_delete=False)
    assert {(one.timeout, one.registries, one.confirm_delete) for one in named.hosts.values()} == {
        (5, ("reg.example",), False)
    }


@pytest.mark.parametrize(
    ("server", "host", "effective"),
    [("full", "no-delete", "no-delete"), ("read-only", "full", "read-only"), ("no-delete", "read-only", "read-only")],
)
def test_access_of_a_host_is_never_above_the_servers(tmp_path: Path, server: str, host: str, effective: str) -> None:
    named = from_toml(tmp_path, f'[hosts.gpu]\nurl = "gpu"\naccess = "{host}"', access=server)
    assert named.hosts["gpu"].access == effective


def test_hosts_win_over_the_single_address_and_log_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        from_json(TWO, {"OLLAMA_HOST": "elsewhere", "OLLAMA_BASE_URL": "http://there"})
        from_json(TWO, base_url="http://flag")
    assert caplog.messages == [
        "MCP_OLLAMA_HOSTS names the Ollama servers, in place of OLLAMA_BASE_URL and OLLAMA_HOST.",
        "MCP_OLLAMA_HOSTS names the Ollama servers, in place of --base-url.",
    ]


def test_single_servers_secrets_are_refused_beside_hosts() -> None:
    text = mistakes(TWO, memory="8GB", api_key="s3cret", headers={"X": "y"})
    for variable in ("MCP_OLLAMA_API_KEY", "MCP_OLLAMA_HEADERS", "MCP_OLLAMA_MEMORY"):
        assert f"{variable} cannot be set beside it" in text
    assert "s3cret" not in text


def test_both_variables_at_once_are_refused(tmp_path: Path) -> None:
    text = mistakes(TWO, hosts_file=tmp_path)
    assert text == "MCP_OLLAMA_HOSTS: cannot be set beside MCP_OLLAMA_HOSTS_FILE; remove one of them"


@pytest.mark.parametrize("text", ["", "gpu=http://gpu", "[1]", '{"gpu": 5}', '{"gpu": {"url": "gpu"}}'])
def test_json_of_another_shape_is_refused_with_an_example(text: str) -> None:
    assert mistakes(text).endswith('must be a JSON object of names and addresses, such as {"gpu": "http://gpu:11434"}')


def test_json_with_a_name_twice_is_refused() -> None:
    assert mistakes('{"gpu": "a", "gpu": "b"}') == "MCP_OLLAMA_HOSTS: gpu: the name occurs more than once"


@pytest.mark.parametrize(
    ("name", "why"), [("all", "is reserved"), ("GPU", "is not valid"), ("-a", "is not valid"), ("a" * 32, "not valid")]
)
def test_name_outside_the_rules_is_refused(name: str, why: str) -> None:
    assert why in mistakes(json.dumps({name: "http://gpu"}))


def test_empty_object_is_refused() -> None:
    assert mistakes("{}") == "MCP_OLLAMA_HOSTS: names no host"


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = mistakes(
        tmp_path,
        """
        default = "nowhere"
        [hosts.a]
        url = "http://user:s3cret@a"
        token_env = "UNSET"
        [hosts.b]
        url = "ftp://b"
        headers_env = "BROKEN"
        [hosts.c]
        url = "http://same"
        ca_file = "missing.pem"
        [hosts.d]
        url = "http://same"
        token_env = "SPACED"
        [hosts.e]
        url = "http://same2"
        [hosts.f]
        url = "same2:80"
        """,
        {"BROKEN": "s3cret", "SPACED": "s3cret two"},
    )
    for part in (
        "default 'nowhere' is none of a, b, c, d, e, f",
        "a: url holds a user name or password; use token_env or headers_env instead",
        "a: token_env: the variable 'UNSET' is not set",
        "b: url: An Ollama address begins with http:// or https://",
        "b: headers_env: must be a JSON object of header names and texts",
        f"c: ca_file: {tmp_path / 'missing.pem'} cannot be read: No such file or directory",
        "d: token_env: must be one word",
        "f: url is the one of e; a server needs one name",
    ):
        assert part in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hosts = 3", "hosts: should be a valid dictionary"),
        ("colour = 1\n[hosts.gpu]\nurl = 'gpu'", "colour is not a key; the keys are default, hosts"),
        ("[hosts.gpu]", "hosts.gpu.url is missing"),
        ("[hosts.gpu]\nurl = 'gpu'\ntoken = 'x'", "hosts.gpu.token is not a key; the keys are url, access, memory"),
        ("[hosts.gpu]\nurl = 'gpu'\naccess = 'some'", "hosts.gpu.access: should be 'full', 'no-delete' or"),
        ("[hosts.gpu", "is not valid TOML"),
    ],
)
def test_malformed_file_is_refused_with_the_place(tmp_path: Path, text: str, why: str) -> None:
    assert why in mistakes(tmp_path, text)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^MCP_OLLAMA_HOSTS_FILE: .*hosts.toml cannot be read: No such file"):
        parse_hosts(OllamaSettings.load(hosts_file=tmp_path / "hosts.toml"))
    (tmp_path / "hosts.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not UTF-8"):
        parse_hosts(OllamaSettings.load(hosts_file=tmp_path / "hosts.toml"))


def test_ca_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not PEM", encoding="utf-8")
    text = mistakes(tmp_path, '[hosts.gpu]\nurl = "https://gpu"\nca_file = "ca.pem"')
    assert text.endswith("ca.pem holds no PEM certificate")
