"""What of the working folder travels to a cluster: its files, but no results, no caches, and nothing that is secret."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import stat
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysurf.errors import SubmissionError
from raysurf.redaction import pattern_of, secrets_in

# At the top of the folder only, since raysurf has a package called results.
TOP_FOLDERS = ("results", "wandb", "dist", "build")
# fmt: off
FOLDERS = (
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "*.egg-info", ".tox", ".nox", ".cache",
    ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints", ".idea", ".vscode",
)
SECRET_FOLDERS = (
    ".ssh", ".aws", ".azure", ".config", ".docker", ".gnupg", ".huggingface", ".kube", ".oci", ".ray",
)
SECRET_FILES = (
    ".env", ".env.*", "*.env", ".envrc", "auth_token", "*.token", "_netrc", ".pypirc", ".npmrc", ".pgpass", "*.pem",
    "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.gpg", "*.asc", "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", ".git-credentials", ".htpasswd", "kubeconfig", "credentials", "*credentials*.json",
    "credentials.y*ml", "credentials.toml", "credentials.ini", "service[-_]account*.json", "secret.*", "secrets.*",
    "*credentials*.csv", "rootkey.csv", "*accesskeys.csv", "kaggle.json", "client_secret*.json", "*.ppk", "*.p8",
    "token", "token.json", "token.txt", "stored_tokens", ".vault-token", ".vault_pass*", ".comet.config", "secret",
    "secrets", "password", "passwords", "*[-_]credentials", "hf[-_]token*", "*api[-_]key.txt", "apikey*.txt",
    "wandb[-_]*key*", ".env~", ".netrc*", "auth.json", "password.*", "passwords.*", "api_key.*", "api_keys.*",
    "env.local", "env.prod*", "env.dev*", ".s3cfg", ".boto", "rclone.conf", ".databrickscfg", ".dockercfg", ".my.cnf",
    "*.tfstate", "*.tfstate.*", "*.tfvars", ".*_history", ".*_hist",
)
# fmt: on
# Code is no secret whatever its name is: what it holds is looked at all the same.
CODE = ("*.py", "*.pyi")
# The head of a private key as PEM, OpenSSH, PGP, ssh.com and PuTTY write it.
PRIVATE_KEY = re.compile(rb"---- ?BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY|PuTTY-User-Key-File-\d:")
LIMIT_MIB = 200
MIB = 2**20


@dataclass(frozen=True)
class Folder:
    """What travels.

    Args:
        files: Where each lies here, by its path in the folder on the cluster.
        secret: Paths that were left out since they look like secrets.
    """

    files: Mapping[str, Path]
    secret: tuple[str, ...] = ()

    @property
    def size_mib(self) -> float:
        """All files together."""
        return sum(path.stat().st_size for path in self.files.values()) / MIB

    def holds(self, path: str) -> bool:
        """Whether a file, or a file under a folder, travels."""
        at = os.path.normpath(path)
        return at in self.files or any(name.startswith(f"{at}/") for name in self.files)


def looks_secret(path: str) -> bool:
    """Whether a path within the folder has the name of a file that holds secrets, or lies in such a folder."""
    *folders, name = path.split("/")
    return (_any(name, SECRET_FILES) and not _any(name, CODE)) or any(
        _any(folder, SECRET_FOLDERS) for folder in folders
    )


def select(folder: Path, needed: Iterable[Path] = (), left_out: Iterable[Path] = ()) -> Folder:
    """Decide which files of a folder travel.

    In a git work tree they are those that git does not ignore, else all; but no results, caches, environments, links
    that lead out of it, and nothing that has the name of a secret.

    Args:
        folder: The working folder.
        needed: Files and folders within it that travel although git may ignore them.
        left_out: Files and folders within it that do not, such as its results.

    Raises:
        SubmissionError: If a needed file has the name of a secret, or a name is no text.
    """
    root = folder.resolve()
    out = [path.resolve() for path in left_out]
    wanted = dict.fromkeys(file.resolve().relative_to(root).as_posix() for path in needed for file in _under(path))
    if (wrong := next(filter(looks_secret, wanted), None)) is not None:
        raise SubmissionError(f"{wrong}, named as files that hold secrets are", "a file of another name")
    files: dict[str, Path] = {}
    secret: list[str] = []
    for name in sorted({*_listed(root), *wanted}):
        path = root / name
        if name not in wanted and (_is_excluded(name) or any(path.is_relative_to(excluded) for excluded in out)):
            continue
        if looks_secret(name):
            secret.append(name)
        elif path.is_file() and (target := path.resolve()).is_relative_to(root):
            if looks_secret(target.relative_to(root).as_posix()):
                secret.append(name)
            elif not name.isascii() and os.fsencode(name).decode(errors="replace") != name:
                raise SubmissionError(f"the file {name!r}, whose name is no text", "another name, or it in .gitignore")
            else:
                files[name] = path
    return Folder(files, tuple(secret))


def without_private_keys(folder: Folder, needed: Iterable[str] = ()) -> Folder:
    """Leave out files that contain the header of a private key.

    Raises:
        SubmissionError: If a needed file has one.
    """
    with_keys = [name for name, path in folder.files.items() if PRIVATE_KEY.search(path.read_bytes())]
    if (wrong := next((name for name in with_keys if name in set(needed)), None)) is not None:
        raise SubmissionError(f"{wrong}, which holds a private key", "a file without it")
    kept = {name: path for name, path in folder.files.items() if name not in with_keys}
    return Folder(kept, tuple(sorted({*folder.secret, *with_keys})))


def check_secrets(folder: Folder, secrets: Mapping[str, str]) -> None:
    """Check that no file that travels holds a secret of this environment.

    Raises:
        SubmissionError: Naming the first file that does, and what else holds the secret.
    """
    patterns = {name: re.compile(pattern_of(value, words=False).encode()) for name, value in secrets.items()}
    for name, path in folder.files.items():
        data = path.read_bytes() if patterns else b""
        for holder, pattern in patterns.items():
            if pattern.search(data):
                raise SubmissionError(
                    f"{name}, which holds the value of {holder}",
                    "files without secrets (take it out of the file, or list the file in .gitignore)",
                )


def secrets_here(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets of an environment by what holds them: its variables, and the file of Ray's token."""
    secrets = {f"${name}": value for name, value in secrets_in(environ).items()}
    place = environ.get("RAY_AUTH_TOKEN_PATH") or os.path.join(environ.get("HOME", ""), ".ray", "auth_token")
    try:
        token = Path(place).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return secrets
    return secrets | ({place: token} if token else {})


