"""Secrets are starred wherever their form gives them away; nothing else is touched."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

import raysurf as rs
from raysurf.errors import ClusterError, RaysurfError, ResourceError, SpecError, StoreError, SubmissionError
from raysurf.jobs.parse import parse_job
from raysurf.jobs.provenance import SUBMISSION, collect
from raysurf.redaction import MASK, holds_secret, names_secret, redact
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd

SECRET = "wJalrXUtnFEMI"
URI = f"s3://AKIA:{SECRET}@b/x"
# In two parts, so that this file is none that has a key.
KEY = " ".join(("PRIVATE", "KEY"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"raysurf run x.yaml --results s3://AKIA:{SECRET}@bucket/r", "raysurf run x.yaml --results s3://***@bucket/r"),
        (f"s3://AKIA:{SECRET}/K7+d=@bucket/r?scheme=http", "s3://***@bucket/r?scheme=http"),
        (f"https://{SECRET}@host:8265/", "https://***@host:8265/"),
        (f"s3://b/r?access_key=A&secret_key={SECRET}&region=eu", "s3://b/r?access_key=***&secret_key=***&region=eu"),
        (f"http://h:1/?X-Amz-Signature={SECRET}", "http://h:1/?X-Amz-Signature=***"),
        (f"ray://h:10001?token={SECRET}", "ray://h:10001?token=***"),
        (f"run --token {SECRET} --api-key={SECRET} x.yaml", "run --token *** --api-key=*** x.yaml"),
        (f"env AWS_SECRET_ACCESS_KEY={SECRET} API_KEY={SECRET} run", "env AWS_SECRET_ACCESS_KEY=*** API_KEY=*** run"),
        (f"headers: {{'Authorization': 'Bearer {SECRET}'}}", "headers: {'Authorization': 'Bearer ***'}"),
        (
            f"-----BEGIN RSA {KEY}-----\nMIIEvQ\n{SECRET}\n-----END RSA {KEY}-----\nin it",
            f"-----BEGIN RSA {KEY}-----***-----END RSA {KEY}-----\nin it",
        ),
    ],
)
def test_secrets_are_starred(text: str, kept: str) -> None:
    """An address's user, keys in queries, options and variables, and bearers' tokens are; the rest is readable."""
    assert redact(text) == kept
    assert redact(kept) == kept
    assert holds_secret(text)
    assert SECRET not in kept


@pytest.mark.parametrize(
    "text",
    [
        "raysurf run sweeps/quickstart.yaml --address ray://head:10001 --results s3://bucket/results@v2",
        "http://127.0.0.1:8265/x@y",
        "abfs://container@account.dfs.core.windows.net/results",
        "ssh://git@host/repository",
        "best = max(rows, key=lambda row: row['value'])",
        "run --only arm=keyed=3 --retry-failed",
        "write to somebody@example.org",
    ],
)
def test_all_else_stays(text: str) -> None:
    """Ports, containers, Python's keywords and mail addresses are no secrets."""
    assert redact(text) == text


@pytest.mark.parametrize("error", [StoreError, ClusterError, ResourceError, SubmissionError])
def test_errors_tell_no_secret(error: type[RaysurfError]) -> None:
    """Neither the address nor what was got is told with its secret."""
    texts = [f"s3://A:{SECRET}@b", f"s3://b?secret_key={SECRET}"]
    said = error(texts[1], "one") if error in (ResourceError, SubmissionError) else error(*texts, "another")
    assert SECRET not in str(said) + repr(said)


def test_the_command_in_tables_has_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose command line held keys leaves a store in which they stand nowhere, whatever file one looks at."""
    command = ["run", "x.yaml", "--address", f"ray://u:{SECRET}@h", "--x", f"s3://b?secret_key={SECRET}"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/raysurf", *command])
    rs.run(rs.Sweep(tiny_sgd(epochs=1, lr=1e9), name="bad"), str(tmp_path), executor="inline")
    (row,) = rs.results.open(str(tmp_path)).table("runs").to_pylist()
    assert row["command"].startswith("raysurf run x.yaml --address ray://***@h --x ")
    assert "s3://b?secret_key=***" in row["command"]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "wJalr/XUtn+FEMI=K7MDENG",
    "DB_PASS": "hunter2",
    "GITHUB_PAT": "ghp_0a1b",
    "DATABASE_URL": "postgres://me:pw%4012@db/x",
    "KEY_1": "two\"quotes'\\and\na line",
    "API_CREDENTIAL": "swordfish",
    "SENTRY_DSN": "https://abc123@sentry/1",
}


def test_long_texts_take_no_time() -> None:
    """Texts of the parts of names, addresses and options, as of a store of others; the whole took minutes."""
    parts = ("KEY_", "SECRET_", "TOKEN", "A_", "x://", "x://a:", "--key", "?key-", "a+", "KEY='\\", "a.", "Bearer ")
    for part in parts:
        assert len(redact(part * 20_000)) >= 20_000


WRITTEN: dict[str, Callable[[str], str]] = {
    "twice": lambda value: repr(repr(value)),
    "bytes": lambda value: repr(value.encode()),
    "JSON in JSON": lambda value: json.dumps(json.dumps({"a": value})),
    "ASCII": ascii,
    "quoted": quote,
    "quoted as a form": quote_plus,
    "quoted in small letters": lambda value: quote(value, safe="").replace("%2F", "%2f"),
    "after a line": lambda value: repr(f"said:\n{value}"),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("value", ["wJalr/XUtn+FEMI=K7MDENGb", "geheimes wörtchen\nzwei", "hunter2", "pa/ss w"])
def test_a_value_is_found_however_it_is_written(value: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python, JSON and addresses write it, once more within a text that is itself written so."""
    monkeypatch.setenv("LDAP_BIND_PW", value)
    said = redact(f"got {WRITTEN[name](value)}; more")
    assert MASK in said
    assert said.endswith("; more")


