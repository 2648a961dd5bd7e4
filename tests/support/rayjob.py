"""What a KubeRay RayJob may hold, as a JSON schema: the fields that the README's manifest has, and their neighbours.

Written by hand after the ``ray.io/v1`` reference of KubeRay 1.6 (RayJobSpec, RayClusterSpec, HeadGroupSpec,
WorkerGroupSpec, AuthOptions) and Kubernetes' PodSpec. It is not KubeRay's own schema, a megabyte that cannot be had
without a network.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
WORDS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
NAME: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 47}
QUANTITY: dict[str, Any] = {
    "anyOf": [COUNT, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}]
}
AMOUNTS: dict[str, Any] = {"type": "object", "additionalProperties": QUANTITY}


def fields(required: tuple[str, ...], **known: Any) -> dict[str, Any]:
    """A mapping of these keys and no others."""
    return {"type": "object", "required": list(required), "properties": known, "additionalProperties": False}


def list_of(item: dict[str, Any]) -> dict[str, Any]:
    """A list of one item or more."""
    return {"type": "array", "items": item, "minItems": 1}


REFERENCE = fields(("name",), name=NAME, optional=FLAG)
CONTAINER = fields(
    ("name", "image"),
    name=NAME,
    image=TEXT,
    command=list_of(TEXT),
    args=list_of(TEXT),
    env=list_of(fields(("name",), name=TEXT, value=TEXT, valueFrom={"type": "object"})),
    envFrom=list_of(fields((), secretRef=REFERENCE, configMapRef=REFERENCE, prefix=TEXT)),
    resources=fields((), limits=AMOUNTS, requests=AMOUNTS),
    volumeMounts=list_of(fields(("name", "mountPath"), name=NAME, mountPath=TEXT, readOnly=FLAG)),
)
POD = fields(
    ("spec",),
    metadata=fields((), labels=WORDS, annotations=WORDS),
    spec=fields(
        ("containers",),
        containers=list_of(CONTAINER),
        nodeSelector=WORDS,
        tolerations=list_of({"type": "object"}),
        volumes=list_of({"type": "object", "required": ["name"]}),
        serviceAccountName=NAME,
        terminationGracePeriodSeconds=COUNT,
    ),
)
GROUP = {"rayStartParams": WORDS, "template": POD}
CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion={"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
    authOptions=fields((), mode={"enum": ["disabled", "token"]}, secretName=NAME),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(
        (), idleTimeoutSeconds=COUNT, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]}
    ),
    headGroupSpec=fields(("template",), serviceType=TEXT, **GROUP),
    workerGroupSpecs=list_of(
        fields(
            ("groupName", "template", "minReplicas", "maxReplicas"),
            groupName=NAME,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
            **GROUP,
        )
    ),
)
SCHEMA = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields(("name",), name=NAME, namespace=NAME, labels=WORDS, annotations=WORDS),
    spec=fields(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        suspend=FLAG,
        rayClusterSpec=CLUSTER,
    ),
)
