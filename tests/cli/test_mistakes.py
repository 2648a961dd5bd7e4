"""Mistakes of every command: exit code 2, one message on stderr that says what was got and what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf
from tests.support.failed_runs import USERS, FailedStore
from tests.support.large_sweep import SWEEP, large_sweep
from tests.support.measured_rows import along, points, run, run_id, store
from tests.support.noisy_runs import DROPOUT, NoisyStore, schemes
from tests.support.stores import epoch
from tests.support.trial_rows import write

AVERAGE = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1)
CURVE = run_id("profile", 7)
SMALL = """
name: small
job:
  kind: swa
  start: {kind: sgd, model: {name: digits_conv, options: {width: 4}}, data: digits, epochs: 2, lr: 0.05}
  schedule: {kind: cyclic, high: 0.1, low: 0.01}
  epochs: 8
  cycle_epochs: !int [1, 3]
search: {metric: validation/nll, trials: 2, seed: 0}
"""
NO_STORE = "expected a store that a sweep has written"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of sweeps ``s`` (failed), ``noisy``, ``study`` (a profile), ``large``, and none; and some files."""
    root = tmp_path_factory.mktemp("mistakes")
    failed = FailedStore(root / "results")
    failed.run(AVERAGE, USERS, trial=4)
    failed.trial(4, AVERAGE, error=USERS)
    write(root / "results", "s", 5, {}, run_ids=["sgd-5"])
    NoisyStore(root / "noisy").run(DROPOUT, schemes(0.9, 0.9, 0.9))
    profile = run(CURVE, {"kind": "profile", "along": {"kind": "curve"}})
    store(root / "study", [profile], points(CURVE, "curve", along(5, 3.0), lambda place: 1.0))
    large_sweep(root / "large", trials=1, epochs=1, nodes=2, planes=0)
    write_rows(Store(str(root / "epochs")), "epochs", "a", [epoch("a", test_nll=0.123456)])
    Store(str(root / "newer")).put_json("version.json", {"version": 99})
    (root / "empty").mkdir()
    (root / "notes").mkdir()
    for name, text in {
        "notes/a.txt": "x",
        "small.yaml": SMALL,
        "words.yaml": SMALL.replace("epochs: 2", "epochs: nine"),
        "model.yaml": SMALL.replace("digits_conv", "digit_conv"),
        "workers.yaml": SMALL + "resources: {workers: 300}\n",
        "rate.yaml": SMALL.replace("high: 0.1", "high: -0.1"),
        "plain.yaml": "{kind: predict, weights: {kind: weights, file: a.pt, model: lenet5, data: digits}}",
    }.items():
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("chekc", "No such command 'chekc'"),
        ("help nothing-like-it", "error: unknown topic: got 'nothing-like-it'"),
        ("help swaa", "did you mean 'SWA'"),
        ("help epoch", "did you mean 'epochs'"),
        ("help reprot", "did you mean 'report'"),
        # Sweep files.
        ("check nope.yaml", "nope.yaml: No such file"),
        ("submit nope.yaml", "nope.yaml: No such file"),
        *((f"{verb} words.yaml", "start.epochs: got 'nine'; expected a valid integer") for verb in ("check", "run")),
        *((f"{verb} model.yaml", "did you mean 'digits_conv'") for verb in ("check", "run")),
        ("run workers.yaml --results new", "asks for 300 worker(s)"),
        ("run small.yaml --results small.yaml", "which is a file"),
        ("run small.yaml --results gopher://x", "a folder, or an address"),
        ("run small.yaml --only arm=nope", "only: got arm=nope; expected what fits a configuration"),
        # Tables and comparisons.
        ("table", "got no NAME, --sql or --params; give one of them, such as: raysurf table runs"),
        ("table epoch", "unknown table: got 'epoch'; expected one of runs, trials"),
        ("table runs --results nowhere", NO_STORE),
        ("table --sql 'select 1' --where 'a = 1'", "--where and --columns are for a NAME; got them with --sql"),
        ("table epochs --columns ls", "no column 'ls' in epochs; expected one of run_id, epoch"),
        ("export runs --sql 'select 1'", "got a NAME and --sql; give one of them"),
        ("export --params x --results epochs", "unknown sweep: got 'x'; expected one of none yet"),
        ("export epochs -o epochs.xlsx", "got 'epochs.xlsx'; expected a file in .csv, .json, .parquet, .tex"),
        ("export epochs -o nowhere/a.csv", "nowhere/a.csv: No such file or directory; expected"),
        ("export epochs --format csv -o notes", "notes: Is a directory; expected a file"),
        ("best x --results epochs", "unknown sweep: got 'x'; expected one of none yet"),
        ("compare scheme", "'scheme' is not one of 'parameterizations', 'schemes', 'budgets'"),
        ("compare", "got no table; expected one of parameterizations, schemes, budgets, or --by parameterization"),
        ("compare schemes --by budget", "got both schemes and --by budget; give one of them"),
        ("compare schemes --sweep nosy --results noisy", "got 'nosy'; expected one of noisy (did you mean 'noisy'?)"),
        ("compare parameterizations --results noisy", "got no finished run with a place in parameterizations, of 1"),
        ("compare schemes --results nowhere", NO_STORE),
        # Pictures.
        ("plot profile small.yaml", "a file is for schedule"),
        ("plot schedule", "no epochs of training"),
        ("plot schedule nope.yaml", "nope.yaml: No such file"),
        ("plot schedule rate.yaml", "rate.yaml:6: job.schedule.high: got -0.1; expected greater than 0"),
        ("plot schedule plain.yaml", "plain.yaml:0: job: got no training job"),
        ("plot schedule small.yaml --sweep smal", "did you mean 'small'"),
        ("plot schedule small.yaml --run a", "a file is for schedule, without --run"),
        ("plot schedule small.yaml -o a.eps", "expected a name that ends in .png, .svg, .pdf, .html"),
        ("plot profiles", "'profiles' is not one of"),
        ("plot profile --sweep studdy --results study", "did you mean 'study'"),
        ("plot profile --run nope --results study", f"expected one profile run of {CURVE}"),
        ("plot profile -o a.eps --results study", "expected a name that ends in .png, .svg, .pdf, .html"),
        ("plot profile --results nowhere", NO_STORE),
        ("plot plane --results study", "no measured points of a plane run"),
        ("plot plane --x t --results study", "--x is for profile and path"),
        ("plot schemes --x distance --results study", "--x is for profile and path"),
        ("plot schemes --results study", "no predictions of an ensemble"),
        ("plot activations --sweep study --results study", "no activations of a noise run in study"),
        ("plot toy --run profile-0007 --results study", "no measured run 'profile-0007'; expected one regions run"),
        ("report", "Missing argument"),
        ("report larg --results large", "expected one of large (did you mean 'large'?)"),
        (f"report {SWEEP} nothing --results large", "unknown sweep: got 'nothing'"),
        (f"report {SWEEP} -o a.pdf --results large", "expected a name that ends in .html"),
        (f"report {SWEEP} --results nowhere", NO_STORE),
        # Runs and trials.
        ("why t", "unknown sweep: got 't'; expected one of s"),
        ("logs t/4", "unknown sweep: got 't'; expected one of s"),
        ("logs s/6", "unknown trial of s: got '6'; expected one of 4 to 5"),
        ("logs s/x", "unknown trial of s: got 'x'"),
        ('logs "s\'/4"', "unknown sweep"),
        ("logs sgd-0123456789abcdef", f"expected one of {AVERAGE.id}"),
        ("logs small-1 --address http://127.0.0.1:9", "no answer"),
        ("logs s/4 --results nowhere", "no tables"),
        ("logs s/4 --follow", "--follow"),
        ("list --address http://u:s3cret@127.0.0.1:9", "cluster http://***@127.0.0.1:9: got no answer"),
        ("status x --address gopher://x", "got an address of kind gopher; expected the dashboard"),
        ("status --results empty", "error: results 'empty': got no tables; expected a store"),
        ("status --results notes", "error: results 'notes': got no tables; expected a store"),
        ("status --results small.yaml", "error: results 'small.yaml': got no tables; expected a store"),
        ("status --watch --results notes", "error: results 'notes': got no tables; expected a store"),
        ("status --watch --results small.yaml", "error: results 'small.yaml': got no tables; expected a store"),
        # The store.
        ("rm", "Missing argument 'SWEEP'"),
        ("rm third --results noisy", "unknown sweep: got 'third'; expected one of noisy"),
        ("rm nosy --dry-run --results noisy", "did you mean 'noisy'?"),
        ("rm first --results small.yaml", NO_STORE),
        ("rm s --results newer", "got version.json of version 99"),
        ("compact --sweep third", "unknown sweep: got 'third'"),
        ("compact --table run", "unknown table: got 'run'"),
        ("compact --grace -1", "-1.0 is not in the range x>=0.0"),
        *((f"{verb} --results nowhere", NO_STORE) for verb in ("compact", "du", "fsck")),
        *((f"{verb} --results newer", "got version.json of version 99") for verb in ("compact", "du", "fsck")),
    ],
)
def test_mistake_is_told_and_changes_nothing(
    command: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is on stdout, no traceback on stderr, and every file is as it was."""
    monkeypatch.chdir(folder)
    before = files(folder)
    done = raysurf(command)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not done.err.startswith("error: ") or done.err.count("\n") == 1
    assert files(folder) == before


def files(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder, and in its files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
