# Sourced by ./migrascope and ./test, which set $here: the distribution's packages, and .venv with what a list in
# requirements/ names, kept by the list's hash. All words go to standard error.
# shellcheck shell=sh

python=$here/.venv/bin/python

say() { printf 'migrascope: %s\n' "$*" >&2; }

die() {
  say "$@"
  exit 4
}

# want PACKAGE COMMAND...: the package is wanted if the command fails
want() {
  package=$1
  shift
  "$@" >/dev/null 2>&1 || wanted="$wanted $package"
}

want_python() {
  want python3 command -v python3
  want python3-venv python3 -c 'import venv, ensurepip'
  want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
}

want_lab() {
  want mmdebstrap command -v mmdebstrap
  want util-linux command -v unshare
  want debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
}

want_testbed() {
  want systemd-container command -v systemd-nspawn
}

# become_root COMMAND...: runs it in place of this shell, by sudo if need be, with what it should know of our environment
become_root() {
  # by name: a value on the command line, as a proxy's with its password, is in sudo's log and in everybody's sight
  kept=NO_COLOR,COLUMNS,OS_CLIENT_CONFIG_FILE,http_proxy,https_proxy,no_proxy
  [ "$(id -u)" = 0 ] || set -- sudo "--preserve-env=$kept" "$@"
  exec "$@"
}

# one process at a time changes the system or .venv
lock() {
  # whoever can open the file can hold its lock for ever: it is the owner's alone, and waiting ends
  [ -w "$here" ] || return 0
  (umask 077 && : >>"$here/.lock")
  exec 9<"$here/.lock"
  [ "$(id -u)" != 0 ] || chown --reference="$here" "$here/.lock"
  flock -n 9 || {
    say "another process is setting things up, waiting for it"
    flock -w 1800 9 || die "another process has held $here/.lock for half an hour; end it (fuser $here/.lock) and try again"
  }
}

unlock() { exec 9<&-; }

# packages WANT...: installs what these functions want
packages() {
  wanted=
  for function in "$@"; do "$function"; done
  [ -n "$wanted" ] || return 0
  lock
  wanted=
  for function in "$@"; do "$function"; done
  [ -z "$wanted" ] || _install
  unlock
}

_install() {
  command -v apt-get >/dev/null || die "these Debian packages, or what this system has in their place, are missing:$wanted"
  say "installing the distribution's packages:$wanted"
  log=$(mktemp)
  # shellcheck disable=SC2016,SC2086  # the inner shell expands $@, and $wanted is a list
  set -- sh -c '
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update && apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"' sh $wanted
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "root is needed for that; as root: apt-get install$wanted"
  if ! (become_root "$@") >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    die "the packages could not be installed (all of it: $log); as root: apt-get update && apt-get install$wanted"
  fi
  rm -f "$log"
}

# what .venv must match: the list, where the checkout lies, and the interpreter it was made with
_key() { sha256sum <"$here/requirements/$1.txt" && echo "$here" && readlink -f "$python"; }

is_ready() { [ -x "$python" ] && [ "$(_key "$1")" = "$(cat "$here/.venv/$1.stamp" 2>/dev/null)" ]; }

# ready LIST WANT...: what these functions want is installed, and .venv holds requirements/LIST.txt and this checkout's
# package
ready() {
  list=$1
  shift
  is_ready "$list" || set -- "$@" want_python
  packages "$@"
  is_ready "$list" && return
  lock
  is_ready "$list" || _make "$list"
  unlock
}

_find_python() {
  for system in python3 python3.14 python3.13 python3.12 python3.11; do
    "$system" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  done
  die "Python 3.11 or newer is needed; this system has $(python3 -V 2>&1)"
}

_make() {
  say "setting up .venv from requirements/$1.txt (downloads up to 150 MB, once)"
  # shellcheck disable=SC2016
  usable='import pip, sys; sys.exit(sys.version_info < (3, 11) or sys.prefix != sys.argv[1])'
  if [ -e "$here/.venv/broken" ] || ! "$python" -c "$usable" "$here/.venv" 2>/dev/null; then
    _find_python
    "$system" -m venv --clear "$here/.venv" >&2 || die "$system -m venv failed in $here"
  fi
  # where only pip was told which certificates to trust, uv trusts them too
  [ -z "${PIP_CERT-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
  export UV_SYSTEM_CERTS=1 PIP_DISABLE_PIP_VERSION_CHECK=1
  quiet=--quiet
  [ ! -t 2 ] || quiet=
  # shellcheck disable=SC2086  # empty on a terminal
  "$python" -m pip install --quiet --no-deps --require-hashes -r "$here/requirements/uv.txt" >&2 &&
    "$here/.venv/bin/uv" pip install $quiet --python "$python" --only-binary :all: --require-hashes \
      -r "$here/requirements/$1.txt" >&2 ||
    die "the Python packages could not be installed; if the network is there (behind a proxy, see SSL_CERT_FILE), try again"
  echo "$here/src" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/migrascope.pth"
  _key "$1" >"$here/.venv/$1.part"
  mv "$here/.venv/$1.part" "$here/.venv/$1.stamp"
  [ "$(id -u)" != 0 ] || chown -R --reference="$here" "$here/.venv"
}
