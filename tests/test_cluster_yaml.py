"""The cluster files are ones that Ray's own launcher, KubeRay and Slurm take."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from raysurf.cli.main import cli
from tests.support.cases import ROOT
from tests.support.doc_blocks import blocks, pages

ON_PREMISE, KUBERNETES, SLURM = "  type: local", "kind: RayJob", "#SBATCH"


# What a KubeRay RayJob may hold: the fields that the README's manifest has, and their neighbours. By hand, after the
# ray.io/v1 reference of KubeRay 1.6 and Kubernetes' PodSpec; KubeRay's own schema, a megabyte, needs a network.
TEXT: dict[str, Any] = {"type": "string"}
WORDS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
NAME: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 47}
QUANTITY: dict[str, Any] = {
    "anyOf": [COUNT, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}]
}
AMOUNTS: dict[str, Any] = {"type": "object", "additionalProperties": QUANTITY}


def fields(required: tuple[str, ...], **known: Any) -> dict[str, Any]:
    """A mapping of these keys and no others."""
    return {"type": "object", "required": list(required), "properties": known, "additionalProperties": False}


def list_of(item: dict[str, Any]) -> dict[str, Any]:
    """A list of one item or more."""
    return {"type": "array", "items": item, "minItems": 1}


REFERENCE = fields(("name",), name=NAME, optional=FLAG)
CONTAINER = fields(
    ("name", "image"),
    name=NAME,
    image=TEXT,
    command=list_of(TEXT),
    args=list_of(TEXT),
    env=list_of(fields(("name",), name=TEXT, value=TEXT, valueFrom={"type": "object"})),
    envFrom=list_of(fields((), secretRef=REFERENCE, configMapRef=REFERENCE, prefix=TEXT)),
    resources=fields((), limits=AMOUNTS, requests=AMOUNTS),
    volumeMounts=list_of(fields(("name", "mountPath"), name=NAME, mountPath=TEXT, readOnly=FLAG)),
)
POD = fields(
    ("spec",),
    metadata=fields((), labels=WORDS, annotations=WORDS),
    spec=fields(
        ("containers",),
        containers=list_of(CONTAINER),
        nodeSelector=WORDS,
        tolerations=list_of({"type": "object"}),
        volumes=list_of({"type": "object", "required": ["name"]}),
        serviceAccountName=NAME,
        terminationGracePeriodSeconds=COUNT,
    ),
)
GROUP = {"rayStartParams": WORDS, "template": POD}
CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion={"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
    authOptions=fields((), mode={"enum": ["disabled", "token"]}, secretName=NAME),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(
        (), idleTimeoutSeconds=COUNT, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]}
    ),
    headGroupSpec=fields(("template",), serviceType=TEXT, **GROUP),
    workerGroupSpecs=list_of(
        fields(
            ("groupName", "template", "minReplicas", "maxReplicas"),
            groupName=NAME,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
            **GROUP,
        )
    ),
)
SCHEMA = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields(("name",), name=NAME, namespace=NAME, labels=WORDS, annotations=WORDS),
    spec=fields(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        suspend=FLAG,
        rayClusterSpec=CLUSTER,
    ),
)


def cluster() -> dict[str, Any]:
    """The file, as the launcher reads it."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def block(has: str) -> str:
    """The one block of the pages that has a text in it."""
    (code,) = [code_block.code for page in pages() for code_block in blocks(page) if has in code_block.code]
    return code


@pytest.mark.parametrize("content", [cluster(), yaml.safe_load(block(ON_PREMISE))], ids=["cloud", "on premise"])
def test_cluster_file_fits_rays_schema(content: dict[str, Any]) -> None:
    """Ray's own validation passes, and refuses the same file with an unknown key."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(content)))
    with pytest.raises(Exception, match="unexpected"):
        validate_config(prepare_config({**content, "wrokers": 3}))
    for command in (*content["head_start_ray_commands"], *content["worker_start_ray_commands"]):
        assert isinstance(command, str)
        assert "ray start" not in command or "RAY_AUTH_MODE=token" in command


def test_workers_scale_from_none() -> None:
    """No worker is there before it is needed, trials run on workers only, and three lines are to be changed."""
    nodes = cluster()["available_node_types"]
    assert nodes["gpu_worker"]["min_workers"] == 0 < nodes["gpu_worker"]["max_workers"]
    assert nodes["head"]["resources"]["CPU"] == 0
    assert (ROOT / "cluster.yaml").read_text().count("# CHANGE") == 3


def test_rayjob_is_one_that_kuberay_takes() -> None:
    """The manifest of the pages fits the schema, which refuses it with a misspelt, missing or mistyped field."""
    job = yaml.safe_load(block(KUBERNETES))
    jsonschema.validate(job, SCHEMA)
    spec = job["spec"]["rayClusterSpec"]
    (group,) = spec["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    def refused(change: Any) -> None:
        wrong = copy.deepcopy(job)
        change(wrong["spec"]["rayClusterSpec"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)

    refused(lambda spec: spec.update(enableInTreeAutoScaling=True))
    refused(lambda spec: spec.pop("headGroupSpec"))
    refused(lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}))
    refused(lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].pop("image"))


def test_slurm_script_is_one_that_bash_and_ray_take() -> None:
    """Bash parses the script, Ray its own options, and no port of it is one of those that Ray's workers take."""
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    script = block(SLURM)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    whole = script.replace("\\\n", " ")
    line = next(line for line in whole.splitlines() if line.startswith("srun ray symmetric-run"))
    words = shlex.split(line.replace("$SLURM_JOB_NUM_NODES", "4"))[3:]
    context = symmetric_run.make_context("symmetric-run", words[: words.index("--")])
    assert (context.params["min_nodes"], context.params["address"]) == (4, "$head:$port")
    options = [option.split("=")[0] for option in context.params["ray_args_and_entrypoint"]]
    assert options == ["--num-cpus", "--num-gpus"]
    assert set(options) <= {opt for parameter in start.params for opt in parameter.opts}
    assert re.search(r"port=\$\(\(20000 \+ SLURM_JOB_ID % 10000\)\)", script)


@pytest.mark.parametrize("has", [KUBERNETES, SLURM])
def test_what_the_files_run_is_a_command(has: str) -> None:
    """The command that a manifest or script runs is one of ours, its options too, and its file is there."""
    text = block(has)
    (command,) = re.findall(r"raysurf (run sweeps/\S+\.yaml .*)$", text, re.MULTILINE)
    name, file, *options = shlex.split(command)
    assert (ROOT / file).is_file()
    cli.commands[name].make_context(name, [file, *options], resilient_parsing=False)
    assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
