"""Addresses, against what Ollama reads from OLLAMA_HOST and against arbitrary text."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.ollama.addresses import (
    BASE_URL_VARIABLES,
    DEFAULT_BASE_URL,
    InvalidAddress,
    address_from_environment,
    is_loopback,
    key_for,
    openai_base_url,
    parse_host,
    server_key,
)

GOLDEN = Path(__file__).parents[1] / "data" / "ollama-hosts.tsv"
Row = tuple[str, str, str, str]


def read_golden() -> list[Row]:
    rows: list[Row] = []
    for line in GOLDEN.read_text(encoding="utf-8").splitlines()[1:]:
        quoted, host, connectable, joined = line.split("\t")
        rows.append((quoted[1:-1].replace('\\"', '"'), host, connectable, joined))
    return rows


ROWS = read_golden()

# Texts that Ollama's parser converts to an address that cannot be dialled; None is a refusal.
DEVIATIONS: dict[str, tuple[str | None, str]] = {
    ":1234": ("http://127.0.0.1:1234", "an empty host is this machine, also when a port is named"),
    "HTTP://h": ("http://h:80", "the case of a scheme means nothing, so it has http's default port"),
    "ftp://x": (None, "there is no client for ftp"),
    "unix:///tmp/s": (None, "a socket is no host: Ollama dials 127.0.0.1 with a strange scheme"),
    "http://u:p@h:1": (None, "Ollama takes the password for a part of the host"),
}

pieces = ["http://", "HTTPS://", "h", "0.0.0.0", "1.2.3.4", "[::]", "::1", "fe80::1%e", "ollama.com", "[", "]", ":"]
pieces += ["1", "99999", "/", "v1", "base", ".", "'", '"', " ", "@", "?", "%", "٣", "é", "\ud800"]
addresses = st.text(max_size=40) | st.lists(st.sampled_from(pieces)).map("".join)


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] not in DEVIATIONS], ids=lambda row: repr(row[0]))
def test_an_address_is_read_as_ollama_reads_it(row: Row) -> None:
    text, host, connectable, joined = row
    base_url = parse_host(text)
    assert base_url == connectable.rstrip("/")
    assert parse_host(host) == base_url
    path, join = joined.split(" join=")
    assert f"{base_url}/api/tags" == join.replace("//0.0.0.0:", "//127.0.0.1:").replace("[::]", "[::1]")
    prefix = path.removeprefix('path="').rstrip('"/')
    assert httpx.URL(base_url).path == f"/{prefix}"


@pytest.mark.parametrize("text", ["h:1", " h:1\n", "'h:1'", '" h:1 "', "'\"h:1'"])
def test_spaces_and_quotes_around_an_address_are_ignored(text: str) -> None:
    assert parse_host(text) == "http://h:1"


@pytest.mark.parametrize("text", DEVIATIONS)
def test_where_ollama_reads_nonsense_we_read_sense_or_refuse(text: str) -> None:
    assert text in {row[0] for row in ROWS}
    ours, _reason = DEVIATIONS[text]
    if ours is None:
        with pytest.raises(InvalidAddress):
            parse_host(text)
    else:
        assert parse_host(text) == ours


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("http://h:1/v1", "http://h:1"),
        ("http://h:1/v1/", "http://h:1"),
        ("http://h:1/v1/v1", "http://h:1"),
        ("https://h/base/v1", "https://h:443/base"),
        ("ollama.com/v1", "https://ollama.com:443"),
        ("http://h:1/api", "http://h:1/api"),
        ("http://h:1/v12", "http://h:1/v12"),
        ("http://h:1/v1/models", "http://h:1/v1/models"),
    ],
)
def test_a_trailing_v1_is_taken_off_and_nothing_else(text: str, base_url: str) -> None:
    assert parse_host(text) == base_url


@pytest.mark.parametrize(
    ("text", "base_url"),
    [("h:0000080", "http://h:80"), ("h:65535", "http://h:65535"), ("h:65536", "http://h:11434"), ("h:٣", None)],
)
def test_a_port_is_a_number_up_to_65535_else_the_default(text: str, base_url: str | None) -> None:
    if base_url:
        assert parse_host(text) == base_url
    else:
        with pytest.raises(InvalidAddress, match="u0663"):
            parse_host(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a b", "a:b:c", "a..b", "x" * 64, "münchen", "h\x00", "h\ud800", "1.2.3.999", "fe80::1%eth0:11434"),
        *("http://h/a b", "http://h/?key=1", "http://h/#x", "http://h\\@x", "://h", "[::1]x:1"),
        "x" * 9999,
        ".".join(["x" * 63] * 5),
    ],
)
def test_what_cannot_be_dialled_is_refused_with_a_printable_sentence(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_host(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "text", ["http://me:hunter2@h", "me:hunter2@h:1", "ftp://me:hunter2@h", "http://me:hunter2/@h"]
)
def test_password_in_an_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidAddress, match="MCP_OLLAMA_HEADERS") as caught:
        parse_host(text)
    assert "hunter2" not in str(caught.value)
    assert "me:" not in str(caught.value)


def test_an_unknown_scheme_is_named_in_the_refusal() -> None:
    with pytest.raises(InvalidAddress, match="begins with http:// or https://, not 'ftp://'"):
        parse_host("ftp://x")


@given(addresses)
def test_whatever_text_is_not_refused_gives_an_address_that_can_be_dialled(text: str) -> None:
    try:
        base_url = parse_host(text)
    except InvalidAddress:
        return
    assert parse_host(base_url) == base_url
    assert parse_host(openai_base_url(base_url)) == base_url
    assert httpx.URL(base_url).host
    assert not base_url.endswith(("/", "/v1"))


def test_the_openai_form_is_the_native_form_and_v1() -> None:
    assert openai_base_url(parse_host("localhost/base/")) == "http://localhost:11434/base/v1"


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("localhost", True),
        ("http://LOCALHOST:1/base", True),
        ("ollama.localhost", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("192.168.1.2", False),
        ("2001:db8::1", False),
        ("ollama.com", False),
    ],
)
def test_only_this_machine_is_loopback(text: str, loopback: bool) -> None:
    assert is_loopback(parse_host(text)) is loopback


@pytest.mark.parametrize("chosen", range(len(BASE_URL_VARIABLES)))
def test_the_first_variable_that_is_not_empty_names_the_server(chosen: int) -> None:
    environ: dict[str, str] = {name: " " for name in BASE_URL_VARIABLES[:chosen]}
    environ |= {name: f"h{index}/v1" for index, name in enumerate(BASE_URL_VARIABLES[chosen:])}
    assert address_from_environment(environ) == "http://h0:11434"


def test_without_variables_the_server_is_on_this_machine() -> None:
    assert address_from_environment({}) == "http://127.0.0.1:11434"


@pytest.mark.parametrize("variable", BASE_URL_VARIABLES)
def test_invalid_address_is_reported_with_its_variable(variable: str) -> None:
    with pytest.raises(InvalidAddress, match=f"^{variable}: An Ollama address begins with"):
        address_from_environment({variable: "unix:///tmp/s"})


@pytest.mark.parametrize(
    ("base_url", "environ", "key"),
    [
        ("http://10.0.0.1:11434", {"MCP_OLLAMA_API_KEY": "own", "OLLAMA_API_KEY": "shared"}, "own"),
        ("https://ollama.com:443", {"MCP_OLLAMA_API_KEY": " ", "OLLAMA_API_KEY": " shared\n"}, "shared"),
        ("http://localhost:11434", {"OLLAMA_API_KEY": "shared"}, "shared"),
        ("http://10.0.0.1:11434", {"OLLAMA_API_KEY": "shared"}, None),
        ("https://ollama.com:443", {"OLLAMA_API_KEY": ""}, None),
        ("https://ollama.com:443", {}, None),
    ],
)
def test_the_shared_key_never_goes_over_plain_http_to_another_machine(
    base_url: str, environ: dict[str, str], key: str | None
) -> None:
    assert key_for(base_url, environ) == key


def test_the_process_environment_is_read_at_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in BASE_URL_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "h:1")
    monkeypatch.setenv("MCP_OLLAMA_API_KEY", "own")
    assert address_from_environment() == "http://h:1"
    assert key_for("http://h:1") == "own"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost:11434", DEFAULT_BASE_URL),
        ("http://[::1]:11434", DEFAULT_BASE_URL),
        ("http://ollama.localhost:11434/", DEFAULT_BASE_URL),
        ("http://LOCALHOST.:11434", DEFAULT_BASE_URL),
        ("http://GPU:80", "http://gpu"),
        ("https://gpu:443/base", "https://gpu/base/"),
        ("http://0.0.0.0:11434", DEFAULT_BASE_URL),
    ],
)
def test_server_key_of_one_server_is_the_same(one: str, other: str) -> None:
    assert server_key(one) == server_key(other)


def test_server_key_of_different_servers_differs() -> None:
    addresses = [
        DEFAULT_BASE_URL,
        "http://127.0.0.1:11435",
        "http://gpu:11434",
        "http://10.0.0.7:11434",
        f"{DEFAULT_BASE_URL}/second",
        "http://127.0.0.2:11434",
        "http://us?er",
    ]
    assert len({server_key(address) for address in addresses}) == len(addresses)
