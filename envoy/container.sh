#!/bin/sh
# The entry point of the Envoy images: renders a configuration with the settings of the
# environment (`oss-origin-auth render --help` lists them) and starts Envoy. In the image with
# the native module, Envoy's folder of modules is set.
set -eu
file=${TMPDIR:-/tmp}/envoy.yaml
oss-origin-auth render ${ENVOY_DYNAMIC_MODULES_SEARCH_PATH:+--native} > "$file"
exec envoy --config-path "$file" --disable-hot-restart "$@"
