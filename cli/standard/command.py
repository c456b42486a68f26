"""`xietong new noun` and `xietong check contracts`: for developers."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from cli.engines import EngineError

COMMANDS = ("new", "check")


def declare(commands: Any) -> None:
    """Their place on the command line."""
    new = commands.add_parser("new", help="for developers: make a new noun, its contract, folder and first test")
    new.add_argument("what", choices=("noun",))
    new.add_argument("path", help="<department>/<plural>, e.g. marketing/competitors")
    new.add_argument("--title", default="", help="its Chinese name, e.g. 竞争对手")
    new.add_argument("--family", default="", help="the family of its records (services/organization/access/model.py)")
    new.add_argument("--one", default="", help="the singular where it is not the plural without its s, e.g. person")
    new.add_argument("--unowned", action="store_true", help="its records have no owner who decides scope")
    new.add_argument("--customer", action="store_true", help="its records hang on customers")
    new.add_argument("--verbs", default="", help="special verbs with the participles of their facts, e.g. win:won,lose:lost")
    check = commands.add_parser("check", help="for developers: hold every contract against the standard")
    check.add_argument("what", choices=("contracts",))
    check.add_argument("--write", action="store_true", help="mend what can be mended")


def run(options: argparse.Namespace) -> None:
    """What was asked. Raises EngineError, or exits with what is wrong in the contracts."""
    if options.command == "check":
        from cli.standard.check import main

        main(write=options.write)
        return
    from cli.standard import scaffold

    if find_spec("pytest") is None or find_spec("ruff") is None:
        raise EngineError("what developers need is not installed here yet; run «make contracts» once, then this again")
    new = scaffold.asked(
        options.path, options.one, options.title, options.family, options.verbs, owned=not options.unowned, customer=options.customer
    )
    scaffold.make(new)
