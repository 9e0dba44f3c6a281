#!/bin/bash
# Runs the tests, after doing all of its own set-up (on Debian, as root).
#
#   tools/test.sh [TIER...]
#
# Without a name, or with default, it runs the tiers of DEFAULT_TIERS. Others
# need more of a machine or of time and are run by name: hostile, tox, corpus, hwloc,
# ansible, judges, nova, devstack, lab, walkthrough, cloud, cloud_lab, cloud_init
# and pages.
# cloud-lab means cloud_lab.
# The last line is the count of the tests: "N passed, N failed, N skipped"; a
# tier that is no test run (a linter, the documentation) counts when it fails.
# The exit status is 0 when nothing failed, 1 when something did, 2 for an
# unknown tier, 3 when the set-up could not be done.
#
# A tier is one function, tier_NAME; it runs tests by run_tests.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
# shellcheck source=tools/lib/setup.sh
. tools/lib/setup.sh

DEFAULT_TIERS='pep8 mypy unit hostile_part functional corpus_sample docs lab_smoke'
passed=0 failed=0 skipped=0 failures=()

run_tests() {  # TEST-PATH COMMAND...: stestr through COMMAND, counted
  local path=$1 log status=0 totals
  shift
  log=$(mktemp "$cache/stestr.XXXXXX")
  OS_TEST_PATH=$path "$@" 2>&1 | tee "$log" || status=$?
  totals=$(awk '/^ - (Passed|Failed|Unexpected Success|Expected Fail|Skipped): / {
      name = $0; sub(/^ - /, "", name); sub(/:.*/, "", name)
      count[name] = $NF
    }
    END {
      print count["Passed"] + count["Expected Fail"],
        count["Failed"] + count["Unexpected Success"], count["Skipped"] + 0
    }' "$log")
  rm -f "$log"
  local ok bad skip
  read -r ok bad skip <<<"$totals"
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
  [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || failed=$((failed + 1))
  # Not every command of stestr fails when a test has.
  [ "$bad" -eq 0 ] || status=1
  [ "$((ok + bad + skip))" -gt 0 ] || { note "no test ran in $path"; status=1; }
  return "$status"
}

check() {  # COMMAND...: counts when it fails
  "$@" || { failed=$((failed + 1)); return 1; }
}

tier_pep8() {
  local status=0
  check ruff check --quiet || status=1
  check ruff format --check --quiet || status=1
  check flake8 || status=1
  check bash tools/lib/shellcheck.sh || status=1
  check bashate devstack/settings devstack/plugin.sh devstack/files/nova-conf.sh || status=1
  return $status
}

tier_mypy() { check mypy; }

tier_unit() { run_tests ./tests/unit stestr run; }

tier_tox() {  # what CONTRIBUTING.rst promises of a fresh clone
  local status=0
  # In an environment of its own: it may not lean on what is installed here.
  [ -x "$cache/tox/bin/tox" ] || {
    python3 -m venv --clear "$cache/tox"
    "$cache/tox/bin/python" -m pip --quiet --disable-pip-version-check \
      install 'tox>=4.67'
  }
  rm -rf "$cache/fresh"
  git clone --quiet "$top" "$cache/fresh"
  run_tests ./tests/unit in_clone || status=1
  rm -rf "$cache/fresh"
  return $status
}

in_clone() {  # tox -e py3 there, and nothing left behind
  cd "$cache/fresh"
  "$cache/tox/bin/tox" run -e py3 || return 1
  [ -z "$(git status --porcelain)" ] || {
    git status --short
    note 'tox has left what git does not ignore'
    return 1
  }
  [ ! -f .venv ] || { note 'tox has left a file .venv'; return 1; }
}

hostile() {  # ARGUMENT...: our fuzzers, and attacks as nobody
  local status=0
  check python -m tests.hostile "$@" || status=1
  if [ "$(id -u)" -eq 0 ]; then
    check python -m tests.hostile.attack || status=1
  fi
  return $status
}

tier_hostile() {
  local status=0
  hostile --inputs 200000 || status=1
  check python -m tests.hostile.faults || status=1
  return $status
}

# The same inputs each time, so that it fails for a change alone: tier_hostile
# takes another seed as an argument of python -m tests.hostile.
tier_hostile_part() { hostile --inputs 60000; }

tier_functional() {
  tools/tiny-guest.sh "$cache/tiny-guest" || return 1
  run_tests ./tests/functional tools/private-libvirtd stestr run --serial
}

corpus() {  # ARGUMENT...: libvirt's own domains, each plan counted
  local log status=0 ok bad
  log=$(mktemp "$cache/corpus.XXXXXX")
  python -m tests.corpus "$@" | tee "$log" || status=$?
  read -r ok bad <<<"$(sed -n \
    's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log")"
  rm -f "$log"
  passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-1}))
  return "$status"
}

