"""Checks the manifests that are named, document by document, against published
schemas: those of Kubernetes, and Istio's as models. Says of each document whether
it is good, or that there is no schema of its kind; and checks that a field which
the schema does not know would have been found in it."""

import copy
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.istio.extensions import v1alpha1 as extensions
from cloudcoil.models.istio.networking import v1, v1alpha3

KUBERNETES = "1.31"
OF_KUBERNETES = ("v1", "apps/v1", "networking.k8s.io/v1")
OF_ISTIO = {
    ("extensions.istio.io/v1alpha1", "WasmPlugin"): extensions.WasmPlugin,
    ("networking.istio.io/v1alpha3", "EnvoyFilter"): v1alpha3.EnvoyFilter,
    ("networking.istio.io/v1", "VirtualService"): v1.VirtualService,
    ("networking.istio.io/v1", "ServiceEntry"): v1.ServiceEntry,
    ("networking.istio.io/v1", "DestinationRule"): v1.DestinationRule,
}


def check(document):
    """Whether there is a schema. An error if the document is not as it says."""
    kind = (document["apiVersion"], document["kind"])
    if kind[0] in OF_KUBERNETES:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    elif kind in OF_ISTIO:
        model = OF_ISTIO[kind].model_validate(document)
        lost = unknown(document, model.model_dump(by_alias=True, exclude_unset=True))
        if lost:
            raise ValueError(f"unknown to Istio: {lost}")
    else:
        return False
    return True


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


def spoiled(document):
    """Copies of a document, each with a field that no schema knows: in the document, in
    its spec, and in the objects of the lists there."""
    spec = document.get("spec", {})
    lists = [name for name, value in spec.items() if isinstance(value, list)]
    lists = [name for name in lists if isinstance(spec[name][0], dict)]
    for path in [[], *([["spec"]] if spec else []), *(["spec", name, 0] for name in lists)]:
        copied = copy.deepcopy(document)
        place = copied
        for step in path:
            place = place[step]
        place["aFieldOfNobody"] = "x"
        yield path, copied


def find_what_is_spoiled(document):
    for path, copied in spoiled(document):
        try:
            check(copied)
        except Exception:  # Each checker has errors of its own.
            continue
        raise ValueError(f"a field that nobody knows is not found in {path}")


def main(names):
    for name in names:
        with open(name, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                kind = f"{document['kind']} of {document['apiVersion']}"
                try:
                    is_good = check(document)
                    if is_good:
                        find_what_is_spoiled(document)
                except Exception as error:
                    sys.exit(f"{name}: {kind}: {error}")
                print(f"{kind}: {'good' if is_good else 'no schema'}")


main(sys.argv[1:])
