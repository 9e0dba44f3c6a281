#!/bin/bash
# Runs shellcheck over every shell script of the tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || { echo 'shellcheck is not installed' >&2; exit 3; }
{
  find tools devstack examples .ci -type f -name '*.sh' 2>/dev/null || true
  find tools .ci devstack -type f ! -name '*.sh' -exec \
    awk 'FNR == 1 && /^#!.*sh$/ { print FILENAME } { nextfile }' {} + 2>/dev/null || true
} | sort -u | xargs shellcheck -x
