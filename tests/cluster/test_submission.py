"""What is handed to a cluster: the right files, nothing secret, and an entrypoint that means the same there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.job_submission import JobDetails

import raysurf as rs
from raysurf.cluster.submission import Submission, Submitted, read_job, resolve_results, submit_plan
from raysurf.cluster.working_folder import Folder, check_secrets, looks_secret, secrets_here, select, write_zip
from raysurf.data.registry import data_elsewhere
from raysurf.errors import SubmissionError
from raysurf.jobs.provenance import SUBMISSION, Provenance
from tests.support.cases import ROOT

PROVENANCE = Provenance("abc", False, "raysurf submit", {"raysurf": "0.1.0", "python": "3.11"})
SWEEP = """
name: small
job: {kind: sgd, model: digits_conv, data: DATA, epochs: 1, lr: !each [0.1, 0.2], seed: 0}
"""
# fmt: off
SECRETS = (
    ".env", "app/.env.local", "deploy.pem", "tls.KEY", "auth_token", ".ray/auth_token", ".netrc", ".aws/config",
    "id_rsa", "a/b/id_ed25519", "my-credentials.json", "secrets.yaml", ".ssh/config", "kubeconfig", ".git-credentials",
    "service_account.json", "credentials.csv", "rootkey.csv", "accessKeys.csv", "me_accessKeys.csv", "kaggle.json",
    ".huggingface/token", "token", ".vault-token", "secret.txt", "secrets.txt", "passwords.txt", "putty.ppk",
    "client_secret_1.apps.json", "apple.p8", "env.local", ".s3cfg", "rclone.conf", "terraform.tfstate", ".bash_history",
)
# Where somebody has put a key by hand.
BY_HAND = ("password", "hf_token.txt", "openai_api_key.txt", "aws_credentials", ".netrc.bak", "apikey.txt", ".env~")
ORDINARY = ("tokens.txt", "token_model.py", "tokenizer.json", "secrets.py", "env.py", "keys.parquet", "history.csv")
# fmt: on


def project(root: Path, data: str = "digits") -> Path:
    """A working folder with a sweep, its include, modules, results, caches and secrets."""
    files = {
        "sweeps/s.yaml": "job: !include parts/job.yaml\nname: small\n",
        "sweeps/parts/job.yaml": SWEEP.replace("DATA", data).split("job: ")[1],
        "nets/mine.py": "def net(): ...\n",
        "results/tables/runs/x.parquet": "x",
        "mine/results/__init__.py": "",
        "out/tables/runs/x.parquet": "x",
        "wandb/run/x": "x",
        ".venv/lib/x.py": "x",
        "nets/__pycache__/mine.pyc": "x",
        **dict.fromkeys(SECRETS, "x"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def plan(root: Path, file: str = "sweeps/s.yaml", **settings: object) -> Submission:
    with data_elsewhere():
        sweeps = rs.load(root / file)
    given = {"results": str(root / "out"), "folder": root, "token": "1a2b", "provenance": PROVENANCE, **settings}
    return submit_plan(file, sweeps, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("in_git", [False, True])
def test_the_folder_travels_without_results_and_secrets(in_git: bool, tmp_path: Path) -> None:
    """Sweep, include and modules go; results, W&B, environments, caches and what looks like a secret do not."""
    project(tmp_path)
    if in_git:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        (tmp_path / ".gitignore").write_text("/ignored.txt\n/sweeps/parts/\n")
        (tmp_path / "ignored.txt").write_text("x")
    submission = plan(tmp_path)
    mine = {name for name in submission.folder.files if not name.startswith("raysurf/")} - {".gitignore"}
    assert mine == {"sweeps/s.yaml", "sweeps/parts/job.yaml", "nets/mine.py", "mine/results/__init__.py"}
    assert "raysurf/cli/main.py" in submission.folder.files
    assert "raysurf/store/store.py" in submission.folder.files
    assert (
        {notice.rpartition(": ")[2] for notice in submission.notices} == set(submission.folder.secret) == set(SECRETS)
    )


def test_the_job_is_what_run_is_given(tmp_path: Path) -> None:
    """The command runs the file on the cluster; name, metadata and environment say what it is, and no more."""
    root = project(tmp_path / "it's here")
    submission = plan(root, options=("--wandb", "off"))
    assert submission.id == "s-1a2b"
    assert shlex.split(submission.entrypoint) == [
        *("python", "-m", "raysurf.cli.main", "run", "sweeps/s.yaml", "--wandb", "off"),
        *("--address", "auto", "--results", str(root / "out")),
    ]
    assert submission.env_vars.keys() == {"RAY_JOB_STOP_SIGNAL", "RAY_JOB_STOP_WAIT_TIME_S"}
    (sweep,) = rs.load(root / "sweeps/s.yaml")
    assert json.loads(submission.metadata["raysurf.sweeps"]) == [
        {"name": "small", "trials": 2, "definition": sweep.digest}
    ]
    assert submission.metadata["raysurf.version"] == "0.1.0"
    assert json.loads(submission.extra[SUBMISSION])["git_commit"] == "abc"


def test_nothing_of_the_environment_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the token, from wherever Ray takes it, nor a key is in any file, variable or field of a submission."""
    secrets = {"RAY_AUTH_TOKEN": "t0ken-of-the-cluster", "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-store"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "token-file").write_text("t0ken-in-a-file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token-file"))
    root = project(tmp_path / "p")
    for name in SECRETS:
        (root / name).write_text(" ".join([*secrets.values(), "t0ken-in-a-file"]))
    submission = plan(root, secrets=secrets_here(os.environ))
    write_zip(submission.folder, submission.extra, tmp_path / "folder.zip")
    with zipfile.ZipFile(tmp_path / "folder.zip") as archive:
        everything = b"".join([name.encode() + archive.read(name) for name in archive.namelist()])
    everything += repr(
        (submission.id, submission.entrypoint, submission.metadata, submission.env_vars, submission.notices)
    ).encode()
    for value in (*secrets.values(), "t0ken-in-a-file"):
        assert value.encode() not in everything


