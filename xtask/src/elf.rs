//! The symbols and libraries that a native module needs, and those that it provides.
//!
//! Envoy loads a module into its own process. So the module may need only an old glibc and
//! Envoy's own callbacks, and must provide all hooks for Envoy and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use object::Endianness;
use object::elf::{
    DF_1_NODELETE, DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_TEXTREL, DynamicFlags1,
    EM_AARCH64, EM_X86_64, FileHeader64, Machine, SHN_UNDEF, SHT_DYNSYM, STB_WEAK,
};
use object::read::elf::{Dyn, FileHeader, SectionTable, Sym};

use crate::command::Result;
use crate::zig::GLIBC;

/// Checks a module for an architecture; the error lists all problems.
pub fn check(file: &Path, architecture: &str) -> Result {
    let content = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let problems = match Module::read(&content) {
        Ok(module) => module.problems(architecture),
        Err(error) => vec![error.to_string()],
    };
    match problems.is_empty() {
        true => Ok(()),
        false => Err(format!("{}: {}", file.display(), problems.join("; "))),
    }
}

/// The parts of glibc that a module may need. Since 2.34 most of them are one library; the
/// others still exist and are empty.
const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

/// The beginning of the names that Envoy calls in a module.
const HOOK: &str = "envoy_dynamic_module_on_";

/// The beginning of the names that a module may call in Envoy.
const CALLBACK: &str = "envoy_dynamic_module_callback_";

/// The hooks without which Envoy refuses a module, used or not (Envoy 1.40,
/// source/extensions/filters/http/dynamic_modules/filter_config.cc). The last two are optional
/// for Envoy, but the module needs them.
const HOOKS: [&str; 23] = [
    "program_init",
    "http_filter_config_new",
    "http_filter_config_destroy",
    "http_filter_new",
    "http_filter_destroy",
    "http_filter_request_headers",
    "http_filter_request_body",
    "http_filter_request_trailers",
    "http_filter_response_headers",
    "http_filter_response_body",
    "http_filter_response_trailers",
    "http_filter_stream_complete",
    "http_filter_http_callout_done",
    "http_filter_http_stream_headers",
    "http_filter_http_stream_data",
    "http_filter_http_stream_trailers",
    "http_filter_http_stream_complete",
    "http_filter_http_stream_reset",
    "http_filter_downstream_above_write_buffer_high_watermark",
    "http_filter_downstream_below_write_buffer_low_watermark",
    "http_filter_scheduled",
    "http_filter_config_scheduled",
    "http_filter_config_http_callout_done",
];

type Sections<'a> = SectionTable<'a, FileHeader64<Endianness>>;

/// The interface of a module.
#[derive(Debug, Default)]
struct Module {
    machine: Machine,
    /// The libraries that the loader loads for it.
    needed: BTreeSet<String>,
    /// The versions of symbols that these libraries must have, such as `GLIBC_2.17`.
    versions: BTreeSet<String>,
    /// The names that it provides.
    given: BTreeSet<String>,
    /// The names that it needs, without a version.
    asked: BTreeSet<String>,
    /// Whether it is never unloaded.
    stays: bool,
    /// Whether it has its own search path for libraries, or changes its own code.
    is_odd: bool,
}