def check_size(folder: Folder) -> None:
    """Check that the folder is not too large to be handed to a cluster.

    Raises:
        SubmissionError: Naming its largest files.
    """
    if (size := folder.size_mib) > LIMIT_MIB:
        largest = sorted(folder.files, key=lambda name: -folder.files[name].stat().st_size)[:3]
        shown = ", ".join(f"{name} ({folder.files[name].stat().st_size / MIB:.0f} MiB)" for name in largest)
        raise SubmissionError(
            f"{size:.0f} MiB in {len(folder.files)} files, the largest {shown}",
            f"at most {LIMIT_MIB} MiB (list what is not needed in .gitignore; put data on a disk or in a bucket that "
            "every node sees, and name it by its absolute path)",
        )


def write_zip(folder: Folder, extra: Mapping[str, bytes], target: Path) -> None:
    """Write the folder and extra files as a zip file, the same bytes for the same content."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name in sorted({*folder.files, *extra}):
            data = extra[name] if name in extra else folder.files[name].read_bytes()
            mode = 0o644 if name in extra else stat.S_IMODE(folder.files[name].stat().st_mode) & 0o755 | 0o600
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name.lower(), pattern) for pattern in patterns)


def _is_excluded(name: str) -> bool:
    folders = name.split("/")[:-1]
    return any(_any(folder, FOLDERS) for folder in folders) or (bool(folders) and folders[0] in TOP_FOLDERS)


def _under(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
    else:
        yield path


def _listed(root: Path) -> Iterator[str]:
    """Files that may travel, as git knows them, or all that lie in no excluded folder."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
        return (os.fsdecode(name) for name in listed.split(b"\0") if name)
    return _walked(root)


def _walked(root: Path) -> Iterator[str]:
    for place, folders, names in os.walk(root):
        at = Path(place).relative_to(root)
        folders[:] = [folder for folder in folders if not _is_excluded((at / folder / "_").as_posix())]
        yield from ((at / name).as_posix() for name in names)
