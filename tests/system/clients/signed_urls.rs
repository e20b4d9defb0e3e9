//! examples/sign_url.js in Node. The command and the example in Python are tried in
//! xtask/tests/sign_url.rs.

use serde_json::Value;
use testkit::clients::{client, run};
use testkit::process::scratch;
use testkit::tools;

/// Signs all cases, and prints what comes out.
const SCRIPT: &str = r#"
const { signUrl } = require("./examples/sign_url.js");
const { key, cases } = require("./tests/data/signed-urls.json");
const signed = cases.map((one) => signUrl(one.type, key, one.url, {
  time: one.time, rand: one.rand, uid: one.uid, hexadecimal: one.time_format === "hex",
  names: [one.signature_parameter ?? "sign", one.time_parameter ?? "time"],
}));
console.log(JSON.stringify(signed));
"#;

#[test]
fn the_example_in_javascript_signs_as_others_do() {
    let folder = scratch("node");
    std::fs::create_dir_all(&folder).unwrap();
    let mut node = client("node", &folder);
    node.current_dir(tools::root()).args(["-e", SCRIPT]);
    let signed: Vec<Value> = serde_json::from_slice(&run(&mut node)).unwrap();
    let file = tools::root().join("tests/data/signed-urls.json");
    let data: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases = data["cases"].as_array().unwrap();
    assert_eq!(signed.len(), cases.len());
    for (signed, case) in signed.iter().zip(cases) {
        assert_eq!(*signed, case["signed"], "{case}");
    }
}
