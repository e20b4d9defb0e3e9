//! How the module is linked.

fn main() {
    // Envoy closes a module that no configuration names any more. Its thread and what
    // threads hold of it must not lose their code then.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Envoy's image need not have libgcc_s.
    println!("cargo:rustc-cdylib-link-arg=-static-libgcc");
}
