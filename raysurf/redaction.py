"""Redaction of secrets in the text of tables, logs and terminals."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
# Repetitions have bounds where they could begin at many places of a text, so that hostile texts take no time.
# Azure's container and the account of ssh stand where others have a user, and are no secret.
_USER = re.compile(
    r"""(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,40}://)
    (?: [^\s/?\#@:'"]* : (?!\d{1,5}/) [^\s@'"]{0,2000} @     # user:secret@; a secret may hold a slash, a port ends so
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
    r"[A-Z0-9]*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|COOKIE)S?\d*|CREDS?|SAS|"
    r"(?:[A-Z]*API|ACCESS|AUTH|PASS|PRIVATE|SECRET)?KEYS?\d*|(?:SSH)?PASS\d*|PAT\d*|AUTH(?:_CONFIG)?(?![A-Z0-9_])|"
    r"DSN|JWT|BEARER|(?<=_)PWD?|CONN(?:ECTION)?_STR(?:ING)?|WEBHOOK|"
    r"(?:DATABASE|DB|REDIS|MONGO(?:DB)?|POSTGRES(?:QL)?|MYSQL|AMQP|BROKER|WEBHOOK)_UR[IL]"
)
_IS_NAME = re.compile(rf"(?:^|_)(?:{_SECRET})(?=_|$)")
_IS_ABOUT = re.compile(rf"(?:TOKEN|SECRET|PASS[A-Z]*|KEY|CREDENTIAL|COOKIE|AUTH)S?_(?:{_ABOUT})$")
LONGEST_NAME = 128
# As shells and YAML write a variable; as Python and JSON print a mapping, as it is assigned, and with an end cut off.
_VARIABLE = re.compile(rf"(?P<name>\b(?P<variable>[A-Z_][A-Z0-9_]*+)(?:=|:[ ]+)){_VALUE}")
_QUOTED = re.compile(
    r"""(?P<name>\b(?P<variable>[A-Z_][A-Z0-9_]*+)['"]?\s{0,9}[:=]\s{0,9}b?(?P<quote>['"]))"""
    r"""(?:(?!(?P=quote))[^\\]|\\.)++""",
    re.DOTALL,
)
_PEM = re.compile(r"(?P<name>-----BEGIN (?:[A-Z0-9]{1,20} ){0,5}PRIVATE KEY-----).+?(?=-----END|\Z)", re.DOTALL)
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_FORMS = (_PEM, _QUERY, _OPTION, _QUOTED, _VARIABLE, _BEARER)
_PASSWORD = re.compile(r"""://[^\s/?\#@:'"]*:(?!\d{1,5}/)(?P<password>[^\s@'"]+)@""")
# What variables of such names are set to as well.
_SETTINGS = ("auto", "basic", "default", "disabled", "enabled", "false", "none", "null", "token", "true")
# Shorter values could be words, and are secrets where they stand by themselves; still shorter ones could be anything.
LONG, SHORTEST = 12, 4


def redact(text: str) -> str:
    """Mask secrets with stars: those recognised by their form, and the values of this environment's secrets.

    The forms are a user with a password in an address (``s3://id:secret@bucket``); a key, token, secret, password or
    signature in its query (``?secret_key=…``), as an option (``--token …``) or as an environment variable
    (``AWS_SECRET_ACCESS_KEY=…``, ``{'DB_PASS': '…'}``); a bearer token; and a private key. All else stays as it is.
    """
    pattern = _pattern_of_all(tuple(secrets_in(os.environ).values()))
    return _without_forms(text if pattern is None else pattern.sub(MASK, text))


def holds_secret(text: str) -> bool:
    """Whether a text contains a secret that is recognised by its form."""
    return _without_forms(text) != text


def names_secret(variable: str) -> bool:
    """Whether the name of an environment variable suggests a secret."""
    name = variable.upper()
    return len(name) <= LONGEST_NAME and _IS_ABOUT.search(name) is None and _IS_NAME.search(name) is not None


def secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets of an environment, by variable: values of names that look secret, and passwords in addresses."""
    secrets: dict[str, str] = {}
    for name, value in environ.items():
        if (password := _PASSWORD.search(value)) is not None and not _is_plain(password["password"]):
            secrets[f"{name} (its password)"] = password["password"]
        if names_secret(name) and not _is_plain(value.strip()):
            secrets[name] = value.strip()
    return secrets


@lru_cache(maxsize=256)
def pattern_of(value: str, words: bool = True) -> str:
    """A regular expression for a secret's value: as it is, as Python, JSON and URLs write it, or one of its lines.

    A long one is found in base64 too, wherever it begins within what was encoded.

    Args:
        value: The secret.
        words: Whether a short one of letters alone matches everywhere, not only in place of a value, as in
            ``password: swordfish``.
    """
    lines = [line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * LONG]
    printed = {repr(value), repr(value.encode(errors="replace"))[1:], ascii(value), json.dumps(value)}
    forms = {value, *lines, unquote(value), *(form[1:-1] for form in printed)}
    # A mapping that was printed, and then printed as a text.
    forms |= {repr(form)[1:-1] for form in forms} | {json.dumps(form)[1:-1] for form in forms}
    forms |= set(_base64(value)) if len(value) >= LONG else set()
    written = [re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form))]
    quoted = {
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        quote_plus(value, errors="replace"),
    }
    written += [f"(?i:{re.escape(form)})" for form in sorted(quoted - {value})]
    either = "|".join(written)
    if len(value) >= LONG:
        return f"(?:{either})"
    # What stands before it may be written as ``%3A`` or ``\n``.
    stands = (
        r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
        if words or not value.isalpha()
        else r"(?:(?<=[=:'\"])|(?<=[=:] ))"
    )
    return rf"{stands}(?:{either})(?!\w)"


def _base64(value: str) -> Iterator[str]:
    """Base64 characters that a text is sure to have at each of the three alignments."""
    data = value.encode(errors="replace")
    for before in range(3):
        sure = slice(-(-before * 8 // 6), (before + len(data)) * 8 // 6)
        yield base64.b64encode(bytes(before) + data)[sure].decode()
        yield base64.urlsafe_b64encode(bytes(before) + data)[sure].decode()


@lru_cache(maxsize=8)
def _pattern_of_all(values: tuple[str, ...]) -> re.Pattern[str] | None:
    by_length = sorted(set(values), key=lambda value: -len(value))
    return re.compile("|".join(map(pattern_of, by_length))) if values else None


def _without_forms(text: str) -> str:
    text = _USER.sub(lambda match: f"{match['scheme']}{MASK}@", text)
    for form in _FORMS:
        text = form.sub(_starred, text)
    return text


def _starred(match: re.Match[str]) -> str:
    variable = match.groupdict().get("variable")
    return match[0] if variable is not None and not names_secret(variable) else f"{match['name']}{MASK}"


def _is_plain(value: str) -> bool:
    """Whether a value is no secret: a setting, a small number, the path of a file, or an address without a password."""
    return (
        len(value) < SHORTEST
        or value.lower() in _SETTINGS
        or (value.isdigit() and len(value) < 6)
        or ("://" in value and not _USER.search(value) and not re.search(r"[?&=]|hooks", value))
        or (os.path.isabs(value) and os.path.exists(value))
    )
