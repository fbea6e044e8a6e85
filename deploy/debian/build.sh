#!/usr/bin/env bash
# Makes the Debian package of one architecture of executables that are built: build.sh ARCH VERSION BINARIES OUT.
# VERSION is that of the release (1.2.3, 1.2.3-rc.1, 1.2.3-4-gabcdef, 0.0.0-abcdef). Times in the package are those of
# SOURCE_DATE_EPOCH, and it is packed by one thread, so that the same commit gives the same bytes. COMPRESSION is xz, or none for a
# package that need not be small.
set -euo pipefail
arch=$1 version=$2 binaries=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${SOURCE_DATE_EPOCH:?the time of everything in the package, seconds since the Unix epoch}"
export SOURCE_DATE_EPOCH
umask 022

# debian_version gives what dpkg sorts as people do: a commit without a release by its time, a candidate before its
# release, a commit behind a release after it.
debian_version() {
  case $1 in
    0.0.0-*) echo "0.0.0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${1#0.0.0-}" | tr - . ;;
    *-[0-9]*-g*) sed -E 's/-([0-9]+)-g/+\1.g/; s/-dirty$/.dirty/; s/-/~/' <<< "$1" ;;
    *) sed 's/-/~/; s/-/./g' <<< "$1" ;;
  esac
}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 0755 "$tree"
doc=$tree/usr/share/doc/millrace
man=$tree/usr/share/man/man8
mkdir -p "$tree/DEBIAN" "$doc/docs" "$man"

for program in millrace millrace-capture millrace-decoder millrace-enricher millrace-exporter; do
  install -D -m 0755 -t "$tree/usr/bin" "$binaries/$program"
done
install -D -m 0644 -t "$tree/usr/lib/systemd/system" "$here"/../systemd/*.service
install -D -m 0644 "${CONFFILE:-$here/../systemd/millrace.yaml}" "$tree/etc/millrace/millrace.yaml"
install -m 0644 -t "$doc" "$here/copyright" "$top/README.md"
install -m 0644 -t "$doc/docs" "$top"/docs/*.md
deb=$(debian_version "$version")
printf 'millrace (%s) unstable; urgency=medium\n\n  * See the history of the repository.\n\n -- The Millrace authors <authors@millrace.dev>  %s\n' \
  "$deb" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n > "$doc/changelog.gz"
gzip -9n < "$here/millrace.8" > "$man/millrace.8.gz"
for program in millrace-capture millrace-decoder millrace-enricher millrace-exporter; do
  ln -s millrace.8.gz "$man/$program.8.gz"
done

size=$(find "$tree" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
sed "s/@VERSION@/$deb/; s/@ARCH@/$arch/; s/@SIZE@/$size/" "$here/control.in" > "$tree/DEBIAN/control"
echo /etc/millrace/millrace.yaml > "$tree/DEBIAN/conffiles"
install -m 0755 -t "$tree/DEBIAN" "$here/postinst" "$here/prerm" "$here/postrm"
(cd "$tree" && find usr etc -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
dpkg-deb --root-owner-group --threads-max=1 "-Z${COMPRESSION:-xz}" -z1 --build "$tree" "$out/millrace_${deb}_$arch.deb"
