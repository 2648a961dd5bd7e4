"""A package from outside adds a plug of every sort, each one file: checked, run, in tables, in help, in the schema."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf import own_code, plugs
from raysurf.errors import PlugWarning, SpecError
from raysurf.jobs.parse import parse_job
from raysurf.sweep.json_schema import json_schema
from tests.support.cases import ROOT, tiny_sgd
from tests.support.command import raysurf
from tests.support.contracts import JobContract, NoiseContract, ObjectiveContract, ScheduleContract
from tests.support.search_contracts import ChoosingSamplerContract

PACKAGE = ROOT / "tests" / "examples" / "plug_package"
OUTSIDE = {
    "jobs": ("shrunk", "factor"),
    "schedules": ("polynomial", "power"),
    "objectives": ("smoothed", "share"),
    "noise": ("jitter", "sigma"),
    "models": ("narrow", "width"),
    "data": ("stripes", "count"),
    "samplers": ("eager_tpe", "startup"),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another has looked for."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_code, "_folders", [])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is where Python finds packages."""
    monkeypatch.syspath_prepend(str(PACKAGE))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose schedule fails to import, and that has another's name for one; gives a folder for files."""
    (tmp_path / "wrecks").mkdir()
    (tmp_path / "wrecks" / "wreck.py").write_text("raise RuntimeError('out of order')\n")
    about = tmp_path / "wrecks" / "wrecks-0.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wrecks\nVersion: 0.3\n")
    (about / "entry_points.txt").write_text(
        "[raysurf.schedules]\nwreck = wreck:Wreck\nmistaken = json:dumps\npolynomial = wreck:Other\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "wrecks"))
    return tmp_path


def file_of(folder: Path, **fields: Any) -> str:
    tree = {"kind": "sgd", "model": "digits_conv", "data": "digits", "epochs": 1, **fields}
    (folder / "s.yaml").write_text(json.dumps(tree))
    return str(folder / "s.yaml")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> rs.results.Results:
    """The store of a run of the package's file, in this process."""
    store = str(tmp_path_factory.mktemp("plugs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKAGE))
        patch.setattr(own_code, "_folders", [])
        rs.run(rs.load(PACKAGE / "plugs.yaml"), store, executor="inline")
    return rs.results.open(store)


def test_file_is_checked(installed: None, tmp_path: Path) -> None:
    """The plan says where the code of each plug is; a fault in a plug's field is one as any other."""
    done = raysurf("check", str(PACKAGE / "plugs.yaml"), "--results", str(tmp_path / "r"))
    assert (done.code, done.err) == (0, "")
    for module in ("shrunk:Shrunk", "polynomial:Polynomial", "smoothed:Smoothed", "jitter:Jitter", "narrow:build"):
        assert f"outside_plugs.{module} (code of yours: {PACKAGE}" in done.out
    assert "eager_tpe (startup: 1) for the min of validation/nll" in done.out
    text = (PACKAGE / "plugs.yaml").read_text()
    for right, wrong, said in (
        ("power: 1.0", "powr: 1.0", "job.weights.schedule.powr: got an unknown key; expected one of lr, power"),
        ("sigma: 0.02", "sigma: -1", "job.weights.noise.sigma: got -1; expected greater than 0"),
        ("startup: 1", "start: 1", "search.sampler.start: got an unknown key; expected one of startup"),
        ("width: 6", "widht: 6", "expected options of narrow: width (did you mean 'width'?)"),
        ("count: 120", "cuont: 120", "expected a function that needs no arguments but those in options"),
        ("kind: smoothed", "kind: smothed", "(did you mean 'smoothed'?)"),
    ):
        (tmp_path / "s.yaml").write_text(text.replace(right, wrong))
        done = raysurf("check", str(tmp_path / "s.yaml"))
        assert done.code == 2 and said in done.err, done.err


def test_rows_are_in_the_tables(results: rs.results.Results) -> None:
    """Runs of the job, rates of the schedule, the network on the data, the noise's layers, the sampler's trials."""
    runs = results.table("runs").to_pylist()
    assert {row["status"] for row in runs} == {"done"}
    assert {(row["model"], row["data"]) for row in runs} == {("narrow", "stripes")}
    shrunk = {row["arm"]: json.loads(row["metrics"]) for row in runs if row["kind"] == "shrunk"}
    # Without weights every class has the same probability; with them the bright column is seen.
    assert shrunk["shrunk factor=0.0"]["test/nll"] == pytest.approx(1.3863, abs=1e-3)
    assert shrunk["shrunk factor=1.0"]["test/nll"] < 1.0
    (trained,) = (row["run_id"] for row in runs if row["kind"] == "sgd" and row["role"] == "input")
    rates = results.table("epochs", where=f"run_id = '{trained}'")["lr"].to_pylist()
    steps = [7 * epoch - 1 for epoch in (1, 2, 3)]
    assert rates == pytest.approx([0.1 * (1 - step / 21) for step in steps])
    assert set(results.table("predictions", where="weights = 'shrunk'")["num_examples"].to_pylist()) == {108, 12, 30}
    assert results.table("layers")["sigma"].to_pylist() == pytest.approx([0.02])
    assert results.table("trials", where="sweep = 'search'")["state"].to_pylist() == ["done"] * 4


def test_job_keeps_its_id(installed: None, results: rs.results.Results) -> None:
    """What is stored of a job is the job again."""
    for row in results.table("runs").to_pylist():
        assert parse_job(json.loads(row["spec"])).id == row["run_id"]


@pytest.mark.parametrize("group", OUTSIDE)
def test_help_has_its_fields(installed: None, group: str) -> None:
    """It is among the topics, and its topic says what it takes."""
    name, field = OUTSIDE[group]
    assert name in raysurf("help").out
    done = raysurf("help", name)
    assert done.code == 0 and f"    {field}  " in done.out, done.out


def test_schema_has_its_fields(installed: None) -> None:
    """One JSON Schema has every kind and option, raysurf's and the package's, and holds of what the package runs."""
    from jsonschema import Draft202012Validator

    schema = json_schema()
    for group, (name, field) in OUTSIDE.items():
        if group in ("models", "data"):
            options = schema["$defs"]["ModelSpec" if group == "models" else "DataSpec"]["allOf"]
            (place,) = (
                option["then"]["properties"]["options"]["$ref"].removeprefix("#/$defs/")
                for option in options
                if option["if"]["properties"]["name"]["const"] == name
            )
            definition = schema["$defs"][place]["anyOf"][0]
        else:
            definition = schema["$defs"][plugs.find(group, name).__name__]
        assert field in definition["properties"]
    assert "Polynomial" in json.dumps(rs.SGD.model_json_schema())
    checker = Draft202012Validator(schema)
    trees = [
        job.tree for sweep in rs.load(PACKAGE / "plugs.yaml") for assignment in sweep.samples for job in assignment.jobs
    ]
    assert [error.message for tree in trees for error in checker.iter_errors(tree)] == []
    trees[0]["weights"]["schedule"]["power"] = 0
    assert not checker.is_valid(trees[0])


def test_broken_plug_is_a_warning(broken: Path) -> None:
    """A file that does not use it is checked, with one line for each plug that cannot be used."""
    done = raysurf("check", file_of(broken), "--results", str(broken / "r"))
    lines = done.err.splitlines()
    assert done.code == 0 and len(lines) == 3
    assert "left out plug 'wreck' of wrecks 0.3 (raysurf.schedules)" in lines[0]
    assert "wreck.py:1: RuntimeError: out of order" in lines[0]
    assert raysurf("check", file_of(broken), "--no-import").err == ""
    with pytest.warns(PlugWarning) as caught:
        assert dict(plugs.every("schedules")).keys() == plugs.GROUPS["schedules"].own.keys()
    assert [f"warning: {warning.message}" for warning in caught] == lines


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("wreck", "plug 'wreck' of wrecks 0.3 (raysurf.schedules): 'wreck:Wreck', whose import fails"),
        ("mistaken", "plug 'mistaken' of wrecks 0.3 (raysurf.schedules): json:dumps; expected a subclass of Schedule"),
        ("polynomial", "which outside-plugs 1.0 and wrecks 0.3 have; expected one package with it"),
    ],
)
def test_file_that_uses_a_broken_plug_is_refused(broken: Path, installed: None, kind: str, said: str) -> None:
    """It is a fault of the file, with its line, and exit code 2."""
    done = raysurf("check", file_of(broken, schedule={"kind": kind, "lr": 0.1}))
    assert done.code == 2 and said in done.err, done.err
    assert "s.yaml:1: job.schedule.kind: got" in done.err


def test_raysurfs_own_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package cannot put another thing under a name that raysurf has."""
    (tmp_path / "sly-1.dist-info").mkdir()
    (tmp_path / "sly-1.dist-info" / "entry_points.txt").write_text("[raysurf.jobs]\nsgd = json:loads\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugs.find("jobs", "sgd") is rs.SGD
    assert "sgd" not in dict(plugs.of_others("jobs"))


def test_nothing_of_the_working_folder_runs_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--no-import`` plugs that lie beside the file are not looked for."""
    shutil.copytree(PACKAGE, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    with own_code.no_imports(), pytest.raises(SpecError, match="polynomial"):
        rs.SGD(model="narrow", data="stripes", epochs=1, schedule={"kind": "polynomial", "lr": 0.1})
    assert plugs.has("schedules", "polynomial")


def test_jobs_travel_to_processes_that_know_nothing_of_them(tmp_path: Path) -> None:
    """A pickled job says where its plugs were found, beside its sweep file."""
    job = rs.load(PACKAGE / "plugs.yaml")[0].samples[0].jobs[0]
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    code = "import pickle; print(pickle.load(open('job', 'rb')).weights.schedule.power)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "1.0\n", done.stderr


class TestSchedule(ScheduleContract):
    @pytest.fixture
    def schedule(self, installed: None) -> Any:
        return plugs.find("schedules", "polynomial")(lr=0.1)


class TestObjective(ObjectiveContract):
    @pytest.fixture
    def job(self, installed: None) -> rs.SGD:
        data = rs.DataSpec(name="digits", share=0.1)
        return tiny_sgd(objective=plugs.find("objectives", "smoothed")(), data=data)


class TestNoise(NoiseContract):
    @pytest.fixture
    def noise(self, installed: None) -> Any:
        return plugs.find("noise", "jitter")(layers="*", sigma=0.1)


class TestJob(JobContract):
    @pytest.fixture
    def job(self, installed: None) -> Any:
        return plugs.find("jobs", "shrunk")(weights=tiny_sgd())


class TestSampler(ChoosingSamplerContract):
    @pytest.fixture
    def sampler(self, installed: None) -> Any:
        return {"kind": "eager_tpe", "startup": 3}
