#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nothing counts as working on a fresh machine until it ran on one. Makes a bare Debian 12 (debootstrap, variant minbase) in a temporary
# folder, clones the committed state of this repository into it and runs commands there, as a user would type them:
#   scripts/fresh_machine.sh [--keep] [--ccache DIR] [--results DIR] [COMMAND ...]
# COMMAND: a shell line run in the clone (default: the README's two commands, the demonstration and all tests).
#   --keep         leave the machine's folder, for a look (printed at the end)
#   --ccache DIR   share this object cache with the machine (CI does; without it everything is compiled from nothing)
#   --results DIR  copy ctest.xml and ctest.txt of every preset to DIR/<preset>/, also after a failure
# Of the host it gets the package sources' settings, certificates, proxies, the name resolution and, where present, the reference
# material (GNN_HPC_SHARED, default ../shared) as ../shared, read-only; no package, no tool, no library.
# Needs root (mounts in a namespace of its own, chroot) and debootstrap. All commands run; exit code: the first one that is not 0; 77 where the
# machine cannot be made (no root, no debootstrap, no namespace), with a sentence that says why.
set -euo pipefail

readonly kCannot=77
readonly home=/root clone=/root/gnn_hpc # in the machine
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'fresh_machine: %s\n' "$*"; }
cannot() { say "$*" >&2; exit "$kCannot"; }

keep=0 ccache= results=
while (($#)); do
  case $1 in
    --keep) keep=1 ;;
    --ccache | --results)
      (($# > 1)) || { say "$1 needs a folder" >&2; exit 2; }
      mkdir -p "$2"
      if [ "$1" = --ccache ]; then ccache=$(realpath "$2"); else results=$(realpath "$2"); fi
      shift
      ;;
    -h | --help) sed -n '3,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) say "unknown option '$1' (known: --keep --ccache --results --help)" >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done
if ((!$#)); then # the README's own lines, so that they are what is tried
  mapfile -t lines < <(sed -n '/^## Two commands/,/^## /p' "$root/README.md" | sed -nE 's/^(scripts\/(run|test)\.sh( [^# ]+)*) *(#.*)?$/\1/p')
  set -- "${lines[0]}" "${lines[-1]}"
fi

[ "$(id -u)" = 0 ] || cannot "making a machine needs root (chroot, mounts); run it as root, or run the two commands of the README here"
command -v debootstrap >/dev/null || cannot "debootstrap is not installed (apt-get install debootstrap); run the two commands of the README here"
unshare --mount --pid --fork true 2>/dev/null || cannot "this system allows no mount namespace; run the two commands of the README here"
if [ -n "$(git -C "$root" status --porcelain --untracked-files=no)" ]; then
  say "uncommitted changes are not in the clone" >&2
fi

# The first archive of the host's package sources that serves Debian itself: a site's mirror, where there is one.
archive=$({
  sed -nE 's/^ *URIs: *([^ ]+).*/\1/p' /etc/apt/sources.list.d/*.sources
  sed -nE 's/^ *deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
} 2>/dev/null | grep -m1 -E '/debian/?$' || true)
[ -n "$archive" ] || cannot "no Debian archive is named in the package sources of this machine"

work=$(mktemp -d "${TMPDIR:-/tmp}/gnn_hpc-fresh.XXXXXX")
machine=$work/machine
# Mounts live in the namespace of the inner shell and end with it; what is removed here is this file system's own.
clean_up() {
  if ((keep)); then say "the machine stays in $machine"; else rm -rf --one-file-system "$work"; fi
}
trap clean_up EXIT

start=$SECONDS
say "a bare Debian 12 in $machine"
if ! debootstrap --variant=minbase bookworm "$machine" "$archive" >"$work/debootstrap.log" 2>&1; then
  tail -n 20 "$work/debootstrap.log" >&2
  cannot "debootstrap failed"
fi

# Settings of the package sources, certificates, name resolution: where packages come from, not what is installed.
settings=()
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/apt/preferences.d \
  /etc/apt/trusted.gpg.d /etc/apt/keyrings /usr/share/keyrings /usr/local/share/ca-certificates /etc/pip.conf /root/.config/pip /root/.pip \
  /etc/resolv.conf /etc/hosts; do
  [ ! -e "$path" ] || settings+=("${path#/}")
done
# How packages are fetched; other files there are hooks that call programs of the host.
for path in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
  if grep -qsE '^ *Acquire' "$path"; then settings+=("${path#/}"); fi
done
tar -C / -chf - "${settings[@]}" | tar -C "$machine" -xf -
environment=(HOME=$home PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}")
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_DEFAULT_TIMEOUT \
  GNN_HPC_JOBS CI; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -f "$bundle" ]; then # under a name of its own: installing ca-certificates writes the usual one anew
  install -D -m 644 "$bundle" "$machine/etc/ssl/host-ca.crt"
  sed -i 's|/etc/ssl/certs/ca-certificates.crt|/etc/ssl/host-ca.crt|' "$machine"/etc/pip.conf "$machine$home"/.config/pip/pip.conf 2>/dev/null || true
  environment+=(SSL_CERT_FILE=/etc/ssl/host-ca.crt PIP_CERT=/etc/ssl/host-ca.crt REQUESTS_CA_BUNDLE=/etc/ssl/host-ca.crt)
fi

git clone -q "$root" "$machine$clone"
shared=${GNN_HPC_SHARED:-$root/../shared}
mounts='mount -t proc proc "$machine/proc"; for folder in dev sys; do mount --rbind /$folder "$machine/$folder"; mount --make-rslave "$machine/$folder"; done'
if [ -d "$shared" ]; then
  mkdir -p "$machine$home/shared"
  mounts+="; mount --bind $(printf %q "$(realpath "$shared")") \"\$machine$home/shared\"; mount -o remount,bind,ro \"\$machine$home/shared\""
fi
if [ -n "$ccache" ]; then
  mkdir -p "$machine$home/.cache/ccache"
  mounts+="; mount --bind $(printf %q "$ccache") \"\$machine$home/.cache/ccache\""
  # Objects that were compiled in another folder count, too.
  environment+=(CCACHE_DIR=$home/.cache/ccache CCACHE_BASEDIR=$home CCACHE_NOHASHDIR=1)
fi
say "made in $((SECONDS - start)) s"

status=0
for command in "$@"; do
  say "\$ $command"
  begin=$SECONDS code=0
  unshare --mount --pid --fork --kill-child bash -euc "machine=$(printf %q "$machine"); $mounts
    exec env -i $(printf '%q ' "${environment[@]}") chroot \"\$machine\" /bin/bash -c 'cd $clone && eval \"\$1\"' fresh_machine $(printf %q "$command")" \
    </dev/null || code=$?
  say "$command: exit $code ($((SECONDS - begin)) s)"
  ((status)) || status=$code
done
if [ -n "$results" ]; then
  for file in "$machine$clone"/build/*/ctest.{xml,txt}; do
    [ -f "$file" ] && install -D -m 644 "$file" "$results/$(basename "$(dirname "$file")")/$(basename "$file")"
  done
fi
exit "$status"