@pytest.mark.parametrize("before", ["", "u", "me", "joe:"])
def test_a_value_is_found_in_base64(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is starred in base64 too, at whichever of the three offsets it begins."""
    monkeypatch.setenv("KUBE_TOKEN", SECRET)
    encoded = b64encode(f"{before}{SECRET}:x".encode()).decode()
    said = redact(f"body {encoded} end")
    assert MASK in said
    assert SECRET[1:-1] not in str(b64decode(said.split()[1].partition(MASK)[0] + "=="))


NAMES = ["SESSION_COOKIE", "AZURE_STORAGE_SAS", "LDAP_BIND_PW", "DJANGO_SECRETKEY", "TS_AUTHKEY", "AWS_CREDS", "_TOKEN"]
OTHERS = ["MONKEY_BARS", "KEYBOARD", "PWD", "TOKEN_COUNT", "COOKIE_PATH", "PATH", "AUTHOR"]


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_names_of_secrets(name: str) -> None:
    """Values of names that say token, key or password are starred, and those of names that only look alike are not."""
    is_secret = name not in OTHERS
    assert names_secret(name) is is_secret
    assert redact(f"- name: x\n  {name}: {SECRET}\n") == f"- name: x\n  {name}: {MASK if is_secret else SECRET}\n"


@pytest.mark.parametrize("written", [repr, json.dumps, lambda env: "\n".join(f"{k}={v}" for k, v in env.items())])
def test_an_environment_in_a_text_is_starred(
    written: Callable[[dict[str, str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of variables whose names look secret are, as this process has them or as they are printed; no others."""
    others = {"HOME": "/home/me", "TOKENIZERS_PARALLELISM": "false", "PWD": "/home/me/x", "TOKEN_LIMIT": "123456"}
    if written is repr or written is json.dumps:
        said = redact(written({**PLANTED, **others}))
        assert all(value not in said for value in ("hunter2", "ghp_0a1b", "swordfish", "pw%4012", "abc123", "quotes"))
        assert all(value in said for value in others.values())
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    said = redact(written({**PLANTED, **others}) + f" and swordfish, {PLANTED['GITHUB_PAT']!r}, pw@12")
    assert all(value not in said for value in (*PLANTED.values(), "quotes", "pw@12"))
    assert all(value in said for value in others.values())
    assert redact("hunter22 is no word of it, nor is xswordfish") == "hunter22 is no word of it, nor is xswordfish"


def test_an_exception_that_prints_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tables, W&B's files nor what is told have the values, those of the failing process itself included."""
    from raysurf.cluster.listeners import WandbListener
    from tests.support.flaky import linear
    from tests.support.wandb_records import read_all

    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OF_WORKER_TOKEN", "")
    heard: list[Any] = []
    sweep = rs.Sweep(linear(fault="environment"), name="leaky")
    with WandbListener(Store(str(tmp_path)), "offline", heard.append) as wandb:

        def hear(event: Any) -> None:
            heard.append(event)
            wandb(event)

        rs.run(sweep, str(tmp_path), executor="inline", listener=hear)
    tables = rs.results.open(str(tmp_path))
    rows = [row for name in ("runs", "trials") for row in tables.table(name).to_pylist()]
    assert len(rows) == 2
    assert all("and ***" in row["error"] for row in rows)
    (run,) = read_all(tmp_path, ended=1).values()
    assert "and ***" in run.summary["error"]
    files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()).decode(errors="replace")
    for value in (*PLANTED.values(), "w0rker"):
        assert value not in f"{rows}{heard}{run}{files}"
        assert repr(value)[1:-1] not in f"{rows}{heard}{run}{files}"


@pytest.mark.parametrize("field", ["root", "train", "test"])
def test_a_spec_with_a_secret_is_refused(field: str) -> None:
    """Jobs stand in tables and in W&B's config as they are, so that no address in them may have a secret."""
    tree = {"kind": "sgd", "model": "digits_conv", "epochs": 1, "lr": 0.1, "data": {"name": "parquet", field: URI}}
    with pytest.raises(SpecError, match=rf"the secret in {field}: s3://\*\*\*@b/x; expected an address without it"):
        parse_job(tree)
    tree = {"kind": "weights", "model": "digits_conv", "data": "digits", "file": URI}
    with pytest.raises(SpecError, match="address without secrets"):
        parse_job(tree)


def test_a_submitted_job_knows_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of a submission, which is in no git, commit and version are those of where it came from."""
    monkeypatch.chdir(tmp_path)
    assert collect().git_commit is None
    (tmp_path / SUBMISSION).write_text('{"git_commit": "abc", "git_dirty": true, "versions": {"raysurf": "9.9"}}')
    provenance = collect()
    assert (provenance.git_commit, provenance.git_dirty, provenance.versions["raysurf"]) == ("abc", True, "9.9")
    assert "torch" in provenance.versions
    assert provenance.as_handed_over() == {"git_commit": "abc", "git_dirty": True, "versions": {"raysurf": "9.9"}}