tier_corpus() { corpus; }  # half an hour of two processors

tier_corpus_sample() { corpus --sample --seconds 120; }

lab() {  # ARGUMENT...: tests on an emulated host, see tools/lab
  system_packages lab
  run_tests ./tests/lab python tools/lab test "$@"
}

tier_lab() { lab; }

tier_walkthrough() {  # the documentation shows what a node prints
  system_packages lab
  check python tools/lab walkthrough --check
}

# What shows in minutes that the lab works, the main job and host-prep in it
tier_lab_smoke() { lab --smoke; }

tier_judges() {  # other programs' own readers of their configuration
  system_packages judges
  run_tests ./tests/judges stestr run
}

tier_ansible() {  # the collection, on this host: see tests/ansible/run.sh
  [ -x "$cache/ansible/bin/ansible-playbook" ] || {
    python3 -m venv --clear "$cache/ansible"
    "$cache/ansible/bin/python" -m pip --quiet --disable-pip-version-check \
      install 'ansible-core>=2.15,<2.20'
  }
  check tests/ansible/run.sh "$cache/ansible" "$venv/bin/kvm-tuning"
}

tier_hwloc() {  # machines of hwloc's own tests, as hwloc reads them
  system_packages hwloc
  hwloc_collection || return 1
  KVM_TUNING_HWLOC_TESTS=$cache/hwloc/tests/hwloc/linux \
    run_tests ./tests/hwloc stestr run
}

hwloc_collection() {  # Debian's source of hwloc, unpacked once
  local home=$cache/hwloc options archive
  [ ! -e "$home/done" ] || return 0
  rm -rf "$home"
  mkdir -p "$home/lists/partial"
  # The host's own lists of packages stay as they are
  echo "deb-src ${KVM_TUNING_DEBIAN:-http://deb.debian.org/debian} $(
    . /etc/os-release; echo "$VERSION_CODENAME") main" >"$home/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$home/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$home/lists")
  apt-get "${options[@]}" update || return 1
  (cd "$home" && apt-get "${options[@]}" source --download-only hwloc) || return 1
  archive=$(ls "$home"/hwloc_*.orig.tar.*)
  tar -xf "$archive" -C "$home" --strip-components=1 || return 1
  touch "$home/done"
}

# Nova 34, 2026.2, with the placement of the same time
nova_versions='nova==34.0.0 openstack-placement==16.0.0'

tier_cloud_init() {  # Debian's own cloud-init, on a node and in a guest
  system_packages cloud-init
  python_packages "$top/tests/cloud_init/requirements.txt"
  python tools/cloud_init || return 1
  KVM_TUNING_CLOUD_INIT=${KVM_TUNING_CACHE:-$cache}/cloud-init \
    run_tests ./tests/cloud_init tools/private-libvirtd stestr run --serial
}