def test_a_secret_within_a_file_is_refused(tmp_path: Path) -> None:
    """A file that holds a secret's value is named, with what holds it, but never the value; short values are words."""
    root = project(tmp_path)
    (root / "nets" / "notes.txt").write_text("export KEY=s3cret-of-the-store\n")
    folder = Folder({"nets/notes.txt": root / "nets" / "notes.txt"})
    with pytest.raises(SubmissionError, match=r"nets/notes.txt, which holds the value of \$STORE_KEY") as caught:
        check_secrets(folder, {"$STORE_KEY": "s3cret-of-the-store"})
    assert "s3cret" not in str(caught.value)
    check_secrets(folder, {"$SHORT_KEY": "export", "$OTHER_KEY": "s3cret-of-another-store"})
    assert secrets_here({"A_KEY": "1b2c3", "PATH": "/bin", "HOME": str(root)}) == {
        "$A_KEY": "1b2c3",
        str(root / ".ray" / "auth_token"): "x",
    }


@pytest.mark.parametrize("name", [*SECRETS, *BY_HAND, *ORDINARY])
def test_names_of_secrets(name: str) -> None:
    """Files that hold secrets are known by name; vocabularies and modules with such words in theirs hold none."""
    assert looks_secret(name) is (name not in ORDINARY)


@pytest.mark.parametrize(
    "head", ["-----BEGIN {}PRIVATE KEY-----", "-----BEGIN RSA {}PRIVATE KEY-----", "PuTTY{}-User-Key-File-3: ssh-rsa"]
)
def test_private_keys_stay_here(head: str, tmp_path: Path) -> None:
    """A file with a private key's head is left out and said to be, and is refused where the job needs it."""
    root = project(tmp_path)
    (root / "nets" / "account.json").write_text(json.dumps({"k": f"{head.format('')}\nMIIE"}))
    submission = plan(root)
    assert "nets/account.json" not in submission.folder.files
    assert "left out, since it looks like a secret: nets/account.json" in submission.notices
    (root / "sweeps" / "parts" / "job.yaml").write_text(
        SWEEP.split("job: ")[1].replace("DATA", "digits") + f"# {head.format('')}"
    )
    with pytest.raises(SubmissionError, match=r"sweeps/parts/job\.yaml, which holds a private key"):
        plan(root)


