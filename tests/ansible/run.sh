#!/bin/bash
# Runs the Ansible collection's playbook against this host, as root.
#
#   tests/ansible/run.sh ANSIBLE-VENV PROGRAM
#
# The one setting that it changes is taken back: how hard a page fault tries
# to make a huge page.
set -euo pipefail
ansible=$1 program=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
attribute=/sys/kernel/mm/transparent_hugepage/defrag
value=defer
! grep -q '\[defer\]' "$attribute" || value=madvise
printf '[transparent_huge_pages]\ndefrag = %s\n' "$value" >"$place/test.conf"

export ANSIBLE_COLLECTIONS_PATH=$place/collections ANSIBLE_NOCOLOR=1
"$ansible/bin/ansible-galaxy" collection build "$top/ansible" \
  --output-path "$place" >"$place/log"
"$ansible/bin/ansible-galaxy" collection install --offline \
  "$place"/kvm_tuning-kvm_tuning-*.tar.gz >>"$place/log"
for module in host flavor guest_audit guest_assess topology_facts; do
  "$ansible/bin/ansible-doc" -t module "kvm_tuning.kvm_tuning.$module" \
    >>"$place/log"
done
before=$(cat "$attribute")
"$ansible/bin/ansible-playbook" -i localhost, \
  -e ansible_python_interpreter="$ansible/bin/python" \
  -e "program=$program" -e "configuration=$place/test.conf" \
  "$top/tests/ansible/play.yml"
"$ansible/bin/ansible-playbook" -i localhost, --syntax-check /dev/stdin <<'PLAY'
- hosts: localhost
  roles: [kvm_tuning.kvm_tuning.compute]
PLAY
[ "$(cat "$attribute")" = "$before" ] || { echo 'not taken back' >&2; exit 1; }
