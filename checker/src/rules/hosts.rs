//! The hosts of OSS.

/// Whether a host is a public one of OSS.
pub fn is_public(host: &str) -> bool {
    let host = without_port(host).to_ascii_lowercase();
    host.ends_with(".aliyuncs.com") && !host.contains("-internal.")
}

/// Whether a host is one of OSS's own, with a bucket or without.
pub fn is_of_oss(host: &str) -> bool {
    let host = without_port(host).to_ascii_lowercase();
    let name = host.strip_suffix(".aliyuncs.com").unwrap_or_default();
    let mut labels = name.rsplit('.');
    labels
        .next()
        .is_some_and(|last| last == "oss" || last.starts_with("oss-"))
}

/// Whether a name, perhaps with `*` at its start, may be this host of OSS, or its whole
/// endpoint.
pub fn is_or_has(name: &str, host: &str) -> bool {
    let [name, host] = [name, host].map(|one| without_port(one).to_ascii_lowercase());
    let name = name.strip_prefix("*.").unwrap_or(&name);
    let ends = |whole: &str, end: &str| {
        whole
            .strip_suffix(end)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    ends(&host, name) || ends(name, &host)
}

/// Whether an endpoint, or a host with a bucket, is a public one of the mainland.
pub fn is_public_mainland(host: &str) -> bool {
    let host = without_port(host).to_ascii_lowercase();
    let Some(name) = host.strip_suffix(".aliyuncs.com") else {
        return false;
    };
    // `oss-cn-hangzhou`, or with both protocols `cn-hangzhou.oss`.
    let region = match name.strip_suffix(".oss") {
        Some(region) => region,
        None => name.strip_prefix("oss-").unwrap_or_default(),
    };
    region.starts_with("cn-") && !region.contains("-internal") && region != "cn-hongkong"
}

/// The region in the name of an endpoint or a region, if it is a usual one. The hosts of the
/// finance cloud, and some others, do not contain their region.
pub fn region(endpoint: &str) -> Option<&'static str> {
    let host = without_port(endpoint).to_ascii_lowercase();
    let name = host.strip_suffix(".aliyuncs.com").unwrap_or(&host);
    let name = name.strip_suffix("-internal").unwrap_or(name);
    let name = name.strip_prefix("oss-").or(name.strip_suffix(".oss"));
    let name = name.unwrap_or(host.as_str());
    REGIONS.into_iter().find(|known| *known == name)
}

/// The ids of the usual regions (OSS, "Regions and endpoints").
const REGIONS: [&str; 28] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "cn-beijing",
    "cn-chengdu",
    "cn-fuzhou",
    "cn-guangzhou",
    "cn-hangzhou",
    "cn-heyuan",
    "cn-hongkong",
    "cn-huhehaote",
    "cn-nanjing",
    "cn-qingdao",
    "cn-shanghai",
    "cn-shenzhen",
    "cn-wuhan-lr",
    "cn-wulanchabu",
    "cn-zhangjiakou",
    "eu-central-1",
    "eu-west-1",
    "me-central-1",
    "me-east-1",
    "us-east-1",
    "us-west-1",
];

/// A host without its port.
fn without_port(host: &str) -> &str {
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Alibaba Cloud, "Regions and endpoints" of OSS.
    #[test]
    fn public_hosts_of_the_mainland_are_known() {
        for (host, public, mainland) in [
            ("oss-cn-hangzhou.aliyuncs.com", true, true),
            ("OSS-cn-beijing.aliyuncs.com:443", true, true),
            ("cn-hangzhou.oss.aliyuncs.com", true, true),
            ("oss-cn-hangzhou-internal.aliyuncs.com", false, false),
            ("oss-cn-hongkong.aliyuncs.com", true, false),
            ("oss-ap-southeast-1.aliyuncs.com", true, false),
            ("oss-accelerate.aliyuncs.com", true, false),
            ("static.example.com", false, false),
            ("127.0.0.1:9000", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_public(host), public, "{host}");
            assert_eq!(is_public_mainland(host), mainland, "{host}");
        }
    }

    #[test]
    fn a_host_is_called_by_its_own_name_or_that_of_its_endpoint() {
        let host = "a.oss-cn-hangzhou.aliyuncs.com";
        assert!(is_of_oss(host) && is_of_oss("cn-hangzhou.oss.aliyuncs.com:443"));
        for other in [
            "static.example.com",
            "sts.aliyuncs.com",
            "my.oss.example.com",
            "oss",
        ] {
            assert!(!is_of_oss(other), "{other}");
        }
        for (name, is_so) in [
            (host, true),
            ("oss-cn-hangzhou.aliyuncs.com", true),
            ("*.oss-cn-hangzhou.aliyuncs.com", true),
            ("A.oss-cn-hangzhou.aliyuncs.com:443", true),
            ("b.oss-cn-hangzhou.aliyuncs.com", false),
            ("aa.oss-cn-hangzhou.aliyuncs.com", false),
            ("a.oss-cn-hangzhou-internal.aliyuncs.com", false),
            ("oss-cn-beijing.aliyuncs.com", false),
        ] {
            assert_eq!(is_or_has(name, host), is_so, "{name}");
        }
    }

    #[test]
    fn a_region_is_known_by_its_endpoints() {
        for host in [
            "oss-cn-hangzhou.aliyuncs.com",
            "OSS-cn-hangzhou-internal.aliyuncs.com:443",
            "cn-hangzhou.oss.aliyuncs.com",
            "cn-hangzhou",
        ] {
            assert_eq!(region(host), Some("cn-hangzhou"), "{host}");
        }
        for host in [
            "oss-accelerate.aliyuncs.com",
            "oss-cn-hzfinance.aliyuncs.com",
            "cn-hangzhou-finance",
            "static.example.com",
            "",
        ] {
            assert_eq!(region(host), None, "{host}");
        }
    }
}
