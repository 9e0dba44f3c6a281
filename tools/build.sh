#!/bin/bash
# Makes what a release consists of, of the last commit, in dist/: the sdist and
# the wheel, the changelog of all release notes, the man pages, the completion
# of each shell and, on Debian as root, a Debian package, judged by lintian.
# Does its own set-up, as tools/test.sh does. Publishes nothing.
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clone=$work/kvm-tuning
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

debian_package() {  # with Debian's libraries, or on Debian 12 with its own
  # shellcheck source=/dev/null
  [ "$(. /etc/os-release; echo "$VERSION_ID")" != 12 ] ||
    export DEB_BUILD_PROFILES=pkg.kvm-tuning.bundled
  apt_install build-essential lintian
  DEBIAN_FRONTEND=noninteractive apt-get build-dep -y -qq "$clone/" \
    >"$cache/apt.log" 2>&1 || die 'apt-get build-dep failed'
  # What is in the checkout's environment is no part of the package.
  (cd "$clone" && git clean -qdfx && PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b) \
    >"$cache/deb.log" 2>&1 || { tail "$cache/deb.log"; return 1; }
  cp "$work"/kvm-tuning_*.deb dist
  lintian --fail-on error,warning dist/kvm-tuning_*.deb
}
if [ "$(id -u)" -eq 0 ] && command -v dpkg-query >/dev/null; then
  say 'The Debian package'
  debian_package
fi

say 'Done'
ls -l dist dist/man
