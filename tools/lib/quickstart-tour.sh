#!/bin/bash
# The tour of tools/quickstart.sh, which has set everything up and runs this
# where a libvirtd answers. Takes QUICKSTART_IMAGE (the tiny guest's folder),
# QUICKSTART_TYPE (kvm or qemu), QUICKSTART_STARTED (seconds since the epoch).
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
flavor=$top/etc/kvm_tuning/flavors/quickstart.yaml
name=kvm-tuning-quickstart
READY_DEADLINE=120

say() { printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - QUICKSTART_STARTED))"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }
tuning() {  # ARGUMENT...: kvm-tuning with the tour's configuration, shown
  printf '$ kvm-tuning %s\n' "$*"
  kvm-tuning --config-file "$work/kvm-tuning.conf" "$@"
}
definition() { virsh -q dumpxml --inactive "$name"; }

remove_guest() {
  virsh -q destroy "$name" >/dev/null 2>&1 || true
  virsh -q undefine "$name" >/dev/null 2>&1 || true
}

# Not under /tmp, which may lack O_DIRECT; QEMU may run as another user.
work=$(mktemp -d /var/tmp/kvm-tuning-quickstart.XXXXXX)
chmod 755 "$work"
finish() {
  local status=$?
  remove_guest
  rm -rf "$work"
  [ "$status" -eq 0 ] || printf '\nquickstart: FAILED (see above)\n' >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_guest() {
  local disk
  cp "$QUICKSTART_IMAGE"/{kernel,initrd} "$work/"
  for disk in disk0.img disk1.img; do fallocate -l 16M "$work/$disk"; done
  : >"$work/console.log"
  sed -e "s|@TYPE@|$QUICKSTART_TYPE|" -e "s|@NAME@|$name|" \
    -e "s|@DIR@|$work|" -e 's|@MAC@|52:54:00:6b:76:6d|' \
    -e "s|@CONSOLE@|$work/console.log|" \
    "$top/etc/kvm_tuning/samples/tiny-guest.xml" >"$work/guest.xml"
  remove_guest  # one that an interrupted run left
  virsh -q define "$work/guest.xml"
}

wait_until_ready() {
  local tries
  for ((tries = 0; tries < READY_DEADLINE * 5; tries++)); do
    ! grep -q 'guest ready' "$work/console.log" || return 0
    sleep 0.2
  done
  tail -n 5 "$work/console.log" >&2
  fail "the guest was not ready after $READY_DEADLINE s"
}

vcpu_thread() {  # NUMBER: the id of the vCPU's thread
  local pid task
  pid=$(cat "/run/libvirt/qemu/$name.pid")
  for task in "/proc/$pid/task"/*; do
    case $(cat "$task/comm") in "CPU $1/"*) basename "$task"; return ;; esac
  done
  fail "QEMU (process $pid) has no thread of vCPU $1"
}

cpuset_file() {  # THREAD: its control group's cpuset.cpus, where it has one
  local path
  path=$(sed -n 's|^[0-9]*:cpuset:|/cpuset|p' "/proc/$1/cgroup")  # version 1
  [ -n "$path" ] || path=$(sed -n 's|^0::||p' "/proc/$1/cgroup")
  echo "/sys/fs/cgroup$path/cpuset.cpus"
}

move_vcpu() {  # NUMBER: to a pCPU that is not its own
  local thread allowed cpu online file
  thread=$(vcpu_thread "$1")
  allowed=$(taskset -pc "$thread" | sed 's/.*: //')
  online=$(cat /sys/devices/system/cpu/online)
  file=$(cpuset_file "$thread")
  if [ -w "$file" ]; then
    # libvirt's control group holds the thread as well as its affinity does
    printf '$ echo %s >%s\n' "$online" "$file"
    echo "$online" >"$file"
  fi
  for cpu in $(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))'); do
    [ "$cpu" = "$allowed" ] || { run taskset -pc "$cpu" "$thread"; return; }
  done
  fail "vCPU $1 is on every pCPU already"
}

cat >"$work/kvm-tuning.conf" <<CONF
[placement]
# Every online pCPU may be given away: the tour's guest needs two
dedicated_cpus = $(cat /sys/devices/system/cpu/online)
CONF

say "This host's topology"
tuning host topology

say 'The flavor, and what is wrong with it (nothing)'
grep -v '^#' "$flavor"
tuning flavor check "$flavor"

say "A tiny guest (type $QUICKSTART_TYPE), and how it would be changed"
make_guest
definition >"$work/before.xml"
tuning guest plan --flavor "$flavor" --domain "$name" --show diff

say 'Tune and start it'
tuning guest tune --flavor "$flavor" "$name"
tuning guest start "$name"
wait_until_ready
echo "the guest says: $(grep -m 1 'guest ready' "$work/console.log" | tr -d '\r')"

say 'Audit: promised and found'
tuning guest audit "$name" || fail 'a promise was not kept'

say "Move vCPU 0's thread by hand, behind everyone's back"
move_vcpu 0
status=0
tuning guest audit "$name" | tee "$work/audit" || status=$?
[ "$status" -eq 1 ] || fail "the audit did not catch it (exit status $status)"
grep -A 3 '^- error: ' "$work/audit" | grep -qF "vcpupin[@vcpu='0']" ||
  fail 'the audit found something else than the moved vCPU'

say 'Undo: the definition is what it was'
virsh -q destroy "$name"
tuning guest undo "$name"
definition >"$work/after.xml"
diff -u "$work/before.xml" "$work/after.xml" ||
  fail 'the definition differs from what it was'

say 'Done'
echo 'quickstart: PASSED: all promises kept, then the broken one caught'
