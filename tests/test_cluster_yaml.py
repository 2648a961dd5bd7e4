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
from tests.support.rayjob import SCHEMA

ON_PREMISE, KUBERNETES, SLURM = "  type: local", "kind: RayJob", "#SBATCH"


def cluster() -> dict[str, Any]:
    """The file, as the launcher reads it."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return content


def block(has: str) -> str:
    """The one block of the pages that has a text in it."""
    (code,) = [each.code for page in pages() for each in blocks(page) if has in each.code]
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
    line = next(each for each in whole.splitlines() if each.startswith("srun ray symmetric-run"))
    words = shlex.split(line.replace("$SLURM_JOB_NUM_NODES", "4"))[3:]
    context = symmetric_run.make_context("symmetric-run", words[: words.index("--")])
    assert (context.params["min_nodes"], context.params["address"]) == (4, "$head:$port")
    options = [each.split("=")[0] for each in context.params["ray_args_and_entrypoint"]]
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
