"""Text without its secrets: what is written to a table, a log or a screen goes through here first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
# Azure's container and the account of ssh stand where others have a user, and are no secret.
_USER = re.compile(
    r"""(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)
    (?: [^\s/?\#@:'"]* : (?!\d{1,5}/) [^\s@'"]* @      # user:secret@; a secret may hold a slash, a port ends with one
      | (?<!abfs://)(?<!abfss://)(?<!ssh://)(?<!sftp://) [^\s/?\#@:'"]+ @ )""",
    re.VERBOSE,
)
_WORD = "key|key_?id|token|secret|passw(?:or)?d|pwd|signature|sig|credentials?"
_VALUE = r"""[^&\s'",;)]+"""
_QUERY = re.compile(rf"(?P<name>[?&][\w.-]*(?:{_WORD})=){_VALUE}", re.IGNORECASE)
_OPTION = re.compile(rf"(?P<name>(?<!\S)--?[\w-]*(?:{_WORD})(?:=|\s+)){_VALUE}", re.IGNORECASE)
# Names of variables that hold a secret, and the last words of those that only say something about one.
_ABOUT = "COUNT|DIR|ENABLED|EXPIR[A-Z]*|FILE|FILENAME|HOME|LENGTH|LIMIT|MODE|NAME|PATH|SIZE|SOCK|TTL|TYPE|UR[IL]"
_SECRET = (
    r"[A-Z0-9]*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?\d*|(?:[A-Z]*API|ACCESS|PASS|PRIVATE)?KEYS?\d*|"
    r"(?:SSH)?PASS\d*|PAT\d*|AUTH(?:_CONFIG)?(?![A-Z0-9_])|DSN|JWT|(?<=_)PWD|CONN(?:ECTION)?_STR(?:ING)?|"
    r"(?:DATABASE|DB|REDIS|MONGO(?:DB)?|POSTGRES(?:QL)?|MYSQL|AMQP|BROKER|WEBHOOK)_UR[IL]"
)
_NAME = rf"(?![A-Z0-9_]*(?:TOKEN|SECRET|PASS[A-Z]*|KEY|CREDENTIALS?|AUTH)S?_(?:{_ABOUT})\b)"
_NAME = rf"{_NAME}(?:[A-Z][A-Z0-9]*_)*?(?:{_SECRET})(?:_[A-Z0-9]+)*"
_IS_NAME = re.compile(_NAME)
_VARIABLE = re.compile(rf"(?P<name>\b{_NAME}=){_VALUE}")
# As Python and JSON print a mapping, as they are assigned, and with an end that was cut off.
_QUOTED = re.compile(rf"""(?P<name>\b{_NAME}['"]?\s*[:=]\s*b?(?P<quote>['"]))(?:(?!(?P=quote))[^\\]|\\.)+""", re.DOTALL)
_BEARER = re.compile(r"(?P<name>\bBearer\s+)[\w.~+/=-]{8,}")
_FORMS = (_QUERY, _OPTION, _QUOTED, _VARIABLE, _BEARER)
_PASSWORD = re.compile(r"""://[^\s/?\#@:'"]*:(?!\d{1,5}/)(?P<password>[^\s@'"]+)@""")
# What variables of such names are set to as well.
_SETTINGS = ("auto", "basic", "default", "disabled", "enabled", "false", "none", "null", "token", "true")
# Shorter values could be words, and are secrets where they stand by themselves; still shorter ones could be anything.
LONG, SHORTEST = 12, 4


def redact(text: str) -> str:
    """Put stars in the place of every secret that its form gives away, and of this environment's secrets.

    The forms are a user with a password in an address (``s3://id:secret@bucket``); a key, token, secret, password or
    signature in its query (``?secret_key=…``), as an option (``--token …``) or as an environment variable
    (``AWS_SECRET_ACCESS_KEY=…``, ``{'DB_PASS': '…'}``); and a bearer's token. All else stays as it is.
    """
    pattern = _pattern_of_all(tuple(secrets_in(os.environ).values()))
    return _without_forms(text if pattern is None else pattern.sub(MASK, text))


def holds_secret(text: str) -> bool:
    """Whether the form of a text gives away that it holds a secret."""
    return _without_forms(text) != text


def names_secret(variable: str) -> bool:
    """Whether the name of an environment variable is one of those that hold secrets."""
    return _IS_NAME.fullmatch(variable.upper()) is not None


def secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets of an environment, by variable: values of names that look secret, and passwords in addresses."""
    found: dict[str, str] = {}
    for name, value in environ.items():
        if (password := _PASSWORD.search(value)) is not None and not _is_plain(password["password"]):
            found[f"{name} (its password)"] = password["password"]
        if names_secret(name) and not _is_plain(value.strip()):
            found[name] = value.strip()
    return found


@lru_cache(maxsize=256)
def pattern_of(value: str, words: bool = True) -> str:
    """A regular expression that finds a secret's value: as it is, as Python, JSON and addresses write it, or a line.

    Args:
        value: The secret.
        words: Whether a short one of letters alone counts wherever it stands, and not only where a value does, as in
            ``password: swordfish``.
    """
    lines = [line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * LONG]
    forms = {value, *lines, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""), unquote(value)}
    either = "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
    if len(value) >= LONG:
        return f"(?:{either})"
    stands = r"(?<!\w)" if words or not value.isalpha() else r"(?:(?<=[=:'\"])|(?<=[=:] ))"
    return rf"{stands}(?:{either})(?!\w)"


@lru_cache(maxsize=8)
def _pattern_of_all(values: tuple[str, ...]) -> re.Pattern[str] | None:
    by_length = sorted(set(values), key=lambda value: -len(value))
    return re.compile("|".join(map(pattern_of, by_length))) if values else None


def _without_forms(text: str) -> str:
    text = _USER.sub(lambda found: f"{found['scheme']}{MASK}@", text)
    for form in _FORMS:
        text = form.sub(lambda found: f"{found['name']}{MASK}", text)
    return text


def _is_plain(value: str) -> bool:
    """Whether a value is no secret: a setting, a small number, the path of a file, or an address without a password."""
    return (
        len(value) < SHORTEST
        or value.lower() in _SETTINGS
        or (value.isdigit() and len(value) < 6)
        or ("://" in value and not _USER.search(value) and not re.search(r"[?&=]|hooks", value))
        or (os.path.isabs(value) and os.path.exists(value))
    )
