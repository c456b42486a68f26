#!/bin/sh
# Compiles the hashed locks from pyproject.toml; run by `make lock`. No index address is written.
set -eu
lock() {
  out=$1; shift
  groups=""
  for group in "$@"; do groups="$groups --group $group"; done
  # shellcheck disable=SC2086
  uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11 $groups -o "requirements/$out.txt"
}
for service in organization customer sales marketing support gateway contracts; do lock "$service" "$service"; done
lock run organization customer sales marketing support gateway cli contracts
lock dev organization customer sales marketing support gateway cli contracts dev
for tool in checks clients; do
  uv pip compile -q --group "pyproject.toml:$tool" --generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11 -o "requirements/$tool.txt"
done
