"""`make secrets`: fresh secrets for deploy/compose.yaml, one file a department, so that each container is given its own alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli.distributions import ROOT
from cli.engines import EngineError
from cli.plan import DEPARTMENTS, new_masters, new_secrets

FOLDER = ROOT / "deploy" / "secrets"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write <department>.env for each department, readable by the owner alone. Raises EngineError when there are some already:
    data encrypted under a master key that is written over can never be read again."""
    if folder.exists() and any(folder.iterdir()):
        raise EngineError(
            f"{folder.name}/ has secrets already; they open the data, so they are not written over. Move them away to begin anew"
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    secrets, masters = new_secrets(), new_masters()
    known = ",".join(f"{name}={secret}" for name, secret in sorted(secrets.items()))
    for name in DEPARTMENTS:
        own = {"CRM_SERVICE_SECRETS": known} if name == "organization" else {"CRM_SERVICE_SECRET": secrets[name]}
        lines = [f"{key}={value}\n" for key, value in {**own, "CRM_MASTER_KEYS": masters[name]}.items()]
        with os.fdopen(os.open(folder / f"{name}.env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
            sink.writelines(lines)
    return sorted(folder.iterdir())


if __name__ == "__main__":
    try:
        print("\n".join(str(path.relative_to(ROOT)) for path in write()))
    except EngineError as error:
        sys.exit(f"secrets: {error}")
