"""Checks the manifests that are named, document by document, against published
schemas: those of Kubernetes, and Istio's as models. A document of another kind
is an error."""

import sys

import kubernetes_validate
import yaml
from cloudcoil.models.istio.extensions import v1alpha1 as extensions
from cloudcoil.models.istio.networking import v1, v1alpha3

KUBERNETES = "1.31"
MODELS = {
    "WasmPlugin": extensions.WasmPlugin,
    "EnvoyFilter": v1alpha3.EnvoyFilter,
    "VirtualService": v1.VirtualService,
    "ServiceEntry": v1.ServiceEntry,
    "DestinationRule": v1.DestinationRule,
}


def check(document):
    api = document["apiVersion"]
    if api in ("v1", "apps/v1", "networking.k8s.io/v1"):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    elif api.split("/")[0].endswith("istio.io"):
        model = MODELS[document["kind"]]
        kept = model.model_validate(document).model_dump(by_alias=True, exclude_unset=True)
        lost = unknown(document, kept)
        if lost:
            raise ValueError(f"unknown to Istio: {lost}")
    else:
        raise ValueError(f"no schema of {api} is at hand")


def unknown(document, kept, path=""):
    """The fields that the model has dropped."""
    if isinstance(document, dict) and isinstance(kept, dict):
        lost = [f"{path}.{name}" for name in document if name not in kept]
        for name in document.keys() & kept.keys():
            lost += unknown(document[name], kept[name], f"{path}.{name}")
        return lost
    if isinstance(document, list) and isinstance(kept, list):
        pairs = zip(document, kept)
        return [one for i, (a, b) in enumerate(pairs) for one in unknown(a, b, f"{path}[{i}]")]
    return []


for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        for document in yaml.safe_load_all(file):
            try:
                check(document)
            except Exception as error:
                sys.exit(f"{name}: {document['kind']}: {error}")
    print(f"{name}: good")
