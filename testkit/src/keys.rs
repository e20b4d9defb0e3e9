//! Object keys that break a wrong or incomplete encoding, and the ways in which a client may
//! spell them.

/// An object and one way to ask for it.
#[derive(Clone, Debug)]
pub struct UglyKey {
    pub key: Vec<u8>,
    /// The path as it is sent.
    pub path: Vec<u8>,
}

pub fn ugly_keys() -> Vec<UglyKey> {
    let mut keys: Vec<UglyKey> = [
        ("plain.txt", "/plain.txt"),
        ("dir/file.txt", "/dir/file.txt"),
        ("a b.txt", "/a%20b.txt"),
        ("a+b.txt", "/a+b.txt"),
        ("a+c.txt", "/a%2Bc.txt"),
        ("100%.txt", "/100%25.txt"),
        ("50%.txt", "/50%.txt"),
        ("%2F-literal", "/%252F-literal"),
        ("%41.txt", "/%2541.txt"),
        ("slash/encoded", "/slash%2Fencoded"),
        ("slash/lower", "/slash%2flower"),
        ("tilde~", "/tilde%7E"),
        ("tilde~raw", "/tilde~raw"),
        ("q?x=1.txt", "/q%3Fx%3D1.txt"),
        ("hash#1.txt", "/hash%231.txt"),
        ("amp&eq=.txt", "/amp&eq=.txt"),
        ("semi;colon", "/semi;colon"),
        ("colon:at@.txt", "/colon:at@.txt"),
        ("comma,dollar$.txt", "/comma,dollar$.txt"),
        ("paren(1)!*'.txt", "/paren(1)!*'.txt"),
        ("bracket[1]{2}.txt", "/bracket%5B1%5D%7B2%7D.txt"),
        ("pipe|back\\slash^.txt", "/pipe%7Cback%5Cslash%5E.txt"),
        ("quote\"lt<gt>.txt", "/quote%22lt%3Cgt%3E.txt"),
        ("`tick`", "/%60tick%60"),
        ("double//slash", "/double//slash"),
        ("/leading", "//leading"),
        ("trailing/", "/trailing/"),
        ("dot/./seg", "/dot/%2E/seg"),
        ("dot/../seg", "/dot/%2e%2e/seg"),
        (".hidden", "/.hidden"),
        ("...", "/..."),
        ("tab\tname", "/tab%09name"),
        (
            "中文/目录/文件.txt",
            "/%E4%B8%AD%E6%96%87/%E7%9B%AE%E5%BD%95/%E6%96%87%E4%BB%B6.txt",
        ),
        ("é/ü/ñ.bin", "/%c3%a9/%c3%bc/%c3%b1.bin"),
        ("emoji-😀.png", "/emoji-%F0%9F%98%80.png"),
        ("letters", "/%6c%65%74%74%65%72%73"),
    ]
    .into_iter()
    .map(|(key, path)| UglyKey {
        key: key.into(),
        path: path.into(),
    })
    .collect();
    keys.push(UglyKey {
        key: b"not-utf8-\xff\xfe".to_vec(),
        path: b"/not-utf8-%FF%fe".to_vec(),
    });
    let longest = "k".repeat(1023);
    keys.push(UglyKey {
        path: format!("/{longest}").into(),
        key: longest.into(),
    });
    let encoded = "%E4%B8%AD".repeat(341);
    keys.push(UglyKey {
        path: format!("/{encoded}").into(),
        key: "中".repeat(341).into(),
    });
    keys
}
