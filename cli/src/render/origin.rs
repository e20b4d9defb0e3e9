//! The connections to OSS and to the sidecar, from the flags.

use super::options::Options;
use super::parse::{each, filled, is_set, needed, optional};
use super::plan::{Also, Origin, OssCluster};
use super::values::{self, Address};

/// The bucket, and the connection to it.
pub fn origin(options: &Options) -> Result<Origin, String> {
    let of_bucket = "the name of the bucket";
    let bucket = needed(&options.bucket, "--bucket (OSS_BUCKET)", of_bucket)?;
    let of_region = "the region id, for example cn-hangzhou";
    let region = needed(&options.region, "--region (OSS_REGION)", of_region)?;
    values::bucket_and_region(&bucket, &region)?;
    let way = Way::new(options, &bucket, &region)?;
    let also = also(options, &way, &region)?;
    Ok(Origin {
        clusters: clusters(options, &way, &also)?,
        bucket,
        region,
        host: way.host,
        endpoint: way.endpoint,
        is_domain: way.is_domain,
        is_internal: way.is_internal,
        tls_to_oss: way.tls,
        also,
    })
}

/// The address of the sidecar; `None` if an AccessKey is in Envoy's environment.
pub fn sidecar(options: &Options) -> Result<Option<Address>, String> {
    let flag = "--sidecar (SIDECAR_ADDRESS)";
    let address = optional(flag, &options.credentials.sidecar, values::address)?;
    if options.credentials.credentials == "environment" {
        if !["envoy", "compose"].contains(&options.target.as_str()) {
            let target = &options.target;
            return Err(format!(
                "--credentials environment and --target {target} do not go together: take it out; \
                 the sidecar can have an AccessKey, too"
            ));
        }
        return Ok(None);
    }
    let fixed = match options.target.as_str() {
        "envoy" => address.unwrap_or_else(|| Address {
            host: "127.0.0.1".to_owned(),
            port: 8181,
        }),
        target => Address {
            host: if target == "compose" {
                "sidecar"
            } else {
                "127.0.0.1"
            }
            .to_owned(),
            port: 8181,
        },
    };
    Ok(Some(fixed))
}

/// Whether callers of the sidecar need a token. In the stack of compose, others could reach the
/// sidecar; in a pod, nobody else can.
pub fn sidecar_token(options: &Options) -> bool {
    match options.target.as_str() {
        _ if options.credentials.credentials == "environment" => false,
        "envoy" => options.credentials.sidecar_token || is_set("STS_SIDECAR_TOKEN"),
        "compose" => true,
        _ => false,
    }
}

/// The connection to OSS.
struct Way {
    host: String,
    endpoint: String,
    is_domain: bool,
    is_internal: bool,
    /// OSS's host of this kind, which the other buckets use.
    of_kind: String,
    address: Option<Address>,
    tls: bool,
}

impl Way {
    fn new(options: &Options, bucket: &str, region: &str) -> Result<Way, String> {
        let origin = &options.origin;
        let kind = origin.endpoint.as_deref();
        let of_bucket = |text: &str| values::domain(text, bucket, region);
        let domain = optional("--domain (OSS_HOST)", &origin.domain, of_bucket)?;
        // With --domain, the kind is that of the other buckets.
        if kind.is_some() && domain.is_some() && options.features.also.is_empty() {
            return Err(
                "--endpoint and --domain (OSS_HOST) do not go together without --also: both are \
                 the host to ask; take one of them out"
                    .to_owned(),
            );
        }
        let of_kind = match kind {
            Some("public") => format!("oss-{region}.aliyuncs.com"),
            Some("accelerate") => "oss-accelerate.aliyuncs.com".to_owned(),
            _ => format!("oss-{region}-internal.aliyuncs.com"),
        };
        let endpoint = match &domain {
            None => of_kind.clone(),
            Some(host) => match host.strip_prefix(&format!("{bucket}.")) {
                Some(endpoint) => endpoint.to_owned(),
                None => host.clone(),
            },
        };
        let address = optional("--connect (OSS_ADDRESS)", &origin.connect, values::address)?;
        let tls = match filled(&origin.oss_tls).as_deref() {
            None | Some("on") => true,
            Some("off") if address.is_none() => {
                return Err(
                    "--oss-tls off (OSS_TLS) needs --connect (OSS_ADDRESS): it is for a fake OSS; \
                     say where that is, or take --oss-tls out"
                        .to_owned(),
                );
            }
            Some("off") => false,
            Some(other) => {
                return Err(format!(
                    "--oss-tls (OSS_TLS) is {other:?}: it must be on or off"
                ));
            }
        };
        Ok(Way {
            is_domain: domain.as_ref().is_some_and(|host| *host == endpoint),
            is_internal: domain.is_none() && !matches!(kind, Some("public" | "accelerate")),
            host: domain.unwrap_or_else(|| format!("{bucket}.{endpoint}")),
            endpoint,
            of_kind,
            address,
            tls,
        })
    }
}

fn clusters(options: &Options, way: &Way, also: &[Also]) -> Result<Vec<OssCluster>, String> {
    let at = |host: &str| Address {
        host: host.to_owned(),
        port: 443,
    };
    if !also.is_empty() && options.credentials.credentials == "environment" {
        return Err(
            "--also and --credentials environment do not go together: Envoy's environment has one \
             AccessKey; take `--credentials environment` out, and let the sidecar have both"
                .to_owned(),
        );
    }
    let first = OssCluster {
        name: "oss".to_owned(),
        host: way.host.clone(),
        address: way.address.clone().unwrap_or_else(|| at(&way.host)),
    };
    let others = also.iter().map(|one| OssCluster {
        name: format!("oss_{}", one.name),
        host: one.host.clone(),
        address: way.address.clone().unwrap_or_else(|| at(&one.host)),
    });
    Ok([first].into_iter().chain(others).collect())
}

fn also(options: &Options, way: &Way, region: &str) -> Result<Vec<Also>, String> {
    let parse = |text: &str| {
        let problem = "it must be a name of small letters, digits and _, and a bucket: \
                       partner=their-bucket";
        let (name, bucket) = text.split_once('=').ok_or(problem)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let taken = ["default", "objects"].contains(&name);
        if name.is_empty() || !name.bytes().all(fits) || taken || name.len() > 32 {
            return Err(problem.to_owned());
        }
        values::bucket_and_region(bucket, region).map_err(|_| problem.to_owned())?;
        Ok(Also {
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            host: format!("{bucket}.{}", way.of_kind),
            endpoint: way.of_kind.clone(),
        })
    };
    each("--also", &options.features.also, parse)
}
