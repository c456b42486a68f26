"""The folder of a new noun: model, store, api, actions for its special verbs, a first test, and its line in the department's bootstrap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cli.contracts import ROOT
from cli.engines import EngineError
from cli.standard.english import article
from cli.standard.new import New, camel
from cli.standard.shape import Shape, Words, simple
from cli.standard.text import Block, Member


def command(new: New, verb: str) -> list[Block]:
    """The messages of a special verb."""
    words = Words(new.name, new.resource, new.one, new.resource.replace("_", " "))
    made = simple(words, camel(verb), "", "update")
    return [_message(made.request), _message(made.response)]


def _message(shape: Shape) -> Block:
    return Block("message", shape.name, shape.comment, [Member(part.name, part.comment, [part.line()]) for part in shape.parts])


def files(new: New) -> dict[Path, str]:
    """Path → text."""
    test = ROOT / "tests" / "unit" / new.department / f"test_{new.resource}.py"
    found = {
        new.folder / "__init__.py": "", new.folder / "model.py": _model(new), new.folder / "store.py": _store(new),
        new.folder / "api.py": _api(new), test: _test(new),
    }  # fmt: skip
    return found | ({new.folder / "actions.py": _actions(new)} if new.verbs else {})


def bootstrap(new: New) -> Path:
    """The department's composition root."""
    return ROOT / "services" / new.department / "bootstrap.py"


def enter(new: New) -> bool:
    """Put the noun into its department's bootstrap; False where it stands there already. Raises EngineError where it has no list."""
    path = bootstrap(new)
    text = path.read_text()
    package = f"services.{new.department}.{new.resource}"
    if f"from {package} import api" in text:
        return False
    found = re.search(r"services=\[(.*?)\](?=,\n)", text, flags=re.S)
    if found is None:
        raise EngineError(f"{path.relative_to(ROOT)} has no list of services; add {new.resource}_api.service({new.plural}()) yourself")
    line = f"{found[1].rstrip().rstrip(',')}, {new.resource}_api.service({new.plural}())"
    text = text[: found.start(1)] + line + text[found.end(1) :]
    imports = f"from {package} import api as {new.resource}_api\nfrom {package}.store import {new.plural}\n"
    first = text.index(f"from services.{new.department}.")
    path.write_text(text[:first] + imports + text[first:])
    ruff = Path(sys.executable).with_name("ruff")
    if ruff.exists():  # sorted and laid out as `make lint` wants it
        subprocess.run([str(ruff), "check", "-q", "--fix", "--select", "I", str(path)], check=False)
        subprocess.run([str(ruff), "format", "-q", str(path)], check=False)
    return True


def _model(new: New) -> str:
    an = article(new.one)
    return f'''"""{an.capitalize()} {new.one}: what makes one complete. No I/O, no clock."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid

Document = dict[str, Any]


def check({new.stem}: Document) -> None:
    """Complete {an} {new.one}: a name without outer blanks."""
    {new.stem}["name"] = " ".join({new.stem}["name"].split())
    if not {new.stem}["name"]:
        raise Invalid("the name consists of blanks; give it letters or digits", field="name")
'''


def _store(new: New) -> str:
    words = new.resource.replace("_", " ").capitalize()
    return f'''"""{words} in MongoDB."""

from __future__ import annotations

from crm.{new.department}.v1 import {new.stem}_pb2

from chassis.storage.records import Records


class {new.plural}(Records):
    """{words}."""

    def __init__(self) -> None:
        super().__init__({new.stem}_pb2.{new.name})
'''


def _api(new: New) -> str:
    package = f"services.{new.department}.{new.resource}"
    head = f'''"""{new.name}Service."""

from __future__ import annotations
{"from functools import partial" if new.verbs else ""}
from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from {package} import {"actions, model" if new.verbs else "model"}
from {package}.store import {new.plural}


def service({new.resource}: {new.plural}) -> Service:
    """The handlers of {new.resource.replace("_", " ")}."""
'''.replace("annotations\nfrom functools import partial\n", "annotations\n\nfrom functools import partial\n\n")
    if not new.verbs:
        return f"{head}    return Noun({new.resource}, model.check).serve()\n"
    special = "".join(f"        {camel(verb)}{new.name}=partial(actions.{verb}, noun),\n" for verb in new.verbs)
    return f"{head}    noun = Noun({new.resource}, model.check)\n    return noun.serve(\n{special}    )\n"


def _actions(new: New) -> str:
    text = f'''"""What can be done with {article(new.one)} {new.one} beside the standard verbs: load, one rule of the model, commit."""

from __future__ import annotations

from typing import Any

from chassis.rpc.call import Call
from chassis.rpc.noun import Noun

Document = dict[str, Any]
'''
    for verb, participle in new.verbs.items():
        text += f'''

async def {verb}(noun: Noun, call: Call, *, version: int | None = None, **key: str) -> Document:
    """{camel(verb)} it."""
    before = await noun.load(call, "update", key, version)
    return noun.records.change(call, before, {{}}, noun.event("{camel(participle)}"))
'''
    return text


def _test(new: New) -> str:
    return f'''"""{new.resource.replace("_", " ").capitalize()}: the rules of their own; what holds for every noun is tested elsewhere (tests/contract)."""

from __future__ import annotations

import pytest

from chassis.kernel.errors import Invalid
from services.{new.department}.{new.resource} import model


def test_a_name_has_no_outer_blanks() -> None:
    {new.stem} = {{"name": "  a   name "}}
    model.check({new.stem})
    assert {new.stem}["name"] == "a name"


def test_a_name_of_blanks_is_none() -> None:
    with pytest.raises(Invalid) as refused:
        model.check({{"name": " \\u3000 "}})
    assert refused.value.field == "name"
'''
