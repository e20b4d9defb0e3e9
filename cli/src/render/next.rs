//! The next commands: what to do with the files.

use super::plan::Plan;

/// The steps, one in each line.
pub fn steps(plan: &Plan, folder: &str) -> Vec<String> {
    let folder = folder.trim_end_matches('/');
    let mut steps = match plan.target.as_str() {
        "envoy" => of_envoy(plan, folder),
        "compose" => of_compose(plan, folder),
        "kubernetes" => of_kubernetes(plan, folder),
        target => of_gateway(plan, target, folder),
    };
    let origin = &plan.origin;
    let ours = match plan.target.as_str() {
        "envoy" | "compose" => {
            let scheme = match plan.features.tls_folder {
                Some(_) => "https",
                None => "http",
            };
            let port = plan.places.port;
            format!("--config {folder}/envoy.yaml --envoy {scheme}://127.0.0.1:{port}")
        }
        "kubernetes" => format!("--config {folder}/envoy.yaml"),
        _ => format!(
            "--bucket {} --region {} --endpoint {}",
            origin.bucket, origin.region, origin.endpoint
        ),
    };
    steps.push(format!(
        "oss-origin-auth doctor {ours} --object KEY   # tries it, and says why an object is refused"
    ));
    steps
}

/// The steps for a single file of the target.
pub fn steps_of_one(name: &str, all: &[&str], folder: &str) -> Vec<String> {
    let folder = folder.trim_end_matches('/');
    let mut steps = Vec::new();
    if name == "envoy.yaml" {
        steps.push(format!("oss-origin-auth check-config {folder}/{name}"));
    }
    let others = all.iter().filter(|other| **other != name).copied();
    let others = others.collect::<Vec<_>>().join(", ");
    steps.push(format!(
        "the same without --only, into a new folder   # writes {others}, too, and says how to \
         start it all"
    ));
    steps
}

fn of_envoy(plan: &Plan, folder: &str) -> Vec<String> {
    let envoy = format!("{folder}/envoy.yaml");
    let mut steps = match plan.native {
        // The variables that Envoy needs, even when it only validates.
        true => vec![
            "export ENVOY_DYNAMIC_MODULES_SEARCH_PATH=FOLDER   # with \
             liboss_origin_auth_native.so in it"
                .to_owned(),
        ],
        false => vec![format!("put the filter's module at {}", plan.places.module)],
    };
    let variables = variables(plan);
    if !variables.is_empty() {
        let variables = variables.join(", ");
        steps.push(format!("set in Envoy's environment: {variables}"));
    }
    if let Some(folder) = &plan.features.tls_folder {
        steps.push(format!("put tls.crt and tls.key into {folder}"));
    }
    if has_jwks_file(plan) {
        let keys = &plan.readers.jwks;
        steps.push(format!("put the keys of the JWTs into {keys}"));
    }
    if plan.features.cache {
        let (cache, users) = (&plan.places.cache_folder, &plan.places.refresh_users);
        steps.push(format!(
            "make {cache}, which Envoy must be able to write into"
        ));
        steps.push(format!(
            "htpasswd -nbs refresh PASSWORD > {users}   # a long random one"
        ));
    }
    steps.push(format!("oss-origin-auth check-config {envoy}"));
    steps.push(format!("envoy --mode validate --config-path {envoy}"));
    if let Some(at) = &plan.sidecar {
        let (host, port) = (&at.host, at.port);
        steps.push(match host.as_str() {
            "127.0.0.1" => format!(
                "oss-origin-auth sidecar --listen {host}:{port}   # its credentials: \
                 docs/SIDECAR.md"
            ),
            _ => format!("start the sidecar at {host}:{port} (docs/SIDECAR.md)"),
        });
    }
    steps.push(format!("envoy --disable-hot-restart --config-path {envoy}"));
    steps
}

fn of_compose(plan: &Plan, folder: &str) -> Vec<String> {
    let mut steps = vec![format!(
        "put the filter's module, oss_origin_auth.wasm, into {folder}"
    )];
    if plan.sidecar.is_some() {
        let version = plan.version;
        steps.push(format!(
            "docker load --input oss-origin-auth-{version}.oci.tar   # the sidecar's image"
        ));
    }
    for (file, needed) in [
        ("tls.crt and tls.key", plan.features.tls_folder.is_some()),
        ("jwks.json, the keys of the JWTs,", has_jwks_file(plan)),
        ("ca.crt, the authorities of --ca-file,", plan.places.own_ca),
    ] {
        if needed {
            steps.push(format!("put {file} into {folder}"));
        }
    }
    steps.extend([
        format!("cp {folder}/.env.example {folder}/.env   # and fill it in"),
        format!("oss-origin-auth check-config {folder}/envoy.yaml"),
        format!("cd {folder} && docker compose up"),
    ]);
    steps
}

fn of_kubernetes(plan: &Plan, folder: &str) -> Vec<String> {
    let (registry, module) = (&plan.cluster.registry, &plan.places.module);
    let mut steps = vec![
        format!("put the images into {registry}, Envoy's with {module} in it (docs/RENDER.md)"),
        format!("oss-origin-auth check-config {folder}/envoy.yaml"),
        format!("kubectl create configmap envoy --from-file=envoy.yaml={folder}/envoy.yaml"),
    ];
    let variables = variables(plan);
    if !variables.is_empty() {
        let variables = variables.join(", ");
        steps.push(format!(
            "kubectl create secret generic url-keys   # with {variables}"
        ));
    }
    if plan.features.tls_folder.is_some() {
        steps.push("kubectl create secret tls oss-origin-tls --cert tls.crt --key tls.key".into());
    }
    if has_jwks_file(plan) {
        steps.push("kubectl create configmap jwks --from-file=jwks.json".into());
    }
    if plan.places.own_ca {
        let ca = "kubectl create configmap oss-origin-ca --from-file=ca.crt";
        steps.push(format!("{ca}   # the authorities of --ca-file"));
    }
    if plan.cluster.pod_secret {
        let secret = format!("{folder}/secret.yaml");
        steps.push(format!("put the AccessKey and the role into {secret}"));
        steps.push(format!("kubectl apply -f {secret}"));
    }
    steps.push(format!("kubectl apply -f {folder}/envoy-with-sidecar.yaml"));
    steps
}

fn of_gateway(plan: &Plan, target: &str, folder: &str) -> Vec<String> {
    let name = match (target, plan.cluster.istio.as_str()) {
        ("istio", "envoy-filter") => "envoy-filter.yaml",
        ("envoy-gateway", _) => "extension-policy.yaml",
        _ => "wasm-plugin.yaml",
    };
    vec![
        format!("read the comments in {folder}/{name}: what the gateway must have"),
        format!("oss-origin-auth check-config {folder}/{name}"),
        format!("kubectl apply -f {folder}/{name}"),
    ]
}

/// Whether the keys of JWTs are a file.
fn has_jwks_file(plan: &Plan) -> bool {
    plan.readers.members.is_some() && plan.readers.jwks_host.is_none()
}

/// The variables that Envoy reads from its environment.
fn variables(plan: &Plan) -> Vec<&'static str> {
    let variables = plan.signer_variables.iter().chain(&plan.access_variables);
    variables.copied().collect()
}
