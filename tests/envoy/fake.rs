//! The fake OSS and STS, as Alibaba's own SDKs see them.

use std::process::Command;

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, ENDPOINT, REGION};
use testkit::{FakeAlibaba, tools};

const ROLE: &str = "acs:ram::987:role/of-another-account";

fn fake() -> FakeAlibaba {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.put("b", "content");
    alibaba.add_key("STS.example", "secret", Some("token"), None);
    alibaba.add_key("LTAIexample", "secret", None, None);
    alibaba
}

/// What the SDKs get with a key.
fn ask(alibaba: &FakeAlibaba, id: &str, region: &str, endpoint: &str) -> Value {
    let token = if id.starts_with("STS.") { "token" } else { "" };
    let output = Command::new(tools::python())
        .arg("-B")
        .arg(tools::fakes().join("sdk.py"))
        .args([alibaba.oss_port, alibaba.sts_port].map(|port| port.to_string()))
        .args([id, "secret", token, region, endpoint])
        .output()
        .expect("Python");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn denied() -> Value {
    json!({"status": 403, "code": "AccessDenied", "ec": "0003-00000001"})
}

#[test]
fn a_bucket_tells_of_itself_as_the_documentation_says() {
    let alibaba = fake();
    alibaba.set_bucket(BUCKET, json!({"encryption": "KMS", "kms_key": "key-1"}));
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    let info = &told["GetBucketInfo"]["bucket_info"];
    for (name, value) in [
        ("name", BUCKET),
        ("location", "oss-cn-hangzhou"),
        ("extranet_endpoint", "oss-cn-hangzhou.aliyuncs.com"),
        ("intranet_endpoint", ENDPOINT),
        ("storage_class", "Standard"),
        ("acl", "private"),
    ] {
        assert_eq!(info[name], value, "{name}: {info}");
    }
    assert_eq!(info["sse_rule"]["sse_algorithm"], "KMS");
    assert_eq!(info["sse_rule"]["kms_master_key_id"], "key-1");
    assert_eq!(told["GetBucketLocation"]["location"], "oss-cn-hangzhou");
    assert_eq!(told["GetBucketAcl"]["acl"], "private");
    assert_eq!(told["GetObjectAcl"]["acl"], "default");
    let list = &told["ListObjects"];
    assert_eq!(list["contents"][0]["key"], "a", "{list}");
    assert_eq!(
        (&list["key_count"], &list["is_truncated"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(told["HeadObject"]["content_length"], 7);
    let false_md5 = json!({"status": 400, "code": "InvalidDigest", "ec": "0017-00000503"});
    assert_eq!(
        told["PutObject"], false_md5,
        "who may write, but a false MD5"
    );
    assert_eq!(told["PutOver"]["code"], "FileAlreadyExists");
}

#[test]
fn what_a_key_may_not_do_is_refused_and_not_done() {
    let alibaba = fake();
    alibaba.read_only("STS.example");
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    for operation in [
        "GetBucketInfo",
        "GetBucketLocation",
        "GetBucketAcl",
        "GetObjectAcl",
        "ListObjects",
        "PutObject",
        "PutOver",
    ] {
        assert_eq!(told[operation], denied(), "{operation}");
    }
    assert_eq!(told["GetObject"]["status"], 200);
    assert_eq!(told["HeadObject"]["status"], 200);

    alibaba.allow("STS.example", &["ListObjects", "PutObject"]);
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    assert_eq!(told["ListObjects"]["key_count"], 1);
    assert_eq!(told["PutObject"]["code"], "InvalidDigest");
    assert_eq!(told["GetObject"], denied());
    let listed = told["ListObjects"]["contents"].as_array().map(Vec::len);
    assert_eq!(listed, Some(1), "nothing was stored: {told}");

    alibaba.allow_all("STS.example");
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    assert_eq!(told["GetObject"]["status"], 200);
}

#[test]
fn a_bucket_is_where_it_is() {
    let alibaba = fake();
    alibaba.set_bucket(BUCKET, json!({"region": "cn-shanghai"}));
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    let elsewhere = json!({"status": 403, "code": "AccessDenied", "ec": "0003-00001403"});
    assert_eq!(told["HeadObject"], elsewhere);
    // Any endpoint knows where it is.
    let info = &told["GetBucketInfo"]["bucket_info"];
    assert_eq!(info["location"], "oss-cn-shanghai", "{told}");

    let wrong = json!({"status": 400, "code": "InvalidArgument", "ec": "0002-00000226"});
    let shanghai = "oss-cn-shanghai-internal.aliyuncs.com";
    let told = ask(&alibaba, "STS.example", REGION, shanghai);
    assert_eq!(told["HeadObject"], wrong);
    let told = ask(&alibaba, "STS.example", "cn-shanghai", shanghai);
    assert_eq!(told["HeadObject"]["status"], 200);
}

#[test]
fn sts_says_whose_a_key_is() {
    let alibaba = fake();
    let told = ask(&alibaba, "LTAIexample", REGION, ENDPOINT);
    let user = &told["GetCallerIdentity"];
    assert_eq!(user["IdentityType"], "RAMUser", "{user}");
    assert_eq!(user["AccountId"], "1234567890");
    assert!(
        user["RoleId"].is_null() && user["UserId"].is_string(),
        "{user}"
    );

    alibaba.add_session("STS.example", "secret", "token", ROLE);
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    let role = &told["GetCallerIdentity"];
    assert_eq!(role["IdentityType"], "AssumedRoleUser", "{role}");
    assert_eq!(role["AccountId"], "987");
    let arn = "acs:ram::987:assumed-role/of-another-account/oss-origin-auth";
    assert_eq!(role["Arn"], arn);
    assert!(
        role["RoleId"].is_string() && role["UserId"].is_null(),
        "{role}"
    );

    // What is said of a role counts for its sessions.
    alibaba.read_only(ROLE);
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    assert_eq!(told["ListObjects"], denied());
    assert_eq!(told["GetObject"]["status"], 200);

    alibaba.add_key("STS.example", "secret", Some("token"), Some(1));
    let told = ask(&alibaba, "STS.example", REGION, ENDPOINT);
    let expired = json!({"status": 400, "code": "InvalidSecurityToken.Expired"});
    assert_eq!(told["GetCallerIdentity"], expired);
}
