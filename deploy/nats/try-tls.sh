#!/usr/bin/env bash
# Certificates to try Millrace with: an authority, a server's certificate and a client's, good for 30 days. In earnest they come from your own
# authority (cert-manager, Vault, ...), and the authority's key never lies beside them.
#   try-tls.sh DIRECTORY [NAME-OR-ADDRESS-OF-THE-SERVER...]
set -euo pipefail
dir=${1:?directory}
shift
mkdir -p "$dir"
cd "$dir"
names=DNS:localhost,IP:127.0.0.1
for name in "$@"; do
  if [[ $name =~ ^[0-9.]+$|: ]]; then names+=,IP:$name; else names+=,DNS:$name; fi
done
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Millrace trial authority" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem 2>/dev/null
issue() { # name, extended key usage, further extensions
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=millrace $1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out "$1.pem" \
    -extfile <(printf 'extendedKeyUsage=%s\n%s\n' "$2" "${3:-}") 2>/dev/null
  rm "$1.csr"
}
# Servers of a cluster are clients of each other.
issue server serverAuth,clientAuth "subjectAltName=$names"
issue client clientAuth
