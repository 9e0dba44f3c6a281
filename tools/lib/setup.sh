# shellcheck shell=bash
# What tools/quickstart.sh and tools/test.sh need before they can start:
# system packages, a virtual environment, a libvirt-python that fits. Sourced;
# each function does nothing, fast, when its work is done already.

# Asked of the caller: top, the checkout's folder.
# shellcheck disable=SC2154
cache=$top/.cache
venv=${KVM_TUNING_VENV:-$top/.venv}
# Others may have put a file there that names an environment of theirs (PEP
# 832: tox 4.67 does where its configuration lets it). It stays.
[ -n "${KVM_TUNING_VENV:-}" ] || [ ! -f "$venv" ] || venv=$cache/venv
started=$(date +%s)

say() { printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - started))"; }
note() { printf '   %s\n' "$*"; }
die() { printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2; exit 3; }

# git refuses a checkout that belongs to somebody else. Who runs this script
# trusts the checkout: say so to git, for this process and its children.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory
export GIT_CONFIG_VALUE_0=$top

apt_install() {  # PACKAGE...
  note "apt-get install $*"
  [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] ||
    DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # Where daemons are started by their packages, they may be: nothing here
  # depends on it.
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "$@" >"$cache/apt.log" 2>&1 || {
    # Lists may be older than the mirror
    DEBIAN_FRONTEND=noninteractive apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends "$@" >"$cache/apt.log" 2>&1
  } || { tail -n 20 "$cache/apt.log" >&2; die "apt-get could not install: $*"; }
}

install_or_stop() {  # PACKAGE...: install what is missing, or say it
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt_install "$@"
  else
    die "missing system packages, to be installed by root: $*"
  fi
}

make_venv() {
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_or_stop python3 python3-venv
  fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or later is needed, not $(python3 -V)"
  [ ! -e "$venv" ] || [ -d "$venv" ] ||
    die "KVM_TUNING_VENV is $venv, and that is not a directory"
  if ! "$venv/bin/python" -c '' 2>/dev/null; then
    note "virtual environment in $venv"
    python3 -m venv --clear "$venv"
  fi
}

pip() {
  "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

stamp() {  # FILE...: what a set-up depends on, as one line
  { "$venv/bin/python" -V; cat "$@"; } | sha256sum | cut -d ' ' -f 1
}

system_packages() {  # PROFILE...: bindep.txt's packages, by apt
  [ -x "$venv/bin/bindep" ] || pip install bindep
  local missing
  # bindep's own exit status says whether something is missing: it is printed
  missing=$("$venv/bin/bindep" --brief --file "$top/bindep.txt" "$@") || true
  # shellcheck disable=SC2086
  [ -z "$missing" ] || install_or_stop $missing
}

python_packages() {  # REQUIREMENTS-FILE...: the package, editable, and these
  local wanted file arguments=()
  wanted=$(stamp "$top"/{setup.cfg,setup.py,pyproject.toml,requirements.txt} "$@")
  file=$venv/kvm-tuning.$(printf '%s ' "$@" | sha256sum | cut -c 1-8)
  if [ "$(cat "$file" 2>/dev/null)" != "$wanted" ]; then
    note 'pip install -e .' "${@/#$top\//-r }"
    local requirements
    for requirements in "$@"; do arguments+=(-r "$requirements"); done
    pip install -e "$top" "${arguments[@]}"
    echo "$wanted" >"$file"
  fi
}

fit_libvirt_python() {  # the binding of the installed libvirt's version
  local version candidate file=$venv/libvirt-python.for
  version=$(pkg-config --modversion libvirt)
  if [ "$(cat "$file" 2>/dev/null)" = "$version" ] &&
    "$venv/bin/python" -c 'import libvirt' 2>/dev/null; then
    return
  fi
  # The same version or, where there is none or it does not build, the
  # nearest that is not newer
  for candidate in $(libvirt_python_versions "$version"); do
    note "libvirt-python $candidate for libvirt $version"
    if pip install --use-pep517 "libvirt-python==$candidate" &&
      "$venv/bin/python" -c 'import libvirt'; then
      echo "$version" >"$file"
      return
    fi
  done
  die "no libvirt-python for libvirt $version could be built"
}

libvirt_python_versions() {  # VERSION: up to four candidates, the best first
  printf '%s\n' "$1"
  "$venv/bin/python" -m pip index versions libvirt-python 2>/dev/null |
    sed -n 's/^Available versions: //p' | tr -d , | tr ' ' '\n' |
    sort -rV | awk -v limit="$1" '
      function number(text, part) {
        split(text, part, "."); return part[1] * 1e6 + part[2] * 1e3 + part[3]
      }
      number($0) < number(limit)' | head -n 3
}

guest_type() {  # kvm where the processor virtualizes, else qemu (emulation)
  if [ -n "${KVM_TUNING_GUEST_TYPE:-}" ]; then
    echo "$KVM_TUNING_GUEST_TYPE"
  elif [ -r /dev/kvm ] && [ -w /dev/kvm ] &&
    grep -qE '^flags.*\b(vmx|svm)\b' /proc/cpuinfo; then
    echo kvm
  else
    echo qemu
  fi
}

# Each caller's set-up: setup PROFILES REQUIREMENTS-FILE...
setup() {
  local profiles=$1
  shift
  mkdir -p "$cache"
  make_venv
  # shellcheck disable=SC2086
  system_packages $profiles
  python_packages "$@"
  fit_libvirt_python
  export PATH="$venv/bin:$PATH"
}
