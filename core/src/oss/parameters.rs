//! The meaning of (decoded) query parameters.

/// What a (decoded) parameter name means to OSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The parameter is part of a signed URL.
    Signature,
    /// The parameter is a sub-resource: another operation than reading or writing the object.
    Operation,
    /// The parameter changes the answer to a read: `response-*`, `x-oss-*`, `versionId`.
    Modifier,
    /// The parameter means nothing on an object; on a bucket it may be an argument of a list.
    Other,
}

/// The meaning of a name.
pub fn meaning(name: &[u8]) -> Meaning {
    if is_signature_parameter(name) {
        Meaning::Signature
    } else if is_operation(name) {
        Meaning::Operation
    } else if name.starts_with(b"x-oss-") || is_subresource(name) {
        Meaning::Modifier
    } else {
        Meaning::Other
    }
}

/// Whether a name is a sub-resource that does more than modify a read.
pub fn is_operation(name: &[u8]) -> bool {
    let modifies = name.starts_with(b"response-")
        || name.starts_with(b"x-oss-")
        || matches!(
            name,
            b"versionId" | b"security-token" | b"continuation-token"
        );
    is_newer_operation(name) || (is_subresource(name) && !modifies)
}

/// Whether an operation is one that signature V1 does not cover in any SDK that we know.
pub fn is_newer_operation(name: &[u8]) -> bool {
    NEWER.iter().any(|known| known.as_bytes() == name)
}

/// Whether an operation takes this argument: a parameter that belongs to it and has no other
/// meaning. `list` is ListObjects.
pub fn takes(operation: &[u8], argument: &[u8]) -> bool {
    let known = ARGUMENTS
        .iter()
        .find(|(name, _)| name.as_bytes() == operation);
    known.is_some_and(|(_, arguments)| arguments.iter().any(|known| known.as_bytes() == argument))
}

/// Whether a parameter is part of a URL signature: V1, V2 and V4 (OSS, "Add signatures to
/// URLs"), or AWS's, which OSS accepts, too.
pub fn is_signature_parameter(name: &[u8]) -> bool {
    let beginning = name.get(..AWS.len()).unwrap_or_default();
    beginning.eq_ignore_ascii_case(AWS) || is_one_of(name, SIGNATURE)
}

/// Whether a parameter comes with a URL signature, and means nothing without it.
pub fn belongs_to_signature(name: &[u8]) -> bool {
    is_signature_parameter(name) || is_one_of(name, BESIDE_SIGNATURE)
}

fn is_one_of(name: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| word.as_bytes().eq_ignore_ascii_case(name))
}

/// The prefix of AWS's parameters.
const AWS: &[u8] = b"x-amz-";
#[rustfmt::skip]
const SIGNATURE: &[&str] = &[
    "AWSAccessKeyId", "OSSAccessKeyId", "Signature", "security-token", "x-oss-access-key-id",
    "x-oss-credential", "x-oss-expires", "x-oss-security-token", "x-oss-signature",
    "x-oss-signature-version",
];
const BESIDE_SIGNATURE: &[&str] = &["Expires", "x-oss-date", "x-oss-additional-headers"];

/// Whether a name is a sub-resource, which signature V1 covers.
pub fn is_subresource(name: &[u8]) -> bool {
    SUBRESOURCES
        .binary_search_by(|known| known.as_bytes().cmp(name))
        .is_ok()
}

/// The sub-resources of the SDKs: the union of oss2 2.19.1 (`auth.py`, `_subresource_key_set`)
/// and alibabacloud-oss-v2 (`signer/v1.py`, which adds `cloudboxes`), sorted.
#[rustfmt::skip]
const SUBRESOURCES: &[&str] = &[
    "accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch", "bucketArchiveDirectRead",
    "bucketInfo", "callback", "callback-var", "cloudboxes", "cname", "comp", "continuation-token",
    "cors", "delete", "encryption", "endTime", "group", "httpsConfig", "inventory", "inventoryId",
    "lifecycle", "link", "live", "location", "logging", "metaQuery", "objectInfo", "objectMeta",
    "partNumber", "policy", "position", "publicAccessBlock", "qos", "qosInfo", "qosRequester",
    "redundancyTransition", "referer", "regionList", "replication", "replicationLocation",
    "replicationProgress", "requestPayment", "requesterQosInfo", "resourceGroup", "resourcePool",
    "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control",
    "response-content-disposition", "response-content-encoding", "response-content-language",
    "response-content-type", "response-expires", "restore", "security-token", "sequential",
    "startTime", "stat", "status", "style", "styleName", "symlink", "tagging",
    "transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions", "vod",
    "website", "worm", "wormExtend", "wormId", "x-oss-ac-forward-allow", "x-oss-ac-source-ip",
    "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id", "x-oss-access-point-name", "x-oss-async-process",
    "x-oss-process", "x-oss-redundancy-transition-taskid", "x-oss-request-payer",
    "x-oss-target-redundancy-type", "x-oss-traffic-limit", "x-oss-write-get-object-response",
];

/// The sub-resources of SDKs from 2026 that are missing in those lists.
#[rustfmt::skip]
const NEWER: &[&str] = &[
    "accessPointConfigForObjectProcess", "accessPointForObjectProcess",
    "accessPointPolicyForObjectProcess", "cleanRestoredObject", "dataPipeline", "legalHold",
    "objectWorm", "overwriteConfig", "policyStatus", "regions", "retention", "rtc", "seal",
    "userDefinedLogFieldsConfig",
];

/// The operations that take arguments, and their arguments (OSS, "ListObjects",
/// "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "ListParts",
/// "DeleteMultipleObjects", "ListBucketInventory", "GetBucketReplicationProgress").
#[rustfmt::skip]
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("list", &["list-type", "prefix", "delimiter", "marker", "max-keys", "start-after",
               "fetch-owner", "encoding-type", "continuation-token"]),
    ("versions", &["prefix", "delimiter", "key-marker", "version-id-marker", "max-keys",
                   "encoding-type"]),
    ("uploads", &["prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads",
                  "encoding-type"]),
    ("uploadId", &["max-parts", "part-number-marker", "encoding-type"]),
    ("delete", &["encoding-type"]),
    ("inventory", &["continuation-token"]),
    ("replicationProgress", &["rule-id"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subresources_are_sorted_for_the_search() {
        assert!(SUBRESOURCES.is_sorted());
        for name in SUBRESOURCES {
            assert!(is_subresource(name.as_bytes()), "{name}");
        }
        for name in ["", "a", "prefix", "ACL", "list-type", "zzz"] {
            assert!(!is_subresource(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn an_argument_belongs_to_its_operation() {
        assert!(takes(b"list", b"prefix") && takes(b"versions", b"key-marker"));
        assert!(!takes(b"acl", b"prefix") && !takes(b"list", b"key-marker"));
        for (operation, _) in ARGUMENTS {
            assert!(*operation == "list" || is_operation(operation.as_bytes()));
        }
    }
}