# DevStack's, as its plugin's tests were written for it
devstack_url=${KVM_TUNING_DEVSTACK_URL:-https://opendev.org/openstack/devstack}

devstack_setup() {  # names DevStack's tree, fetched where that can be
  if [ -z "${KVM_TUNING_DEVSTACK:-}" ]; then
    KVM_TUNING_DEVSTACK=${KVM_TUNING_CACHE:-$cache}/devstack
    if [ ! -d "$KVM_TUNING_DEVSTACK" ]; then
      note "git clone $devstack_url"
      git clone --quiet --depth 1 "$devstack_url" "$KVM_TUNING_DEVSTACK" ||
        { note "set KVM_TUNING_DEVSTACK to a tree of DevStack"; return 1; }
    fi
  fi
  export KVM_TUNING_DEVSTACK
  system_packages devstack
}

tier_devstack() {  # the plugin's phases, by DevStack's own functions
  devstack_setup || { failed=$((failed + 1)); return 1; }
  KVM_TUNING_DEVSTACK_SEQUENCES=${KVM_TUNING_DEVSTACK_SEQUENCES:-50} \
    run_tests ./tests/unit stestr run tests.unit.test_devstack
}

tier_cloud() {  # a real OpenStack on loopback, and what its servers take
  local status=0 packages
  # Neither needs the other.
  system_packages cloud &
  packages=$!
  python tools/cloud install || status=1
  wait "$packages" || status=1
  [ "$status" -eq 0 ] || return 1
  python tools/cloud up || return 1
  run_tests ./tests/cloud python tools/cloud run stestr run --serial ||
    status=1
  check python tools/cloud run python tools/bench/cloud.py || status=1
  # The documentation shows what it prints
  check python tools/cloud run python tools/docs/path.py --check || status=1
  python tools/cloud down
  return $status
}

tier_cloud_lab() {  # nodes of the lab as compute hosts of that cloud
  system_packages lab cloud
  run_tests ./tests/cloud_lab python tools/cloud_lab test
}

nova_setup() {  # an environment of its own: Nova fixes many versions
  local wanted file=$nova/kvm-tuning.stamp
  [ -x "$nova/bin/python" ] || python3 -m venv --clear "$nova"
  wanted="$nova_versions $(stamp \
    "$top"/{setup.cfg,requirements.txt,tests/nova/requirements.txt})"
  if [ "$(cat "$file" 2>/dev/null)" != "$wanted" ]; then
    note "pip install $nova_versions -r tests/nova/requirements.txt -e ."
    # shellcheck disable=SC2086
    "$nova/bin/python" -m pip --quiet --disable-pip-version-check install \
      -r "$top/tests/nova/requirements.txt" $nova_versions -e "$top"
    echo "$wanted" >"$file"
  fi
}

run_nova() {  # ARGUMENT...: tests through our runner, counted
  local log status=0 ok bad skip
  note "python -m tests.nova.upstream $*"
  log=$(mktemp "$cache/nova.XXXXXX")
  "$nova/bin/python" -m tests.nova.upstream --details "$log.details" "$@" |
    tee "$log" || status=$?
  read -r ok bad skip <<<"$(sed -n \
    's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' \
    "$log")"
  if [ -z "$ok" ]; then
    failed=$((failed + 1))
    return 1
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
  sed -n 's/^calls: //p' "$log" >>"$cache/nova.calls"
  [ "$status" -eq 0 ] || note "tracebacks are in $log.details"
  return "$status"
}

tier_nova() {  # our tests, then Nova's own, and again with L3 domains
  local status=0 names
  nova=$cache/nova-venv
  nova_setup || return 1
  : >"$cache/nova.calls"
  # Some of ours read what DevStack's plugin writes.
  devstack_setup || unset KVM_TUNING_DEVSTACK
  run_nova --own --threads tests.nova || status=1
  names='nova.tests.unit.virt.libvirt nova.tests.unit.virt.test_hardware
    nova.tests.unit.compute.test_claims
    nova.tests.unit.compute.test_resource_tracker'
  # shellcheck disable=SC2086
  run_nova $names || status=1
  run_nova --threads nova.tests.functional.libvirt || status=1
  # shellcheck disable=SC2086
  run_nova --l3 4 --threads $names || status=1
  run_nova --l3 4 --threads --filter nova.tests.functional.libvirt || status=1
  say 'calls of our wrappers in all of these runs'
  awk '{ calls[$1] += $2 } END { for (name in calls) print calls[name], name }' \
    "$cache/nova.calls" | sort -k 2 | tee "$cache/nova.sums"
  # shellcheck disable=SC2016
  check awk '!$1 { bad = 1; print $2 " was never called" } END { exit bad }' \
    "$cache/nova.sums" || status=1
  return $status
}

tier_docs() {
  check sphinx-build -q -W --keep-going -b html doc/source doc/build/html
  check sphinx-build -q -W --keep-going -b man doc/source doc/build/man
}

tier_pages() {  # every page in Chromium, at two widths
  local axe=$cache/axe/node_modules/axe-core/axe.min.js
  system_packages pages
  command -v npm >/dev/null || install_or_stop npm
  [ -e "$axe" ] || npm install --silent --no-audit --no-fund \
    --prefix "$cache/axe" axe-core || return 1
  pip install -r tools/docs/requirements.txt
  tier_docs || return 1
  check python tools/docs/pages.py "$axe"
}

tiers=${*:-$DEFAULT_TIERS}
tiers=${tiers//-/_}
tiers=${tiers//default/$DEFAULT_TIERS}
for tier in $tiers; do
  declare -F "tier_$tier" >/dev/null || {
    echo "$0: no such tier yet: $tier" >&2
    exit 2
  }
done
say "Setting up"
setup 'build test' "$top/test-requirements.txt" "$top/doc/requirements.txt"
for tier in $tiers; do
  say "$tier"
  "tier_$tier" || failures+=("$tier")
done
say "${failures[*]:+failed: }${failures[*]:-all of $tiers passed}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "${#failures[@]}" -eq 0 ]
