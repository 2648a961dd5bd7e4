"""A W&B server on this machine, in a thread: it answers what the client asks, and keeps all that arrives."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4
ENTITY = "tester"
FILE_STREAM = re.compile(r"/files/[^/]+/[^/]+/([^/]+)/file_stream")


class WandbServer:
    """Answers W&B's API on 127.0.0.1 until the end of its block.

    Args:
        key: The one that it lets in.

    Attributes:
        runs: What was last said of each run, by its id.
        operations: Names of GraphQL operations, in the order in which they came.
        unknown: Those that it had no answer for.
        sweeps: Native sweeps, in the order in which they were made.
        artifacts: Artifacts by name, as they were declared.
        used: Runs, and the artifacts that they said to be made from.
        views: Workspaces and reports, by id; ``spec`` is read.
        uploads: Uploaded files, by path.
    """

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.runs: dict[str, dict[str, Any]] = {}
        self.operations: list[str] = []
        self.unknown: list[str] = []
        self.sweeps: list[dict[str, Any]] = []
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.used: list[tuple[str, str]] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self._streams: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        # The client drops connections that it keeps open.
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send W&B's client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.key, "WANDB_MODE": "online"}

    def history(self, run: str) -> list[dict[str, Any]]:
        """The steps of a run that have arrived."""
        return self._lines(run, "wandb-history.jsonl")

    def summary(self, run: str) -> dict[str, Any]:
        """The last summary of a run."""
        lines = self._lines(run, "wandb-summary.json")
        return lines[-1] if lines else {}

    def exit_code(self, run: str) -> int | None:
        """How a run ended; None if it has not."""
        return next((chunk["exitcode"] for chunk in self._streams.get(run, []) if chunk.get("complete")), None)

    def _lines(self, run: str, file: str) -> list[dict[str, Any]]:
        pieces = (chunk.get("files", {}).get(file, {}).get("content", []) for chunk in self._streams.get(run, []))
        return [json.loads(line) for piece in pieces for line in piece]

    def stream(self, run: str, message: dict[str, Any]) -> None:
        """Take a piece of a run's files."""
        with self._lock:
            self._streams.setdefault(run, []).append(message)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL request."""
        operation = re.search(r"(?:query|mutation)\s+(\w+)", query) or re.search(r"\{\s*(\w+)", query)
        assert operation is not None
        name = operation[1][0].upper() + operation[1][1:]
        with self._lock:
            self.operations.append(name)
            method = getattr(self, f"_{name}", None)
            if method is None:
                self.unknown.append(name)
                return {"errors": [{"message": f"no answer for {name}: {query}"}]}
            return {"data": method(variables)}

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        user: dict[str, Any] = {"id": "U", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": ""}
        return {"viewer": {**user, "admin": False, "flags": "{}", "deletedAt": None, "teams": {"edges": []}}}

    _GetDefaultEntity = _Viewer

    def _ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _UpsertBucket(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = said["name"]
        is_new = name not in self.runs
        self.runs.setdefault(name, {}).update({k: v for k, v in said.items() if v is not None})
        project = {"id": "P", "name": said.get("project"), "entity": {"id": "E", "name": ENTITY}}
        bucket = {"id": f"B{name}", "name": name, "displayName": said.get("displayName"), "description": None}
        more = {"config": said.get("config") or "{}", "sweepName": said.get("sweep"), "historyLineCount": 0}
        return {"upsertBucket": {"bucket": {**bucket, **more, "project": project}, "inserted": is_new}}

    def _RunResumeStatus(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        entity = {"id": "E", "name": ENTITY}
        return {"model": {"id": "P", "name": said.get("project"), "entity": entity, "bucket": None}}

    def _CreateRunFiles(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        at = f"{self.url}/upload/{said.get('run')}"
        files = [{"name": name, "uploadUrl": f"{at}/{name}"} for name in said.get("files", [])]
        return {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}

    def _ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        said = said.get("input", said)
        name = said.get("artifactCollectionName") or said["artifactCollectionNames"][0]
        self.artifacts[name] = {k: v for k, v in said.items() if v is not None}
        latest = {"latestArtifact": {"id": f"A{name}", "versionIndex": 0}}
        # What is committed is there already, so that no manifest and no file follows.
        artifact = {"id": f"A{name}", "state": "COMMITTED", "artifactSequence": {"id": "S", **latest}}
        return {"createArtifact": {"artifact": artifact}}

    def _ArtifactMembershipByName(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = said["name"].partition(":")[0]
        if name not in self.artifacts:
            return {"project": {"artifactCollectionMembership": None}}
        entity = {"name": said["entity"]}
        project = {"id": "UA==", "internalId": "UA==", "name": said["project"], "entity": entity}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        when = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": None}
        empty: dict[str, Any] = {
            "description": None,
            "metadata": None,
            "historyStep": None,
            "commitHash": None,
            "tags": [],
        }
        digest = {"digest": "0" * 32, "digestAlgorithm": "MANIFEST_MD5", "size": 1, "fileCount": 1}
        kept = {"state": "COMMITTED", "ttlDurationSeconds": -2, "ttlIsInherited": True, "versionIndex": 0}
        kind = {"artifactType": {"name": self.artifacts[name]["artifactTypeName"]}, "artifactSequence": collection}
        artifact = {"__typename": "Artifact", "id": f"A{name}", **kind, **empty, **digest, **kept, **when}
        membership = {"__typename": "ArtifactCollectionMembership", "id": "M", "versionIndex": 0, "aliases": []}
        whole = {**membership, **when, "artifactCollection": collection, "artifact": artifact}
        return {"project": {"artifactCollectionMembership": whole}}

    def _UseArtifact(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.used.append((said["runName"], str(said["artifactID"]).removeprefix("A")))
        return {"useArtifact": {"artifact": {"id": said.get("artifactID")}}}

    def _UpsertSweep(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.sweeps.append(said)
        project = {"id": "P", "name": said.get("projectName"), "entity": {"id": "E", "name": ENTITY}}
        sweep = {"name": f"native{len(self.sweeps)}", "project": project}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def _UpsertView2(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        number = said.get("id") or f"V{len(self.views) + 1}"
        self.views[number] = {**said, "spec": json.loads(said["spec"])}
        view = {k: said.get(k) for k in ("name", "type", "displayName", "spec")}
        project = {"id": "P", "name": said.get("projectName"), "entityName": said.get("entityName")}
        more = {"description": said.get("description") or "", "updatedAt": "2026-01-01T00:00:00Z", "project": project}
        return {"upsertView": {"view": {"id": number, **view, **more}, "inserted": True}}

    _UpsertView = _UpsertView2

    def _GetProjects(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        node = {"__typename": "Project", "id": "P", "name": "raysurf", "entityName": said.get("entity")}
        more = {"createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": {**node, **more}}]}}

    def _ProjectInternalId(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"project": {"id": "P", "internalId": "UHJvamVjdDox"}}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send({})

        def do_PUT(self) -> None:
            server.uploads[self.path] = self._body()
            self._send({})

        def do_POST(self) -> None:
            body = self._body()
            if self.path == "/graphql":
                expected = base64.b64encode(f"api:{server.key}".encode()).decode()
                if self.headers.get("Authorization", "").removeprefix("Basic ") != expected:
                    self._send({"errors": [{"message": "invalid API key"}]}, 401)
                    return
                asked = json.loads(body)
                self._send(server.answer(asked["query"], asked.get("variables") or {}))
            elif match := FILE_STREAM.match(self.path):
                server.stream(match[1], json.loads(body))
                self._send({"exitcode": None, "limits": {}})
            else:
                self._send({}, 200 if "otel" in self.path else 404)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

        def _send(self, value: Any, code: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
