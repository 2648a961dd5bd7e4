"""Stored weights of runs by name: points with their buffers, bends of a curve, pivots of a path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError

from raysurf.errors import StoreError, UnknownNameError
from raysurf.packages import imported
from raysurf.results.reader import Reader
from raysurf.results.runs import one_run
from raysurf.store.parts import mapping_in

if TYPE_CHECKING:
    from raysurf.store.store import Store

Framework = Literal["numpy", "torch"]
# Files of several points, with the separator in their tensors' names: "point1.conv.weight", "variance/conv.weight".
BUNDLES = {"points": ".", "pivots": ".", "spread": "/"}
# Files without points: an ensemble's predictions.
OTHERS = ("predictions",)
OWN = "a safetensors file that raysurf wrote (remove it, and run its job again)"


@dataclass(frozen=True)
class StoredWeights:
    """Weights of a run.

    Args:
        run_id: The run.
        name: Their name.
        point: Its trainable parameters, by name: arrays of numpy (bfloat16 as float32), or tensors of torch on the CPU.
        buffers: Batch-norm statistics and other buffers, by name; those of bends and pivots are the curve's or path's,
            without batch-norm statistics.
    """

    run_id: str
    name: str
    point: Mapping[str, Any]
    buffers: Mapping[str, Any]


def stored_weights(results: Reader, run: str, name: str, framework: Framework) -> StoredWeights:
    """Read weights; see ``Results.weights``."""
    if framework not in ("numpy", "torch"):
        raise UnknownNameError("framework", framework, ("numpy", "torch"))
    row = one_run(results, run)
    store, run_id = results.store, row["run_id"]
    files = {path.rpartition("/")[2] for path in store.list(f"jobs/{run_id}") if path.count("/") == 2}
    whole = sorted(file.removesuffix(".safetensors") for file in files if file.endswith(".safetensors"))
    bundled: dict[str, dict[str, Any]] = {}
    for bundle, sign in BUNDLES.items():
        # Which weights a bundle has is known when it is read; it is read if no file of its own has the name.
        if bundle in whole and name not in whole:
            for key, tensor in _read(store, f"jobs/{run_id}/{bundle}.safetensors", framework).items():
                part, _, inner = key.partition(sign)
                bundled.setdefault(part, {})[inner] = tensor
    buffers = bundled.pop("buffer", {})
    bundled = _as_jobs_name_them(bundled, mapping_in(row["spec"], store.uri, run_id))
    if name in bundled:
        return StoredWeights(run_id, name, bundled[name], buffers)
    known = [stem for stem in whole if stem not in (*BUNDLES, *OTHERS)]
    if name in known:
        return StoredWeights(run_id, name, *_parted(store, f"jobs/{run_id}/{name}.safetensors", framework))
    known = sorted([*known, *bundled], key=_by_number)
    if not known:
        inputs = f"; its inputs are {', '.join(row['inputs'])}" if row["inputs"] else ""
        got = f"no weights of {run_id} ({row['status']}){inputs}"
        raise StoreError(store.uri, got, "a run that leaves weights, such as one of sgd or swa")
    raise UnknownNameError(f"weights of {run_id}", name, known)


def _as_jobs_name_them(bundled: Mapping[str, dict[str, Any]], spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Points of a bundle by the names that jobs give them: a curve's trained control points are its ends and bends."""
    named = {}
    for part, tensors in bundled.items():
        if (numbered := re.fullmatch(r"point(\d{1,9})", part)) is not None:
            number, num_bends = int(numbered[1]), spec.get("num_bends", 1)
            part = "start" if number == 0 else f"bend{number}" if number <= num_bends else "end"
        named[part] = tensors
    return named


def _parted(store: Store, path: str, framework: Framework) -> tuple[dict[str, Any], dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {"point": {}, "buffer": {}}
    for key, tensor in _read(store, path, framework).items():
        part, _, inner = key.partition("/")
        if part not in parts:
            raise StoreError(store.uri, f"{path} with {key!r}", f"tensors of a point and its buffers, in {OWN}")
        parts[part][inner] = tensor
    return parts["point"], parts["buffer"]


def _read(store: Store, path: str, framework: Framework) -> dict[str, Any]:
    """The tensors of a file, by name, in the order of their names."""
    reader = imported(f"safetensors.{framework}", f"weights(framework={framework!r})", framework)
    data = store.get_bytes(path)
    try:
        tensors = _arrays(data) if framework == "numpy" else reader.load(data)
    except (SafetensorError, AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(store.uri, f"{path}, which cannot be read ({error})", OWN) from error
    return {key: tensors[key] for key in sorted(tensors)}


def _arrays(data: bytes) -> dict[str, Any]:
    """Tensors of a file as arrays; bfloat16, unknown to numpy, as float32."""
    import numpy as np
    from safetensors import deserialize

    arrays = {}
    for name, tensor in deserialize(data):  # type: ignore[no-untyped-call]
        kind, bits = tensor["dtype"][:1].lower(), tensor["dtype"][1:]
        if tensor["dtype"] == "BF16":
            values = (np.frombuffer(tensor["data"], dtype="<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(tensor["data"], dtype="?" if bits == "OOL" else f"<{kind}{int(bits) // 8}")
        arrays[name] = values.reshape(tensor["shape"])
    return arrays


def _by_number(name: str) -> tuple[str, int]:
    digits = re.search(r"\d*$", name)
    number = digits.group() if digits else ""
    return name.removesuffix(number), int(number or 0)
