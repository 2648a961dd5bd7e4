"""Whether W&B lets somebody in: where the key is, whether the server takes it, and what mode follows."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from raysurf.errors import TrackingError

ANSWER_S = 5.0
MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")


def server_address() -> str:
    """The address of the user's W&B server."""
    import wandb

    # Settings() alone would read neither the environment nor the file that wandb login writes.
    return str(wandb.setup().settings.base_url).rstrip("/")


def find_key() -> str | None:
    """W&B's key for its server: from the environment, or from the user's netrc."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    host = urlparse(server_address()).hostname or ""
    places = [os.environ.get("NETRC"), str(Path.home() / ".netrc"), str(Path.home() / "_netrc")]
    for place in places:
        try:
            if place and (entry := netrc.netrc(place).authenticators(host)):
                return entry[2]
        except (OSError, netrc.NetrcParseError):
            continue
    return None


def require_mode() -> None:
    """Check what the environment asks of W&B. An empty ``WANDB_MODE``, which W&B takes for a mode, is taken out of it.

    Raises:
        TrackingError: If ``WANDB_MODE`` is no mode of W&B's.
    """
    wish = os.environ.get("WANDB_MODE", "")
    if not wish:
        os.environ.pop("WANDB_MODE", None)
    elif wish.lower() not in MODES:
        raise TrackingError(f"WANDB_MODE={wish}", f"one of {', '.join(MODES)}, or none")


def resolve_mode(mode: str) -> str:
    """What a wish comes to: online, offline or off. ``auto`` is online if somebody is logged in, else offline.

    Raises:
        TrackingError: If the environment asks for what W&B does not know.
    """
    if mode != "off":
        require_mode()
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "").lower()
    if wish in ("offline", "dryrun"):
        return "offline"
    if wish == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1"):
        return "off"
    return "online" if find_key() else "offline"


def why_not_online(timeout_s: float = ANSWER_S) -> str:
    """Why nothing can be sent to W&B, asked of its server within ``timeout_s``; empty if it can.

    The client itself would wait a minute and a half for a server that is away.
    """
    import requests

    key = find_key()
    if key is None:
        return "nobody is logged in (wandb login)"
    address = server_address()
    try:
        query = {"query": "query Viewer { viewer { id } }"}
        reply = requests.post(f"{address}/graphql", json=query, auth=("api", key), timeout=timeout_s)
        if reply.status_code in (401, 403):
            return f"{address} refuses the key (wandb login --relogin)"
        reply.raise_for_status()
        viewer = (reply.json().get("data") or {}).get("viewer")
    except (requests.RequestException, ValueError) as error:
        return f"{address} does not answer ({type(error).__name__})"
    return "" if viewer else f"{address} refuses the key (wandb login --relogin)"
