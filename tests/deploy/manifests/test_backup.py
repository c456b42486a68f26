"""The nightly backup and its restore as their CronJobs run them: the same arguments, environment and files, against a real mongod that knows its users."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from cli import authority, mongo_users
from cli.backup.repository import Repository
from cli.engines import free_port
from cli.plan import DEPARTMENTS, MONGO_USER, mongo_tls, new_master, new_masters, new_secrets
from tests.deploy.manifests.objects import one, pods
from tests.deploy.manifests.rendering import ROOT, objects


def laid_out(volume: dict[str, Any], known: Path, folder: Path) -> None:
    """The projected volume as the kubelet lays it out; secrets are what cert-manager and README.md make."""
    kept = {
        "secrets": new_secrets(),
        "masters": new_masters(),
        "backup": new_master(),
        "email": "",
        "password": "-",
        "sample": "loaded",
        "tls": True,
    }
    for source in volume["projected"]["sources"]:
        name = source["secret"]["name"].removesuffix("-tls")
        for item in source["secret"]["items"]:
            path = folder / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "installation":
                path.write_text(json.dumps(kept))
            else:
                shutil.copy(known / ("ca.pem" if item["key"] == "ca.crt" else f"{name}.pem"), path)
    for path in folder.rglob("*"):
        path.chmod(0o550 if path.is_dir() else 0o440)


async def run(container: dict[str, Any], there: dict[str, str]) -> str:
    """The container's command on this machine; fails with its complaints."""
    told = {entry["name"]: entry["value"] for entry in container["env"]}
    command = container["args"]
    for place, here in there.items():
        told = {name: value.replace(place, here) for name, value in told.items()}
        command = [argument.replace(place, here) for argument in command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *command, env={**environment, **told, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return out.decode()


async def test_the_nightly_backup_takes_every_department_by_its_own_certificate_and_comes_back(tmp_path: Path) -> None:
    known, port = authority.ensure(tmp_path / "tls"), free_port()
    child = await mongo_users.start(tmp_path / "mongo", port, tmp_path / "mongod.log", known["mongo"], known["cli"])
    try:
        where = f"mongodb://127.0.0.1:{port}/?replicaSet=crm"
        async with AsyncMongoClient(f"{where}&{mongo_tls(known['cli'])}{MONGO_USER}") as client:
            await mongo_users.ensure_users(client, DEPARTMENTS)
        for name in DEPARTMENTS:
            async with AsyncMongoClient(f"{where}&{mongo_tls(known[name])}{MONGO_USER}") as client:
                await client[f"crm_{name}"]["probes"].insert_many([{"_id": number} for number in range(3)])
        found = next(pods([one(objects("platform/overlays/prod"), "CronJob", "backup")]))
        volume = next(volume for volume in found.spec["volumes"] if "projected" in volume)
        laid_out(volume, tmp_path / "tls", tmp_path / "installation")
        (tmp_path / "backups").mkdir()
        there = {
            "/backups": str(tmp_path / "backups"), "/installation": str(tmp_path / "installation"),
            "mongodb://mongo-svc:27017/?replicaSet=mongo": where,
        }  # fmt: skip
        take, verify, prune = (*found.spec["initContainers"], *found.spec["containers"])
        for _ in range(2):
            await run(take, there)
        proved, pruned = await run(verify, there), await run(prune, there)
        for name in DEPARTMENTS:
            async with AsyncMongoClient(f"{where}&{mongo_tls(known[name])}{MONGO_USER}") as client:
                await client[f"crm_{name}"]["probes"].delete_many({})
        again = next(pods([one(objects("platform/overlays/prod"), "CronJob", "restore")])).spec["containers"][0]
        names = Repository(tmp_path / "backups" / "crm", new_master()).names()
        await run({**again, "args": [argument.replace("BACKUP", names[0]) for argument in again["args"]]}, there)
        for name in DEPARTMENTS:
            async with AsyncMongoClient(f"{where}&{mongo_tls(known[name])}{MONGO_USER}") as client:
                assert await client[f"crm_{name}"]["probes"].find().sort("_id").to_list() == [{"_id": number} for number in range(3)]
    finally:
        await child.stop()
    assert [line.split()[:4] for line in proved.splitlines()] == [[name, "whole:", "3", "in"] for name in DEPARTMENTS]
    assert [line.split(maxsplit=1) for line in pruned.splitlines()] == [
        [names[1], "kept: last, daily, weekly, monthly"], [names[0], "kept: last"], ["0", "backups and 0 chunks removed, 0.0 MB"],
    ]  # fmt: skip
