"""Builds `gen/` from `protos/`: Python messages, the descriptor image that buf checks, and the comments as JSON.

Nothing here knows a department; it only walks the folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, field_mask_pb2, timestamp_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"

_KINDS = {4: "message_type", 5: "enum_type", 6: "service"}
_INNER = {"message_type": {2: "field", 3: "nested_type", 4: "enum_type"}, "enum_type": {2: "value"}, "service": {2: "method"}}


def build(protos: Path = PROTOS, target: Path = GEN) -> Path:
    """Regenerate `gen/` whole and return the path of the descriptor image."""
    fresh = target.with_name("gen.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    rules = fresh / "validate.binpb"
    rules.write_bytes(_validation_rules().SerializeToString())
    image = fresh / "crm.binpb"
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    arguments = [
        "protoc",
        f"--descriptor_set_in={rules}",
        f"-I{protos}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        f"--python_out={fresh}",
        f"--pyi_out={fresh}",
        "--include_source_info",
        "--include_imports",
        f"--descriptor_set_out={image}",
        *sources,
        "buf/validate/validate.proto",
    ]
    if protoc.main(arguments) != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise SystemExit("contracts: protoc refused the files named above; mend them in protos/ and run `make protos`")
    (fresh / "comments.json").write_text(json.dumps(_comments(image), ensure_ascii=False, indent=0, sort_keys=True))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target / "crm.binpb"


def _validation_rules() -> descriptor_pb2.FileDescriptorSet:
    """buf/validate/validate.proto as the protovalidate wheel carries it, with its own imports in front."""
    from protovalidate._gen.buf.validate import validate_pb

    known = [descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2]
    pool = descriptor_pool.Default()
    result = descriptor_pb2.FileDescriptorSet()
    for module in known:
        result.file.add().ParseFromString(pool.FindFileByName(module.DESCRIPTOR.name).serialized_pb)
    result.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    return result


def _comments(image: Path) -> dict[str, str]:
    """Full name of each element of `crm.*` → its leading comment: the words that the graph shows as descriptions."""
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file:
        if not file.package.startswith("crm."):
            continue
        for location in file.source_code_info.location:
            text = " ".join(location.leading_comments.split())
            name = _name(file, list(location.path)) if text else None
            if name:
                found[name] = text
    return found


def _name(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str | None:
    if len(path) % 2 or not path or path[0] not in _KINDS:
        return None
    kind = _KINDS[path[0]]
    element = getattr(file, kind)[path[1]]
    names = [file.package, element.name]
    for tag, index in zip(path[2::2], path[3::2], strict=True):
        inner = _INNER.get(kind, {}).get(tag)
        if inner is None:
            return None
        element = getattr(element, inner)[index]
        names.append(element.name)
        kind = {"nested_type": "message_type"}.get(inner, inner)
    return ".".join(names)


def git(*words: str) -> str:
    """What git answers; nothing where it does not know."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def last_release() -> str:
    """The last release tag, or the previous commit while there is no release; nothing without a history."""
    return git("describe", "--tags", "--abbrev=0", "--match", "v*") or git("rev-parse", "--verify", "-q", "HEAD~1")


def breaking() -> None:
    """Compare the contracts with those of the last release."""
    base = last_release()
    if not base or not git("ls-tree", base, "protos/"):
        print("contracts: no earlier contracts to compare with", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", base, "protos"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x", "-C", folder], input=archive, check=True)
        earlier = build(Path(folder) / "protos", Path(folder) / "gen")
        buf = Path(sys.executable).with_name("buf")
        command = [str(buf), "breaking", str(GEN / "crm.binpb"), "--against", str(earlier), "--config", str(ROOT / "buf.yaml")]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"contracts: the changes above break clients of {base}; v1 changes are additive only")


if __name__ == "__main__":
    if "--breaking" in sys.argv:
        breaking()
        sys.exit()
    print(f"contracts: {build().relative_to(ROOT)} built", file=sys.stderr)
