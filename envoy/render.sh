#!/bin/sh
# Writes envoy/minimal.yaml, or the file beside it that is named, with the
# settings of the environment put in:
#
#   OSS_BUCKET, OSS_REGION    the bucket and its region id
#   OSS_HOST                  <bucket>.oss-<region>-internal.aliyuncs.com unless set,
#                             which answers within the region alone. From elsewhere
#                             the public host, <bucket>.oss-<region>.aliyuncs.com (not
#                             for accounts opened since March 2025 in a mainland
#                             region), or the bucket's own domain: what does not begin
#                             with the bucket's name is taken for one (cname), and
#                             domain.yaml needs one
#   OSS_ADDRESS               host:port to connect to; OSS_HOST:443 unless set
#   OSS_TLS=off               speak HTTP to OSS_ADDRESS: for the fake OSS only
#   SIDECAR_ADDRESS           127.0.0.1:8181 unless set
#   STS_SIDECAR_TOKEN         if set, Envoy shows it to the sidecar; it is not
#                             written, Envoy reads it from its own environment
#   URL_KEY, URL_KEY_BACKUP   the keys that sign URLs, for cached.yaml and
#                             signed-urls.yaml; URL_KEY must be set, and a backup that
#                             is not set is left out. They are not written either
#   LISTEN_PORT, ADMIN_PORT   10000 and 9901 unless set
#   CACHE_FOLDER              /var/cache/envoy unless set
#   REFRESH_PORT              10001 unless set
#   REFRESH_USERS             /etc/envoy/refresh.htpasswd unless set
#   TLS_FOLDER                /etc/envoy unless set: tls.crt and tls.key
#   CA_FILE                   /etc/ssl/certs/ca-certificates.crt unless set
#   WASM_FILE                 /etc/envoy/oss_origin_auth.wasm unless set
set -eu

: "${OSS_BUCKET:?is not set: the name of the bucket}"
: "${OSS_REGION:?is not set: the region id, for example cn-hangzhou}"
[ "${1:-}" != domain.yaml ] || : "${OSS_HOST:?is not set: the domain of the bucket}"
case ${1:-} in
cached.yaml | signed-urls.yaml)
  : "${URL_KEY:?is not set: the key that signs URLs, for example of openssl rand -hex 16}" ;;
esac
host=${OSS_HOST:-$OSS_BUCKET.oss-$OSS_REGION-internal.aliyuncs.com}
oss=${OSS_ADDRESS:-$host:443}
sidecar=${SIDECAR_ADDRESS:-127.0.0.1:8181}
listen=${LISTEN_PORT:-10000}
admin=${ADMIN_PORT:-9901}
cache=${CACHE_FOLDER:-/var/cache/envoy}
refresh=${REFRESH_PORT:-10001}
users=${REFRESH_USERS:-/etc/envoy/refresh.htpasswd}
tls=${TLS_FOLDER:-/etc/envoy}
ca=${CA_FILE:-/etc/ssl/certs/ca-certificates.crt}
wasm=${WASM_FILE:-/etc/envoy/oss_origin_auth.wasm}

# The filter puts the bucket before its endpoint, unless the host is a domain of the bucket's own.
case $host in
"$OSS_BUCKET".*) endpoint="\"${host#"$OSS_BUCKET".}\"" ;;
*) endpoint="\"$host\", \"addressing\": \"cname\"" ;;
esac

refuse() { echo "render.sh: $1" >&2; exit 1; }
for value in "$OSS_BUCKET" "$OSS_REGION" "$host" "$oss" "$sidecar" "$listen" "$admin" "$cache" "$refresh" \
  "$users" "$tls" "$ca" "$wasm"; do
  case $value in
  *[!A-Za-z0-9._:/-]*)
    refuse "'$value' holds more than letters, digits and . _ : / -"
    ;;
  esac
done
case $OSS_REGION in
oss-*) refuse "OSS_REGION is '$OSS_REGION': the region id has no oss- before it" ;;
esac
case $host in
*[:/]* | *. | .*) refuse "OSS_HOST is '$host': it must be a host, without scheme, port or path" ;;
esac
for address in "OSS_ADDRESS=$oss" "SIDECAR_ADDRESS=$sidecar"; do
  case ${address#*=} in
  *[!:]:*[0-9]) ;;
  *) refuse "${address%%=*} is '${address#*=}': it must be a host and a port" ;;
  esac
  case ${address##*:} in
  *[!0-9]*) refuse "${address%%=*} is '${address#*=}': it must be a host and a port" ;;
  esac
