#!/bin/bash
# Makes what a release consists of, of the last commit, in dist/: the sdist and
# the wheel, the changelog of all release notes, the man pages, and the
# completion of each shell. Does its own set-up, as tools/test.sh does.
# Publishes nothing.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
# shellcheck source=tools/lib/setup.sh
. tools/lib/setup.sh

[ $# -eq 0 ] || { sed -n '2,/^set /s/^# \?//p' "$0"; exit 2; }
say 'Setting up'
setup 'default build' doc/requirements.txt
rm -rf dist
mkdir dist

say 'The sdist and the wheel'
# Of a clone: what lies about in the checkout is no part of a release.
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone -q "$top" "$clone"
(cd "$clone" && python setup.py -q sdist --dist-dir "$top/dist")
pip wheel --no-deps --wheel-dir dist "$clone"
for archive in dist/*.whl dist/*.tar.gz; do
  names=$(case $archive in
    *.whl) python -m zipfile -l "$archive" ;;
    *) tar -tzf "$archive" ;;
  esac)
  ! grep -E '\.pyc|__pycache__' <<<"$names" || die "$archive has bytecode"
done

say 'The changelog, the man pages and the completion'
reno -q report --no-show-source --output dist/CHANGELOG.rst
sphinx-build -q -W --keep-going -b man doc/source dist/man
rm -rf dist/man/.doctrees
for shell in bash fish zsh; do
  kvm-tuning complete --shell "$shell" >"dist/kvm-tuning.$shell"
done

say 'Done'
ls -l dist dist/man
