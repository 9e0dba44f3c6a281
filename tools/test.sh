#!/bin/bash
# Runs the tests, after doing all of its own set-up (on Debian, as root).
#
#   tools/test.sh [TIER...]
#
# Without a name: pep8 mypy unit functional docs. Each is a tier of its own
# too, and so are nova, lab, lab_smoke and cloud, which need more of a machine
# or of time. The last line is the count of the tests: "N passed, N failed, N
# skipped"; a tier that is no test run (a linter, the documentation) counts
# when it fails. The exit status is 0 when nothing failed, 1 when something
# did, 2 for an unknown tier, 3 when the set-up could not be done.
#
# A tier is one function, tier_NAME; it runs tests by run_tests.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
# shellcheck source=tools/lib/setup.sh
. tools/lib/setup.sh

DEFAULT_TIERS='pep8 mypy unit functional docs'
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
  return $status
}

tier_mypy() { check mypy; }

tier_unit() { run_tests ./tests/unit stestr run; }

tier_functional() {
  tools/tiny-guest.sh "$cache/tiny-guest" || return 1
  run_tests ./tests/functional tools/private-libvirtd stestr run --serial
}

lab() {  # ARGUMENT...: tests on an emulated host, see tools/lab
  system_packages lab
  run_tests ./tests/lab python tools/lab test "$@"
}

tier_lab() { lab; }

# What shows in minutes that the lab works, and the main job in it
tier_lab_smoke() { lab --smoke; }

tier_docs() {
  check sphinx-build -q -W --keep-going -b html doc/source doc/build/html
}

tiers=${*:-$DEFAULT_TIERS}
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