impl Module {
    fn read(content: &[u8]) -> object::Result<Module> {
        let header = FileHeader64::<Endianness>::parse(content)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, content)?;
        let mut module = Module {
            machine: header.e_machine(endian),
            ..Module::default()
        };
        module.read_symbols(endian, content, &sections)?;
        if let Some((dynamic, strings)) = sections.dynamic(endian, content)? {
            let strings = sections.strings(endian, content, strings)?;
            for entry in dynamic {
                match entry.tag(endian) {
                    DT_NEEDED => {
                        module.needed.insert(text(entry.string(endian, strings)?));
                    }
                    DT_FLAGS_1 => {
                        let flags = DynamicFlags1(entry.val(endian));
                        module.stays |= flags.contains(DF_1_NODELETE);
                    }
                    DT_RPATH | DT_RUNPATH | DT_TEXTREL => module.is_odd = true,
                    _ => {}
                }
            }
        }
        Ok(module)
    }

    fn read_symbols(
        &mut self,
        endian: Endianness,
        content: &[u8],
        sections: &Sections,
    ) -> object::Result<()> {
        let symbols = sections.symbols(endian, content, SHT_DYNSYM)?;
        let versions = sections.versions(endian, content)?;
        for (index, symbol) in symbols.enumerate() {
            let name = text(symbol.name(endian, symbols.strings())?);
            let version = match &versions {
                Some(versions) => {
                    versions.version(versions.version_index(endian, index).index())?
                }
                None => None,
            };
            let is_asked = symbol.st_shndx(endian) == SHN_UNDEF;
            match (is_asked, version) {
                _ if name.is_empty() => {}
                (true, Some(version)) => {
                    self.versions.insert(text(version.name()));
                }
                // A weak symbol is optional: the loader does not require it.
                (true, None) if symbol.st_bind() == STB_WEAK => {}
                (true, None) => {
                    self.asked.insert(name);
                }
                (false, _) => {
                    self.given.insert(name);
                }
            }
        }
        Ok(())
    }

    fn problems(&self, architecture: &str) -> Vec<String> {
        let machine = match architecture {
            "aarch64" => EM_AARCH64,
            _ => EM_X86_64,
        };
        let mut problems = Vec::new();
        let mut problem = |is_wrong: bool, text: String| problems.extend(is_wrong.then_some(text));
        problem(
            self.machine != machine,
            format!("it is not for {architecture}"),
        );
        problem(!self.stays, "it can be unloaded (no DF_1_NODELETE)".into());
        problem(
            self.is_odd,
            "it has a path to look for libraries in, or changes its code".into(),
        );
        for library in &self.needed {
            let is_known = LIBRARIES.contains(&library.as_str());
            problem(!is_known, format!("it needs the library {library}"));
        }
        for version in &self.versions {
            let (major, minor) = GLIBC;
            let message =
                format!("it needs {version}, and is promised to need GLIBC_{major}.{minor}");
            problem(!is_old(version), message);
        }
        for name in &self.asked {
            let is_envoys = name.starts_with(CALLBACK);
            problem(!is_envoys, format!("it asks for {name}, which nobody has"));
        }
        for name in &self.given {
            problem(
                !name.starts_with(HOOK),
                format!("it shows {name} to others"),
            );
        }
        for hook in HOOKS {
            let name = format!("{HOOK}{hook}");
            problem(!self.given.contains(&name), format!("it has no {name}"));
        }
        problems
    }
}

/// Whether a version of symbols is one of glibc, and not newer than the promised one.
fn is_old(version: &str) -> bool {
    let numbers = version.strip_prefix("GLIBC_").unwrap_or_default();
    let mut numbers = numbers.split('.').map(str::parse::<u16>);
    let next = |numbers: &mut dyn Iterator<Item = _>| match numbers.next() {
        Some(Ok(number)) => Some(number),
        _ => None,
    };
    let (major, minor) = (next(&mut numbers), next(&mut numbers));
    major.zip(minor).is_some_and(|version| version <= GLIBC)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, old) in [
            ("GLIBC_2.2.5", true),
            ("GLIBC_2.17", true),
            ("GLIBC_2.18", false),
            ("GLIBC_2.4", true),
            ("GLIBC_3.0", false),
            ("GLIBC_PRIVATE", false),
            ("GCC_3.0", false),
        ] {
            assert_eq!(is_old(version), old, "{version}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_module_is_said() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let good = || Module {
            machine: EM_X86_64,
            needed: of(&["libc.so.6"]),
            versions: of(&["GLIBC_2.2.5"]),
            given: HOOKS.map(|hook| format!("{HOOK}{hook}")).into(),
            asked: of(&["envoy_dynamic_module_callback_log"]),
            stays: true,
            is_odd: false,
        };
        assert_eq!(good().problems("x86_64"), [""; 0]);
        let said = |adapt: fn(&mut Module)| {
            let mut module = good();
            adapt(&mut module);
            module.problems("x86_64").join("; ")
        };
        for (adapt, want) in [
            (
                (|module| module.machine = EM_AARCH64) as fn(&mut Module),
                "it is not for x86_64",
            ),
            (|module| module.stays = false, "it can be unloaded"),
            (|module| module.is_odd = true, "a path to look for"),
            (
                |module| {
                    module.needed.insert("libgcc_s.so.1".into());
                },
                "it needs the library libgcc_s.so.1",
            ),
            (
                |module| {
                    module.versions.insert("GLIBC_2.28".into());
                },
                "it needs GLIBC_2.28",
            ),
            (
                |module| {
                    module.asked.insert("strange".into());
                },
                "it asks for strange",
            ),
            (
                |module| {
                    module.given.insert("rust_eh_personality".into());
                },
                "it shows rust_eh_personality",
            ),
            (
                |module| module.given.retain(|name| !name.ends_with("program_init")),
                "it has no envoy_dynamic_module_on_program_init",
            ),
        ] {
            let said = said(adapt);
            assert!(said.contains(want), "{said}");
        }
    }
}
