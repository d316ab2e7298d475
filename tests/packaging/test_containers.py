"""Compose file, Kubernetes manifests and Containerfile: against the published schemas, offline."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tailflip import __version__

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
OVERLAYS = ("entrypoint", "init", "sidecar")
TAILFLIP = "/opt/tailflip/bin/tailflip"
VERBS = ("run", "preflight", "watch", "serve")


def run(name: str, *argv: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(name)
    return subprocess.run(
        [program, *map(str, argv)], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_compose_file_is_valid():
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec",
               PACKAGING / "container/compose.yaml")  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", params=("base", *OVERLAYS))
def manifests(request, tmp_path_factory):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl to render kustomizations")
    folder = PACKAGING / "kubernetes" / request.param
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("k8s") / f"{request.param}.yaml"
    path.write_text(done.stdout)
    return request.param, path


def test_the_manifests_are_valid(manifests):
    _, path = manifests
    done = run("kubernetes-validate", "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed") == 5


def test_the_pods_are_what_they_are_said_to_be(manifests):
    name, path = manifests
    [deployment] = [
        each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "Deployment"
    ]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert pod["terminationGracePeriodSeconds"] >= 345
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    for each in containers:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        # Whoever looks after a gateway must see its lock.
        places = {m["mountPath"] for m in each["volumeMounts"]} - {"/home/node/.cache"}
        assert places == {"/home/node/.openclaw", "/tmp", "/etc/openclaw"}
        # All of them read one configuration, and run one image whose version is named.
        told = {e["name"]: e.get("value") for e in each["env"]}
        assert told["OPENCLAW_CONFIG_PATH"] == "/etc/openclaw/openclaw.json"
        assert each["image"] == f"openclaw-tailflip:{__version__}"
    limits = [int(c["resources"]["limits"]["memory"][:-2]) for c in pod["containers"][1:]]
    assert sum(limits) <= 256
    verbs = [c["command"][1] for c in containers if c["command"][0] == TAILFLIP]
    assert verbs == {"base": [], "entrypoint": ["run"], "init": ["preflight"], "sidecar": ["watch"]}[name]  # noqa: E501  # fmt: skip
    assert pod.get("shareProcessNamespace", False) is (name == "sidecar")


def test_the_gateway_has_a_token_and_few_may_reach_it(manifests):
    """`--bind lan` without a token is an open gateway; the token stands in no file."""
    _, path = manifests
    found = {each["kind"]: each for each in yaml.safe_load_all(path.read_text())}
    pod = found["Deployment"]["spec"]["template"]
    gateway = next(c for c in pod["spec"]["containers"] if c["name"] == "gateway")
    env = {each["name"]: each for each in gateway["env"]}
    secret = env["OPENCLAW_GATEWAY_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "openclaw-token", "key": "token"}
    config = json.loads(found["ConfigMap"]["data"]["openclaw.json"])
    assert config["gateway"]["auth"] == {"mode": "token"}
    assert "Secret" not in found
    policy = found["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["ingress"][0]["from"]


def test_the_image_can_be_named(manifests, tmp_path):
    """Every container of ours takes the name that docs/containers.md sets."""
    name, _ = manifests
    copy = tmp_path / "kubernetes"
    shutil.copytree(PACKAGING / "kubernetes", copy)
    file = copy / name / "kustomization.yaml"
    written = yaml.safe_load(file.read_text())
    written["images"] = [
        {"name": "openclaw-tailflip", "newName": "registry.example/ours", "newTag": "9"}
    ]
    file.write_text(yaml.safe_dump(written))
    done = subprocess.run(
        ["kubectl", "kustomize", copy / name], capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"image: (\S+)", done.stdout)) == {"registry.example/ours:9"}


def test_every_command_in_the_files_is_one_that_we_have():
    """Each verb and option that stands there is taken by our own parser."""
    from tailflip.cli.light import ABOUT, read_options  # noqa: PLC0415

    text = "".join(p.read_text() for p in PACKAGING.rglob("*.yaml"))
    found = re.findall(r"\[(?:\")?" + TAILFLIP + r"(?:\")?, ([^\]]*)\]", text)
    assert len(found) == 5
    for line in found:
        words = [word.strip().strip('"') for word in line.split(",")]
        assert words[0] in VERBS
        if words[0] in ABOUT:
            own = words[1 : words.index("--")] if "--" in words else words[1:]
            assert read_options(words[0], own) is not None


def test_the_containerfile_ends_as_nobody_with_us_as_pid_1():
    lines = (PACKAGING / "container/Containerfile").read_text().splitlines()
    last = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in last if line.startswith("USER ")]
    assert users[-1] == "node"
    [entry] = [line for line in last if line.startswith("ENTRYPOINT ")]
    assert shlex.split(entry.replace(",", " ").replace("[", "").replace("]", ""))[1:] == [
        TAILFLIP, "run", "--",
    ]  # fmt: skip
    for line in lines:
        source = re.match(r"COPY ([^-]\S*) ", line)
        if source:
            assert source[1].startswith("dist/")