@pytest.mark.parametrize(
    ("variable", "value"),
    {
        "AWS_ACCESS_KEY_ID": "AKIAXYZ",
        "DB_PASS": "hunter2",
        "GITHUB_PAT": "ghp_ab1",
        "DATABASE_URL": "postgres://me:pw12@h/db",
        "KEY_1": "k1v2",
        "db_password": "swordfish",
    }.items(),
)
def test_values_of_all_variables_that_look_secret_stay_here(variable: str, value: str, tmp_path: Path) -> None:
    """A file with the value is refused, be it short; as part of another word, or as a setting, it is no secret's."""
    root = project(tmp_path)
    (root / "nets" / "notes.txt").write_text(f"password: {value}\n")
    with pytest.raises(SubmissionError, match=rf"notes.txt, which holds the value of \${variable}"):
        plan(root, secrets=secrets_here({variable: value}))
    (root / "nets" / "notes.txt").write_text(f"x{value}x: true, 4096")
    plan(root, secrets=secrets_here({variable: value[:8], "USE_TOKEN": "true", "TOKEN_2": "4096"}))


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    """A link to a file outside of the folder, or to a secret within it, does not travel."""
    root = tmp_path / "p"
    root.mkdir()
    (tmp_path / "outside").write_text("x")
    (root / ".env").write_text("x")
    (root / "plain").write_text("x")
    for name, target in (("out", tmp_path / "outside"), ("env", root / ".env"), ("in", root / "plain")):
        (root / name).symlink_to(target)
    assert set(select(root).files) == {"plain", "in"}


def test_data_travels_or_is_said(tmp_path: Path) -> None:
    """Relative data goes even if git ignores it, absolute data is said to be wanted, and what is not there is told."""
    root = project(tmp_path, "{name: parquet, train: data/train.parquet, test: /shared/test.parquet}")
    (root / "data").mkdir()
    with pytest.raises(SubmissionError, match=r"'data/train\.parquet', which a job reads and which is not there"):
        plan(root)
    (root / "data" / "train.parquet").write_text("rows")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".gitignore").write_text("/data/\n")
    submission = plan(root)
    assert submission.folder.holds("data")
    assert submission.notices[:2] == (
        "read on every node: /shared/test.parquet",
        "travels with the job: data/train.parquet",
    )


def test_a_file_from_elsewhere_brings_its_includes(tmp_path: Path) -> None:
    """A sweep outside the working folder travels with its includes at the same distance and modules beside it."""
    root, other = tmp_path / "p", project(tmp_path / "q")
    root.mkdir()
    base = "{kind: sgd, model: 'oc_beside:net', data: digits, epochs: 1}"
    (other / "sweeps" / "s.yaml").write_text(f"name: small\njob: !include ../job.yaml\nbaselines: [{base}]\n")
    (other / "sweeps" / "parts" / "job.yaml").rename(other / "job.yaml")
    (other / "sweeps" / "oc_beside.py").write_text("def net(num_classes, image_shape): ...\n")
    file = str(other / "sweeps" / "s.yaml")
    submission = submit_plan(file, rs.load(file), str(root / "results"), root, "1a2b", PROVENANCE)
    assert "run _submitted/sweeps/s.yaml" in submission.entrypoint
    assert "_submitted/sweeps/oc_beside.py" in submission.folder.files
    write_zip(submission.folder, submission.extra, tmp_path / "folder.zip")
    with zipfile.ZipFile(tmp_path / "folder.zip") as archive:
        archive.extractall(tmp_path / "there")
    (sweep,) = rs.load(tmp_path / "there" / "_submitted" / "sweeps" / "s.yaml")
    assert sweep.digest == rs.load(file)[0].digest


