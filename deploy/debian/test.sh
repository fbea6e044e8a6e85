#!/usr/bin/env bash
# Tests the Debian package of this machine's architecture in a fresh Debian: test.sh BINARIES VERSION WORK. It is made
# twice and must have the same bytes; it is installed, its units are checked, the all-in-one runs as its unit would run
# it, the package is upgraded over a configuration that somebody has changed, removed and purged, and nothing is left.
# Root; debootstrap fetches Debian from the mirror that apt of this machine uses.
set -euo pipefail
binaries=$1 version=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
arch=$(dpkg --print-architecture)
root=$work/root
pid=

step() { echo "== $*"; }
fail() { echo "test-deb: $*" >&2; exit 1; }
inside() { LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
# cleanup ends what the test has started, and only that, and removes the Debian.
cleanup() {
  [ -z "$pid" ] || kill "$pid" 2> /dev/null || true
  for m in sys proc; do ! mountpoint -q "$root/$m" || umount -R "$root/$m"; done
  rm -rf --one-file-system "$root"
}
trap cleanup EXIT

step "two builds are equal, whatever the time zone and the mask of the shell"
mkdir -p "$work/new" "$work/again" "$work/old" "$work/changed"
"$here/build.sh" "$arch" "$version" "$binaries" "$work/new"
(umask 077 && TZ=Asia/Tokyo "$here/build.sh" "$arch" "$version" "$binaries" "$work/again")
new=$(echo "$work"/new/*.deb)
cmp "$new" "$work"/again/*.deb
# Versions before and after: the same programs, the latter with another configuration.
sed 's/9464/9465/' "$here/../systemd/millrace.yaml" > "$work/changed.yaml"
export COMPRESSION=none
SOURCE_DATE_EPOCH=1000000000 "$here/build.sh" "$arch" 0.0.0-before "$binaries" "$work/old"
CONFFILE=$work/changed.yaml "$here/build.sh" "$arch" 999.0.0-rc.1 "$binaries" "$work/changed"
dpkg --compare-versions "$(dpkg-deb -f "$work"/old/*.deb Version)" lt "$(dpkg-deb -f "$new" Version)"
dpkg --compare-versions "$(dpkg-deb -f "$work"/changed/*.deb Version)" lt 999.0.0

step "a fresh Debian"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(CREATED_BY)' | awk '$3 == "Packages" && $2 !~ /-/ { print $1; exit }')
debootstrap --variant=minbase --include=adduser,systemd bookworm "$root" "$mirror" > "$work/debootstrap.log" 2>&1 ||
  fail "no Debian: $(tail -3 "$work/debootstrap.log")"
mkdir -p "$root/proc" "$root/sys"
mount -t proc proc "$root/proc"
mount --rbind --make-rslave /sys "$root/sys"
files() { (cd "$root" && find . -xdev -path ./proc -prune -o -path ./sys -prune -o -print | LC_ALL=C sort); }
# What installing any package changes: dpkg's and debconf's own files, backups and locks of accounts, caches, logs.
others='^\./(var/(lib/dpkg|cache|log|lib/systemd/deb-systemd-helper)|etc/(passwd|group|g?shadow|sub[ug]id)-|etc/\.pwd\.lock|tmp)'
mkdir "$root/debs"
cp "$new" "$root/debs/new.deb"
cp "$work"/old/*.deb "$root/debs/old.deb"
cp "$work"/changed/*.deb "$root/debs/changed.deb"
files > "$work/before"
cp "$root/etc/passwd" "$work/passwd"
cp "$root/etc/group" "$work/group"

step install
inside dpkg -i /debs/old.deb > "$work/dpkg.log" 2>&1 || fail "install: $(cat "$work/dpkg.log")"
inside getent passwd millrace > /dev/null || fail "no account"
[ "$(stat -c '%U %G %a' "$root/etc/millrace/millrace.yaml" | cut -d' ' -f3)" = 640 ] || fail "everybody reads the configuration"
[ -z "$(find "$root/etc/systemd/system" -name 'millrace*')" ] || fail "a unit is enabled that nobody enabled"
inside millrace config check --config /etc/millrace/millrace.yaml
inside systemd-analyze verify --man=no /usr/lib/systemd/system/millrace{,-capture,-decoder,-enricher,-exporter}.service
inside systemctl enable millrace.service 2> /dev/null

step "upgrade over a changed configuration"
sed -i 's/9464/19464/' "$root/etc/millrace/millrace.yaml"
inside dpkg -i /debs/new.deb > "$work/dpkg.log" 2>&1 < /dev/null || fail "upgrade: $(cat "$work/dpkg.log")"
grep -q 19464 "$root/etc/millrace/millrace.yaml" || fail "the upgrade has overwritten the configuration"
inside dpkg -i --force-confold /debs/changed.deb > "$work/dpkg.log" 2>&1 || fail "upgrade: $(cat "$work/dpkg.log")"
grep -q 19464 "$root/etc/millrace/millrace.yaml" || fail "the upgrade has overwritten the configuration"
[ -e "$root/etc/millrace/millrace.yaml.dpkg-dist" ] || fail "the new configuration is not beside the old one"
[ "$(stat -c %a "$root/etc/millrace/millrace.yaml")" = 640 ] || fail "the upgrade has opened the configuration"
[ -L "$root/etc/systemd/system/multi-user.target.wants/millrace.service" ] || fail "the upgrade has disabled the unit"

step "the all-in-one, as its unit runs it"
unit=$root/usr/lib/systemd/system/millrace.service
mkdir -p "$root/var/lib/millrace"
read -r -a command <<< "$(sed -n 's/^ExecStart=//p' "$unit")"
capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
sed -i '/^exporters:/,/^telemetry:/{/^telemetry:/!d}' "$root/etc/millrace/millrace.yaml" # There is no backend.
LC_ALL=C chroot "$root" setpriv --bounding-set "-all,$capabilities" --no-new-privs \
  "${command[@]}" > "$work/millrace.log" 2>&1 &
pid=$!
for _ in $(seq 100); do
  kill -0 "$pid" 2> /dev/null || fail "it has ended: $(tail -5 "$work/millrace.log")"
  if curl -fs http://127.0.0.1:19464/readyz > /dev/null; then ready=yes; break; fi
  sleep 0.3
done
[ "${ready:-}" = yes ] || fail "not ready: $(curl -s http://127.0.0.1:19464/readyz) $(tail -5 "$work/millrace.log")"
kill "$pid"
wait "$pid" || fail "it ended with $? after SIGTERM: $(tail -5 "$work/millrace.log")"
pid=

step remove
inside dpkg -r millrace > "$work/dpkg.log" 2>&1 || fail "remove: $(cat "$work/dpkg.log")"
[ -z "$(find "$root/usr" "$root/etc/systemd" -name '*millrace*')" ] || fail "left: $(find "$root/usr" "$root/etc/systemd" -name '*millrace*')"
grep -q 19464 "$root/etc/millrace/millrace.yaml" || fail "removing has taken the configuration"

step purge
touch "$root/var/lib/millrace/state"
inside dpkg -P millrace > "$work/dpkg.log" 2>&1 || fail "purge: $(cat "$work/dpkg.log")"
files > "$work/after"
left=$(diff <(grep -Ev "$others" "$work/before") <(grep -Ev "$others" "$work/after") || true)
[ -z "$left" ] || fail "left behind or taken along: $left"
cmp "$root/etc/passwd" "$work/passwd" && cmp "$root/etc/group" "$work/group"
if command -v lintian > /dev/null; then
  step lintian
  # The programs are static by intent, and theirs is not Debian's archive.
  lintian --fail-on error --suppress-tags statically-linked-binary,bad-distribution-in-changes-file,initial-upload-closes-no-bugs "$new"
fi
echo "ok: $(basename "$new")"
