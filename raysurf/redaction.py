"""Text without its secrets: what is written to a table, a log or a screen goes through here first."""

from __future__ import annotations

import re

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
_VARIABLE = re.compile(rf"(?P<name>\b[A-Z][A-Z0-9_]*_(?:KEY|KEY_?ID|TOKEN|SECRET|PASSWORD|PASSWD)=){_VALUE}")
_BEARER = re.compile(r"(?P<name>\bBearer\s+)[\w.~+/=-]{8,}")


def redact(text: str) -> str:
    """Put stars in the place of every secret that its form gives away.

    These are a user with a password in an address (``s3://id:secret@bucket``); a key, token, secret, password or
    signature in its query (``?secret_key=…``), as an option (``--token …``) or as an environment variable
    (``AWS_SECRET_ACCESS_KEY=…``); and a bearer's token. All else stays as it is.
    """
    text = _USER.sub(lambda found: f"{found['scheme']}{MASK}@", text)
    for form in (_QUERY, _OPTION, _VARIABLE, _BEARER):
        text = form.sub(lambda found: f"{found['name']}{MASK}", text)
    return text


def holds_secret(text: str) -> bool:
    """Whether anything in a text would be starred."""
    return redact(text) != text
