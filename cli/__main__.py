"""The command line: `./xietong COMMAND`. Every failure is one line and a non-zero exit."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from chassis.kernel.errors import CrmError
from cli.backup import command as backup
from cli.engines import EngineError
from cli.plan import DEPARTMENTS, Plan
from cli.standard import command as developers


def main(arguments: list[str] | None = None) -> None:
    """Parse and run."""
    options = _parser().parse_args(arguments)
    try:
        if options.command in developers.COMMANDS:
            developers.run(options)
        else:
            asyncio.run(_run(options))
    except (EngineError, CrmError) as error:
        sys.exit(f"xietong: {getattr(error, 'message', error)}")
    except OSError as error:
        sys.exit(f"xietong: {error.filename or ''} {error.strerror or error}".replace("  ", " "))
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xietong", description="协同CRM on this machine")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start everything; what `make run` calls")
    up.add_argument("--compact", action="store_true", help="departments and gateway in one process, for a very small machine")
    up.add_argument("--tls", action="store_true", help="encrypt everything between services, each known by its own certificate; stays so")
    up.add_argument("--customers", type=_count, default=2000, help="customers of the sample company at first start (default 2000)")
    up.add_argument("--seed", type=int, default=1, help="seed of the sample company")
    seed = commands.add_parser("seed", help="load a sample company into the running installation")
    seed.add_argument("--customers", type=_count, default=2000)
    seed.add_argument("--seed", type=int, default=1, help="the same seed makes the same ids")
    imports = commands.add_parser("import", help="bring records in by a recipe")
    imports.add_argument("recipe", help="name of a recipe (see `xietong recipes`) or path of one")
    imports.add_argument("files", nargs="+", type=Path, help="CSV files, plain or .gz")
    imports.add_argument("--dry-run", action="store_true", help="write nothing; tell what would be")
    imports.add_argument("--errors", type=Path, default=Path("import-errors.csv"), help="where refused rows are written")
    imports.add_argument("--encoding", default="", help="of the files, where it cannot be told for sure: utf-8, gb18030, big5, cp1251 …")
    imports.add_argument("--zone", default="", help="of times that name none, where the recipe does not say: Asia/Shanghai, UTC …")
    imports.add_argument("--report", type=Path, help="also write the reconciliation sheet as JSON")
    commands.add_parser("recipes", help="list the recipes")
    inbox = commands.add_parser("inbox", help="read the mails that the development mail server took")
    inbox.add_argument("--most", type=_count, default=20)
    documents = commands.add_parser("documents", help="operations that clients may name by their hash")
    documents.add_argument("action", choices=("register",))
    documents.add_argument("folder", type=Path, help="folder with .graphql files")
    documents.add_argument("--to", type=Path, help="the register (default: documents.json in the data folder)")
    audit = commands.add_parser("audit", help="prove that no audit was changed, or write it out")
    audit.add_argument("action", choices=("verify", "export"))
    audit.add_argument("--department", choices=DEPARTMENTS, action="append", help="only this one; may be given several times")
    audit.add_argument("--to", type=Path, default=Path("audit"), help="folder for export (default: audit)")
    keys = commands.add_parser("keys", help="new keys: to sign tokens (rotate), to wrap the keys of personal data (rotate-master)")
    keys.add_argument("action", choices=("rotate", "rotate-master"))
    events = commands.add_parser("events", help="facts that were set aside, and whether everybody has heard everything")
    events.add_argument("action", choices=("parked", "show", "retry", "drop", "reconcile"))
    events.add_argument("ids", nargs="*", help="parked facts, for show, retry (none: all) and drop")
    events.add_argument("--department", choices=DEPARTMENTS, action="append", help="only this one; may be given several times")
    events.add_argument("--reason", default="", help="why facts are dropped; stands in the audit")
    events.add_argument("--from-beginning", action="store_true", help="compare everything that is kept, not only what is new")
    _declare_work(commands)
    backup.declare(commands)
    platform = commands.add_parser("platform", help="what an administrator does for a cluster")
    platform.add_argument("action", choices=("prepare", "accounts", "secrets", "administrator", "restore"))
    platform.add_argument("folder", type=Path, nargs="?", help="folder of backups, for restore into the databases of CRM_MONGO_URI")
    platform.add_argument("name", nargs="?", default="", help="which backup, for restore (default: the newest)")
    platform.add_argument("--to", type=Path, help="file for accounts (default: print)")
    platform.add_argument("--email", default="", help="mail address of an administrator: made where nobody has it")
    platform.add_argument("--company", default="公司", help="name of the company, for administrator, where there is none yet")
    developers.declare(commands)
    commands.add_parser("doctor", help="look at every part of the running installation; says how to mend what is wrong")
    return parser


def _declare_work(commands: Any) -> None:
    jobs = commands.add_parser("jobs", help="long work of the departments: imports, models folded anew")
    jobs.add_argument("action", nargs="?", default="list", choices=("list", "watch", "rows", "pause", "resume", "cancel", "retry"))
    jobs.add_argument("ids", nargs="*", help="jobs; all but list need one")
    jobs.add_argument("--department", choices=DEPARTMENTS, action="append", help="only of this one; may be given several times")
    rebuild = commands.add_parser("rebuild", help="fold a read model anew from the facts, beside live traffic")
    rebuild.add_argument("model", help="timeline, or work (who holds open work for a customer)")


def _count(text: str) -> int:
    number = int(text.replace("_", ""))
    if not 1 <= number <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10000000")
    return number


async def _run(options: argparse.Namespace) -> None:
    from cli.installation import Installation

    if options.command == "up":
        from cli.up import up

        await up(compact=options.compact, customers=options.customers, seed=options.seed, tls=options.tls)
    elif options.command == "seed":
        from cli.sample.load import load_sample

        await load_sample(Installation.open().plan(), customers=options.customers, seed=options.seed)
    elif options.command == "import":
        from cli.imports.run import run_import

        await run_import(
            Installation.open().plan(), options.recipe, options.files, dry_run=options.dry_run, errors=options.errors, report=options.report,
            encoding=options.encoding, zone=options.zone,
        )  # fmt: skip
    elif options.command == "recipes":
        from cli.imports.recipe import list_recipes

        list_recipes()
    elif options.command == "documents":
        from cli.documents import register

        register(options.folder, options.to or Installation.open().folder / "documents.json")
    elif options.command == "audit":
        from cli.audit import export, verify

        plan, departments = Installation.open().plan(), options.department or DEPARTMENTS
        await (verify(plan, departments) if options.action == "verify" else export(plan, options.to, departments))
    elif options.command == "keys":
        from cli.keys import rotate, rotate_master

        installation = Installation.open()
        rotate_master(installation) if options.action == "rotate-master" else await rotate(installation.plan())
    elif options.command == "backup":
        await backup.run(options, Installation.open())
    elif options.command == "rebuild":
        from cli.rebuild import rebuild

        await rebuild(Installation.open().plan(), options.model)
    elif options.command == "jobs":
        await _jobs(options, Installation.open().plan())
    elif options.command == "platform":
        await _platform(options)
    elif options.command == "events":
        await _events(options, Installation.open().plan())
    elif options.command == "inbox":
        from cli.inbox import show

        show(Installation.open().folder / "inbox", options.most)
    else:
        from cli.doctor import doctor

        await doctor(Installation.open())


async def _platform(options: argparse.Namespace) -> None:
    from cli import platform
    from cli.backup.restore import restore
    from cli.installation import Installation

    if options.action == "prepare":
        await platform.prepare()
    elif options.action == "accounts":
        platform.accounts(options.to)
    elif options.action == "secrets":
        platform.secrets(Installation.open())
    elif options.action == "restore":
        if not options.folder:
            raise EngineError("say which: xietong platform restore FOLDER [NAME]")
        installation = Installation.open()
        await restore(installation.plan(), options.folder, installation.kept["backup"], options.name)
    elif not options.email:
        raise EngineError("say who: xietong platform administrator --email ADDRESS")
    else:
        await platform.administrator(Installation.open().plan(), options.email, options.company)


async def _jobs(options: argparse.Namespace, plan: Plan) -> None:
    from cli import jobs

    if options.action == "list":
        await jobs.show_all(plan, options.department or DEPARTMENTS)
    elif not options.ids:
        raise EngineError(f"say which: xietong jobs {options.action} ID …; `xietong jobs` shows the ids")
    elif options.action in jobs.VERBS:
        await jobs.turn(plan, options.action, options.ids)
    else:
        await {"watch": jobs.watch, "rows": jobs.rows}[options.action](plan, options.ids[0])


async def _events(options: argparse.Namespace, plan: Plan) -> None:
    from cli import events

    departments = options.department or DEPARTMENTS
    if options.action in ("show", "drop") and not options.ids:
        raise EngineError(f"say which: xietong events {options.action} ID …; `xietong events parked` shows the ids")
    if options.action == "drop" and not options.reason:
        raise EngineError("say why: xietong events drop ID … --reason TEXT; it stands in the audit")
    await {
        "parked": lambda: events.parked(plan, departments),
        "show": lambda: events.show(plan, options.ids),
        "retry": lambda: events.retry(plan, options.ids),
        "drop": lambda: events.drop(plan, options.ids, options.reason),
        "reconcile": lambda: events.reconcile(plan, departments, from_beginning=options.from_beginning),
    }[options.action]()


if __name__ == "__main__":
    main()
