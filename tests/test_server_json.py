"""The registry entry, the bundle and the image: valid, of one name and one version, with every setting."""

import json
import re
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jsonschema

from mcp_ollama.cli.host_config import HOSTS
from mcp_ollama.cli.output import COMMAND
from scripts.readme import README, ROOT
from scripts.stamp_version import STAMPED, stamp_version
from tests.support.settings import variables

SERVER = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
MANIFEST = json.loads((ROOT / "bundle" / "manifest.json").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SECRETS = {"MCP_OLLAMA_API_KEY", "MCP_OLLAMA_HEADERS", "MCP_OLLAMA_HTTP_TOKEN", "HF_TOKEN"}
HTTP_ONLY = {"MCP_OLLAMA_HTTP_TOKEN", "MCP_OLLAMA_HTTP_HOSTS"}


def test_server_json_is_valid_by_the_schema_that_it_names():
    date = re.findall(r"schemas/([0-9-]+)/server", SERVER["$schema"])[0].replace("-", "_")
    schema = files("skillsaw") / "schemas" / "mcp_registry" / f"v{date}" / "server.schema.json"
    jsonschema.validate(SERVER, json.loads(schema.read_text(encoding="utf-8")))


def test_there_is_one_version():
    (package,) = SERVER["packages"]
    newest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert {PROJECT["version"], SERVER["version"], package["version"], MANIFEST["version"], newest} == {
        version(COMMAND)
    }


def test_there_is_one_name():
    (package,) = SERVER["packages"]
    assert {PROJECT["name"], package["identifier"], MANIFEST["name"], *PROJECT["scripts"]} == {COMMAND}
    assert SERVER["repository"]["url"] == PROJECT["urls"]["Homepage"] == MANIFEST["repository"]["url"]
    assert SERVER["description"] == MANIFEST["description"]


def test_the_readme_and_the_image_prove_whose_the_registry_name_is():
    assert f"<!-- mcp-name: {SERVER['name']} -->" in README.read_text(encoding="utf-8").splitlines()
    assert f'io.modelcontextprotocol.server.name="{SERVER["name"]}"' in (ROOT / "Dockerfile").read_text(
        encoding="utf-8"
    )


def test_server_json_has_every_setting_with_default_and_secret_mark():
    (package,) = SERVER["packages"]
    offered = {one["name"]: one for one in package["environmentVariables"]}
    expected = {name: default for name, default in variables().items() if name not in HTTP_ONLY}
    assert {name: one.get("default", "none") for name, one in offered.items()} == expected
    assert {name for name, one in offered.items() if one.get("isSecret")} == SECRETS - HTTP_ONLY


def test_the_bundle_asks_for_what_it_passes_on():
    given: dict[str, str] = MANIFEST["server"]["mcp_config"]["env"]
    asked = {name for text in given.values() for name in re.findall(r"\$\{user_config\.(\w+)\}", text)}
    assert asked == MANIFEST["user_config"].keys()
    assert given.keys() <= variables().keys()
    assert given["MCP_OLLAMA_PULL_WAIT"] == str(HOSTS["claude-desktop"].wait_seconds)
    assert MANIFEST["user_config"]["api_key"]["sensitive"] is True
    assert (ROOT / MANIFEST["server"]["entry_point"]).is_file()


def test_the_image_starts_our_command():
    entry = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert [Path(word).name for word in json.loads(entry)] == [COMMAND]


def test_stamp_version_is_a_no_op_on_what_is_committed():
    for name in STAMPED:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert stamp_version(text, PROJECT["version"]) == text
        assert '"version": "9.9.9"' in stamp_version(text, "9.9.9")
