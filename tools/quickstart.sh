#!/bin/bash
# Shows the whole line on this machine, after doing all of its own set-up (on
# Debian, as root): topology, a flavor, plan, tune, start, audit of a tiny
# real guest, a drift made by hand that the audit has to catch, undo.
#
# Uses the running libvirtd, or starts a private one and ends it. The guest
# and its files are gone afterwards; .venv and .cache in the checkout stay, so
# that a second run is fast. The exit status is 0 when every promise was kept
# and the broken one was caught, 1 when not, 3 when the set-up could not be
# done.
#
# KVM_TUNING_GUEST_TYPE=kvm|qemu overrides the choice of the guest's type.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
# shellcheck source=tools/lib/setup.sh
. tools/lib/setup.sh

[ $# -eq 0 ] || { sed -n '2,/^set /s/^# \?//p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || die 'run it as root: it installs packages and moves threads'
[ "$(nproc)" -ge 2 ] || die 'the guest needs two CPUs of its own; here is one'
say 'Setting up'
setup 'default build test'
tools/tiny-guest.sh "$cache/tiny-guest"
export QUICKSTART_IMAGE=$cache/tiny-guest QUICKSTART_STARTED=$started
QUICKSTART_TYPE=$(guest_type)
export QUICKSTART_TYPE
exec tools/private-libvirtd bash tools/lib/quickstart-tour.sh
