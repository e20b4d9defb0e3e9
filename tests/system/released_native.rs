//! The native module of a release. `cargo xtask dist` has read each file already: what it needs
//! of the system, and what it gives (xtask/src/elf.rs).

use crate::released::{
    Folder, STEPS, VERSION, assert_has_no_path, code, document, lead_to_an_object, unpack_archive,
};

const FILE: &str = "liboss_origin_auth_native.so";

/// The documented steps, with those for the native module in place of that of the wasm filter.
#[test]
fn the_documented_steps_lead_to_an_object_without_a_vm() {
    let document = document();
    let native = code(&document, STEPS, "shell");
    let mut lines = Vec::new();
    for line in code(&document, STEPS, "sh") {
        match line.starts_with("oss-origin-auth render ") {
            true => lines.extend(&native),
            false => lines.push(line),
        }
    }
    assert!(lines.len() > native.len() + 8, "{lines:?}");
    let output = lead_to_an_object("native", &lines);
    // Envoy says it of each native module.
    assert!(output.contains("Dynamic module ABI version"), "{output}");
}

#[test]
fn an_archive_holds_the_module_and_its_licences() {
    let folder = Folder::new("native-archive");
    // e_machine of ELF: EM_X86_64, EM_AARCH64.
    for (architecture, machine) in [("x86_64", 62), ("aarch64", 183)] {
        let name = format!("oss-origin-auth-native-{VERSION}-{architecture}-linux");
        let release = unpack_archive(&folder.0, &name);
        for name in [FILE, "LICENSE", "NOTICES.txt"] {
            assert!(release.join(name).is_file(), "{name}");
        }
        let module = std::fs::read(release.join(FILE)).unwrap();
        assert_has_no_path(&module);
        assert_eq!(module.get(18), Some(&machine));
    }
}
