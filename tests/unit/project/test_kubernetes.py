"""The manifests for Kubernetes are valid by its schemas, and name what exists."""

from __future__ import annotations

from typing import Any

import pytest

from infra.config import Settings
from streams.topology import ROLES
from tests.paths import ROOT

yaml = pytest.importorskip("yaml", reason="needs PyYAML")
MANIFESTS = ROOT / "infra" / "kubernetes" / "freshgrid.yaml"
#: Whose schemas they are checked by.
VERSION = "1.30"


def manifests() -> list[dict[str, Any]]:
    one: dict[str, Any] = yaml.safe_load(MANIFESTS.read_text())
    assert one["kind"] == "List"
    items: list[dict[str, Any]] = one["items"]
    return items


def pods() -> dict[str, dict[str, Any]]:
    found = [one for one in manifests() if one["kind"] == "Deployment"]
    return {one["spec"]["template"]["metadata"]["labels"]["role"]: one["spec"] for one in found}


def test_they_are_valid_by_the_schemas_of_kubernetes() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for one in manifests():
        validate.validate(one, VERSION, strict=True)


def test_there_is_one_deployment_a_role_and_one_learner() -> None:
    assert pods().keys() == set(ROLES)
    for role, spec in pods().items():
        [container] = spec["template"]["spec"]["containers"]
        assert container["args"] == [role]
    assert (pods()["learner"]["replicas"], pods()["learner"]["strategy"]["type"]) == (1, "Recreate")


def test_every_variable_is_a_setting() -> None:
    [named] = [one["data"] for one in manifests() if one["kind"] == "ConfigMap"]
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
    Settings(**{name.lower(): value for name, value in named.items()})


def test_pods_can_do_no_more_than_they_must() -> None:
    for spec in pods().values():
        pod = spec["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        [container] = pod["containers"]
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["livenessProbe"]
    [ranker] = pods()["ranker"]["template"]["spec"]["containers"]
    assert ranker["readinessProbe"]["httpGet"]["path"] == "/readyz"
