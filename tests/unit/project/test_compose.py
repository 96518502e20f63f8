"""docker-compose.yml names services, settings and commands that exist."""

import hashlib
import re
import ssl
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from infra.config import Settings
from streams.access_lists import IDENTITIES, kafka_rights, redis_rights
from streams.topology import COMMAND
from tests.compose import SECRETS, SECURE, Compose, make_secrets
from tests.paths import ROOT

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

OURS = {"worker": "worker", "learner": "learner", "ranker": "ranker"}
#: Only with the profile of the same name.
OBSERVABILITY = {"prometheus", "grafana"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_services_are_those_of_the_design(compose: dict[str, Any]) -> None:
    assert compose["services"].keys() == {"kafka", "redis", *OURS, *OBSERVABILITY}
    assert {name: compose["services"][name]["command"] for name in OURS} == OURS


@pytest.mark.parametrize("role", OURS)
def test_every_variable_of_a_role_is_a_valid_setting(
    compose: dict[str, Any], role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = compose["services"][role]["environment"]
    assert {name.lower() for name in environment} <= Settings.model_fields.keys()
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    settings = Settings()
    assert settings.kafka_bootstrap_servers == "kafka:19092"
    assert settings.redis_url == "redis://redis:6379/0"


def test_a_role_starts_when_its_servers_are_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for role in OURS:
        assert services[role]["depends_on"] == {
            server: {"condition": "service_healthy"} for server in ("kafka", "redis")
        }
    assert all("healthcheck" in services[name] for name in ("kafka", "redis", "ranker"))
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


def test_named_volumes_are_declared_and_servers_keep_their_data(compose: dict[str, Any]) -> None:
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
    }
    files = {name for name in used if name.startswith("./")}
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert used - files == compose["volumes"].keys()
    assert used >= {"kafka", "redis", "artifacts"}
    assert "--appendonly yes" in compose["services"]["redis"]["command"]


def test_the_defaults_of_the_settings_find_the_published_ports(compose: dict[str, Any]) -> None:
    published = {
        port.rsplit(":", 1)[0].split("-")[0]
        for service in compose["services"].values()
        if "profiles" not in service
        for port in service.get("ports", ())
    }
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert published == {
        defaults["kafka_bootstrap_servers"],
        defaults["redis_url"].removeprefix("redis://").split("/")[0],
        f"{defaults['http_host']}:{defaults['http_port']}",
    }


def test_workers_and_rankers_can_be_several(compose: dict[str, Any]) -> None:
    for name in ("worker", "ranker"):
        service = compose["services"][name]
        assert "container_name" not in service and "hostname" not in service
        for port in service.get("ports", ()):
            _, host, container = port.split(":")
            first, last = map(int, host.split("-"))
            assert last - first >= 2 and container.isdigit(), "each needs a port of its own"


def test_the_image_is_built_from_a_file_that_copies_what_exists(compose: dict[str, Any]) -> None:
    dockerfile = ROOT / compose["services"]["worker"]["build"]["dockerfile"]
    copied = [
        name
        for line in dockerfile.read_text().splitlines()
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    allowed = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name.split('/')[0]}" for name in copied} <= set(allowed)


def test_every_dependency_of_the_image_is_locked_by_hash_and_names_no_host() -> None:
    lines = (ROOT / "infra/compose/requirements.lock").read_text().splitlines()
    locked = [line.split("==")[0] for line in lines if line[:1].isalpha()]
    assert all(line[:1].isalpha() or line.startswith("    --hash=sha256:") for line in lines)
    assert not [line for line in lines if "://" in line or line.startswith("--")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[\[><=]", name)[0] for name in project["project"]["dependencies"]}
    assert wanted | {"hatchling"} <= set(locked)
    versions = {
        name.split("==")[0]: name.split("==")[1].split()[0] for name in lines if "==" in name
    }
    for requirement in map(Requirement, project["project"]["dependencies"]):
        assert requirement.specifier.contains(versions[requirement.name]), requirement


def test_containers_can_do_no_more_than_they_must(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
    assert all(compose["services"][name]["read_only"] for name in OURS)
    dockerfile = (ROOT / "infra/compose/Dockerfile").read_text()
    assert "\nUSER 10001\n" in dockerfile
    assert "--require-hashes" in dockerfile


@pytest.fixture(scope="module")
def secure() -> Compose:
    return Compose.read()


@pytest.mark.parametrize("name", [*OURS, "rights", COMMAND])
def test_every_variable_of_the_secure_project_is_a_valid_setting(
    secure: Compose, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in secure.service(name)["environment"].items():
        setting = variable.lower()
        if setting not in Settings.model_fields:
            # What stands in a file.
            assert setting.removesuffix("_file") in Settings.model_fields, variable
            value = tmp_path / variable
            value.write_text("secret")
        monkeypatch.setenv(variable, str(value))
    settings = Settings()
    assert settings.kafka_security_protocol == "SASL_SSL"
    assert (settings.kafka_ca_file, settings.kafka_password) == (f"{SECRETS}ca", "secret")
    if name in IDENTITIES and redis_rights(name) is not None:
        assert settings.redis_url == "rediss://redis:6379/0"
        assert (settings.redis_username, settings.redis_password) == (name, "secret")


def test_the_secure_project_starts_roles_once_their_rights_are_given(secure: Compose) -> None:
    done = {"condition": "service_completed_successfully"}
    for name in OURS:
        assert secure.service(name)["depends_on"].items() >= {"rights": done}.items()
    assert secure.service("rights")["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in ("rights", COMMAND):
        service = secure.service(name)
        assert (service["image"], service["read_only"]) == ("freshgrid", True)
        assert service["cap_drop"] == ["ALL"]


def test_what_the_secure_project_mounts_is_there(secure: Compose, tmp_path: Path) -> None:
    """Files of the repository, and secrets that the script makes, each where it is asked for."""
    make_secrets(tmp_path / "made")
    files = secure.secret_files(tmp_path / "made")
    assert [file for file in files.values() if not file.is_file()] == []
    assert not {file.name for file in files.values()} & {"ca.key"}
    read_by = {"kafka": ("kafka.properties", "start_kafka.sh"), "redis": ("valkey.conf",)}
    used = set()
    for name in secure.over["services"]:
        service = secure.service(name)
        mounted = {volume.split(":")[0] for volume in service["volumes"] if volume[0] == "."}
        assert [file for file in mounted if not (ROOT / file).is_file()] == []
        told = str(service) + "".join((SECURE / of).read_text() for of in read_by.get(name, ()))
        asked = set(re.findall(rf"{SECRETS}(\w+)", told))
        if name == "kafka":  # It knows everybody, by a loop over the names.
            asked |= {
                f"{of}_password"
                for of in ("admin", *IDENTITIES)
                if of == "admin" or kafka_rights(of)
            }
        assert asked == set(service["secrets"]), name
        used |= asked
    assert used == files.keys()


def test_the_script_keeps_what_is_there_and_makes_what_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    make_secrets(folder)
    assert (folder.stat().st_mode & 0o077, (folder / "ca.key").stat().st_mode & 0o077) == (0, 0)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name in ("redis.pem", "worker_password"):
        (folder / name).unlink()
    make_secrets(folder)
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"redis.pem", "redis.key", "worker_password", "redis_users"}
    # Users are told by digests, and certificates are of the authority and of their names.
    users = after["redis_users"].decode()
    for identity in (of for of in IDENTITIES if redis_rights(of)):
        password = after[f"{identity}_password"].strip()
        assert f"user {identity} reset on #{hashlib.sha256(password).hexdigest()} " in users
        assert password.decode() not in users
    for name in ("kafka", "redis", "ranker"):
        command = ["openssl", "verify", "-CAfile", folder / "ca.pem", "-verify_hostname", name]
        subprocess.run([*command, folder / f"{name}.pem"], check=True, capture_output=True)
        ssl.create_default_context().load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
