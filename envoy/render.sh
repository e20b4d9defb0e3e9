#!/bin/sh
# Writes envoy/minimal.yaml, or the file beside it that is named, with the
# settings of the environment put in:
#
#   OSS_BUCKET, OSS_REGION    the bucket and its region id
#   OSS_HOST                  <bucket>.oss-<region>.aliyuncs.com unless set; what
#                             does not begin with the bucket's name is taken for
#                             a domain of its own (cname)
#   OSS_ADDRESS               host:port to connect to; OSS_HOST:443 unless set
#   OSS_TLS=off               speak HTTP to OSS_ADDRESS: for the fake OSS only
#   SIDECAR_ADDRESS           127.0.0.1:8181 unless set
#   STS_SIDECAR_TOKEN         if set, Envoy shows it to the sidecar; it is not
#                             written, Envoy reads it from its own environment
#   LISTEN_PORT, ADMIN_PORT   10000 and 9901 unless set
#   CACHE_FOLDER              /var/cache/envoy unless set
#   TLS_FOLDER                /etc/envoy unless set: tls.crt and tls.key
#   CA_FILE                   /etc/ssl/certs/ca-certificates.crt unless set
#   WASM_FILE                 /etc/envoy/oss_origin_auth.wasm unless set
set -eu

: "${OSS_BUCKET:?is not set: the name of the bucket}"
: "${OSS_REGION:?is not set: the region id, for example cn-hangzhou}"
host=${OSS_HOST:-$OSS_BUCKET.oss-$OSS_REGION.aliyuncs.com}
oss=${OSS_ADDRESS:-$host:443}
sidecar=${SIDECAR_ADDRESS:-127.0.0.1:8181}
listen=${LISTEN_PORT:-10000}
admin=${ADMIN_PORT:-9901}
cache=${CACHE_FOLDER:-/var/cache/envoy}
tls=${TLS_FOLDER:-/etc/envoy}
ca=${CA_FILE:-/etc/ssl/certs/ca-certificates.crt}
wasm=${WASM_FILE:-/etc/envoy/oss_origin_auth.wasm}

# The filter puts the bucket before its endpoint, unless the host is a domain of the bucket's own.
case $host in
"$OSS_BUCKET".*) endpoint="\"${host#"$OSS_BUCKET".}\"" ;;
*) endpoint="\"$host\", \"addressing\": \"cname\"" ;;
esac

for value in "$OSS_BUCKET" "$OSS_REGION" "$host" "$oss" "$sidecar" "$listen" "$admin" "$cache" "$tls" "$ca" "$wasm"; do
  case $value in
  *[!A-Za-z0-9._:/-]*)
    echo "render.sh: '$value' holds more than letters, digits and . _ : / -" >&2
    exit 1
    ;;
  esac
done

tls_off=
if [ "${OSS_TLS:-on}" = off ]; then
  tls_off='/^    transport_socket:/,/^    typed_extension/{/^    typed_extension/!d}'
fi

token=
if [ -n "${STS_SIDECAR_TOKEN:-}" ]; then
  token='s|{"cluster": "sts_sidecar"}|{"cluster": "sts_sidecar", "token_env": "STS_SIDECAR_TOKEN"}|
s|^\( *\)runtime: envoy.wasm.runtime.v8$|&\
\1environment_variables: {host_env_keys: [STS_SIDECAR_TOKEN]}|'
fi

address() { echo "address: ${1%:*}, port_value: ${1##*:}"; }
shipped=my-bucket.oss-cn-hangzhou.aliyuncs.com
internal=my-bucket.oss-cn-hangzhou-internal.aliyuncs.com
sed -e "$tls_off" \
  -e "$token" \
  -e "s|address: $shipped, port_value: 443|$(address "$oss")|" \
  -e "s|address: $internal, port_value: 443|$(address "${OSS_ADDRESS:-$OSS_BUCKET.oss-$OSS_REGION-internal.aliyuncs.com:443}")|" \
  -e "s|$shipped|$host|" \
  -e "s|$internal|$OSS_BUCKET.oss-$OSS_REGION-internal.aliyuncs.com|" \
  -e "s|their-bucket.oss-cn-hangzhou.aliyuncs.com|their-bucket.oss-$OSS_REGION.aliyuncs.com|" \
  -e "s|\"oss-cn-hangzhou.aliyuncs.com\"|$endpoint|" \
  -e "s|\"oss-cn-hangzhou-internal.aliyuncs.com\"|\"oss-$OSS_REGION-internal.aliyuncs.com\"|" \
  -e "s|/var/cache/envoy|$cache|" \
  -e "s|/etc/envoy/tls\\.|$tls/tls.|" \
  -e "s|/etc/ssl/certs/ca-certificates.crt|$ca|" \
  -e "s|\"my-bucket\"|\"$OSS_BUCKET\"|" \
  -e "s|\"cn-hangzhou\"|\"$OSS_REGION\"|" \
  -e "s|address: 127.0.0.1, port_value: 8181|$(address "$sidecar")|" \
  -e "s|port_value: 10000|port_value: $listen|" \
  -e "s|port_value: 9901|port_value: $admin|" \
  -e "s|/etc/envoy/oss_origin_auth.wasm|$wasm|" \
  "$(dirname "$0")/${1:-minimal.yaml}"