def test_the_same_folder_is_the_same_zip(tmp_path: Path) -> None:
    """Bytes depend on names and content alone, so that a cluster that has the folder is not sent it again."""
    root = project(tmp_path / "p")
    for name in ("a.zip", "b.zip"):
        submission = plan(root)
        write_zip(submission.folder, submission.extra, tmp_path / name)
        (root / "nets" / "mine.py").touch()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_results_are_where_both_see_them(tmp_path: Path) -> None:
    """Relative results are absolute on this machine and an error elsewhere; keys in an address are refused."""
    assert resolve_results("results", tmp_path, is_here=True) == str(tmp_path / "results")
    for good in ("s3://bucket/r", "/shared/r"):
        assert resolve_results(good, tmp_path, is_here=False) == good
    with pytest.raises(SubmissionError, match=r"got results 'results', a relative path.*expected --results with"):
        resolve_results("results", tmp_path, is_here=False)
    with pytest.raises(SubmissionError, match="expected an address without secrets") as caught:
        resolve_results("s3://AKIA:s3cret@bucket/r", tmp_path, is_here=False)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (
            lambda root: os.truncate(root / "nets/mine.py", 201 << 20),
            (),
            r"got 20\d MiB in .* the largest nets/mine.py \(201",
        ),
        (
            lambda root: os.mknod(os.fsencode(root) + b"/caf\xe9.txt"),
            (),
            r"the file 'caf\\udce9.txt', whose name is no text",
        ),
        (lambda root: os.environ.update(HOME=str(root)), (), "expected a folder of your project"),
        (lambda root: None, ("--results", "x"), "got --results among the options of run"),
        (lambda root: None, ("--address=x",), "got --address=x among"),
        (lambda root: None, ("--x", "s3://a:b@c"), "expected options without secrets"),
    ],
)
def test_what_cannot_be_submitted(
    change: Callable[[Path], None], options: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too much, a name that is no text, all of a home, and options that submit decides itself or that hold secrets."""
    monkeypatch.setenv("HOME", os.environ["HOME"])
    change(project(tmp_path))
    with pytest.raises(SubmissionError, match=said):
        plan(tmp_path, options=options)


def test_jobs_are_read_again(tmp_path: Path) -> None:
    """A job of Ray's tells what was submitted; one that raysurf has not submitted is none."""
    submission = plan(project(tmp_path))
    stated = {
        "type": "SUBMISSION",
        "status": "SUCCEEDED",
        "entrypoint": submission.entrypoint,
        "start_time": 1,
        "end_time": 2,
    }
    job = JobDetails(submission_id=submission.id, metadata=dict(submission.metadata), **stated)
    again = read_job(job)
    assert again is not None
    assert (again.id, again.state, again.has_ended, again.file) == (submission.id, "done", True, "sweeps/s.yaml")
    assert (again.results, again.sweeps[0].name, again.sweeps[0].trials) == (str(tmp_path / "out"), "small", 2)
    assert read_job(JobDetails(submission_id=submission.id, metadata={}, **stated)) is None
    assert read_job(JobDetails(submission_id=submission.id, **stated)) is None
    assert read_job(JobDetails(metadata=dict(submission.metadata), **stated)) is None


def test_this_repository_is_sent_whole() -> None:
    """A clone's own code goes, results package included, and no more than it weighs."""
    file = "sweeps/quickstart.yaml"
    submission = submit_plan(file, rs.load(ROOT / file), "/shared/r", ROOT, "1a2b", PROVENANCE)
    assert {
        "raysurf/store/store.py",
        "sweeps/recipes/digits_sgd.yaml",
        "pyproject.toml",
    } <= submission.folder.files.keys()
    assert submission.folder.size_mib < 20
    assert submission.folder.secret == ()


def test_status_of_an_ended_job_has_nothing_running() -> None:
    """What a stopped job left running waits; of a running one it runs."""
    from raysurf.cli.remote import status_lines
    from raysurf.results.progress import PlannedSweep, SweepProgress

    sweep = PlannedSweep("small", 5, "d")
    for state, counts in (("stopped", "2 done, 0 running, 1 failed"), ("running", "2 done, 1 running, 1 failed")):
        job = Submitted("s-1", state, "s.yaml", "/r", (sweep,), began_ms=0)
        lines = status_lines(job, [SweepProgress("small", 5, Counter(done=2, failed=1, running=1))])
        assert lines[0] == f"s-1  {state} since 1970-01-01 00:00:00 UTC"
        assert lines[-1] == f"small trials: {counts} of 5"