done
taken=
ports="LISTEN_PORT=$listen ADMIN_PORT=$admin"
case ${1:-} in
cached.yaml) ports="$ports REFRESH_PORT=$refresh" ;;
esac
for port in $ports; do
  case ${port#*=} in
  *[!0-9]*) refuse "${port%%=*} is '${port#*=}': it must be a number" ;;
  esac
  case " $taken " in
  *" ${port#*=} "*) refuse "${port%%=*} is '${port#*=}', and so is another port" ;;
  esac
  # With 0 the system chooses.
  if [ "${port#*=}" != 0 ]; then taken="$taken ${port#*=}"; fi
done
case ${OSS_TLS:-on} in
on | off) ;;
*) refuse "OSS_TLS is '$OSS_TLS': it must be on or off" ;;
esac

tls_off=
if [ "${OSS_TLS:-on}" = off ]; then
  tls_off='/^    transport_socket:$/,/^    typed_extension/{/^    typed_extension/!d}'
fi

token=
if [ -n "${STS_SIDECAR_TOKEN:-}" ]; then
  token='s|{"cluster": "sts_sidecar"}|{"cluster": "sts_sidecar", "token_env": "STS_SIDECAR_TOKEN"}|
/vm_id: oss_origin_auth$/,/runtime:/s|^\( *\)runtime: envoy.wasm.runtime.v8$|&\
\1environment_variables: {host_env_keys: [STS_SIDECAR_TOKEN]}|'
fi

backup=
if [ -z "${URL_KEY_BACKUP:-}" ]; then
  backup='s|, "backup_key_env": "URL_KEY_BACKUP"||
s|, URL_KEY_BACKUP\]|]|'
fi

address() { echo "address: ${1%:*}, port_value: ${1##*:}"; }
shipped=my-bucket.oss-cn-hangzhou-internal.aliyuncs.com
domain=static.example.com
endpoints='"oss-cn-hangzhou-internal.aliyuncs.com"'
# What is put in may look like what another line replaces: addresses get a mark first.
sed -e "$tls_off" \
  -e "$token" \
  -e "$backup" \
  -e "s#address: \\($shipped\\|$domain\\), port_value: 443#@oss@#" \
  -e "s|address: 127.0.0.1, port_value: 8181|@sidecar@|" \
  -e "s|address: 0.0.0.0, port_value: 10000|@listen@|" \
  -e "s|address: 127.0.0.1, port_value: 10001|@refresh@|" \
  -e "s|address: 127.0.0.1, port_value: 9901|@admin@|" \
  -e "s|$shipped|$host|" \
  -e "s|$domain|$host|" \
  -e "s|their-bucket.oss-cn-hangzhou-internal.aliyuncs.com|their-bucket.oss-$OSS_REGION-internal.aliyuncs.com|" \
  -e "/\"their-bucket\"/s|$endpoints|\"oss-$OSS_REGION-internal.aliyuncs.com\"|" \
  -e "/\"their-bucket\"/!s|$endpoints|$endpoint|" \
  -e "s|/var/cache/envoy|$cache|" \
  -e "s|/etc/envoy/refresh.htpasswd|$users|" \
  -e "s|/etc/envoy/tls\\.|$tls/tls.|" \
  -e "s|/etc/ssl/certs/ca-certificates.crt|$ca|" \
  -e "s|\"my-bucket\"|\"$OSS_BUCKET\"|" \
  -e "s|\"cn-hangzhou\"|\"$OSS_REGION\"|" \
  -e "s|@oss@|$(address "$oss")|" \
  -e "s|@sidecar@|$(address "$sidecar")|" \
  -e "s|@listen@|address: 0.0.0.0, port_value: $listen|" \
  -e "s|@refresh@|address: 127.0.0.1, port_value: $refresh|" \
  -e "s|@admin@|address: 127.0.0.1, port_value: $admin|" \
  -e "s|/etc/envoy/oss_origin_auth.wasm|$wasm|" \
  "$(dirname "$0")/${1:-minimal.yaml}"
