//! The limits that the project has set itself.

/// The limit of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

use Limit::{AtLeast, AtMost};

/// Finds the limit of a figure.
pub fn of(figure: &str, peer: &str, subject: &str) -> Option<Limit> {
    let mut limits = LIMITS.iter();
    let found =
        limits.find(|(name, with, what, _)| (*name, *with, *what) == (figure, peer, subject));
    found.map(|(.., limit)| *limit)
}

/// The limits, by the figure, the peer and the subject.
const LIMITS: [(&str, &str, &str, Limit); 12] = [
    (CPU, AWS, NATIVE, AtMost(0.55)),
    (CPU, AWS, WASM, AtMost(0.7)),
    (CPU, "do-nothing", WASM, AtMost(1.0)),
    (CPU, "v4-downstream", "access-downstream", AtMost(1.0)),
    (
        CPU,
        "native-downstream",
        "native-access-downstream",
        AtMost(1.0),
    ),
    (BODIES, "no-filter", WASM, AtLeast(0.98)),
    (BODIES, "no-filter", "v4-downstream", AtLeast(0.98)),
    (BODIES, "no-filter", NATIVE, AtLeast(0.98)),
    (INSTRUCTIONS, AWS, WASM, AtMost(0.75)),
    (INSTRUCTIONS, AWS, NATIVE, AtMost(0.6)),
    (INSTRUCTIONS, "floor", WASM, AtMost(1.12)),
    ("module_bytes", "", "", AtMost(348_160.0)),
];

const CPU: &str = "added_cpu_ratio";
const BODIES: &str = "large_body_bytes_per_cpu_ratio";
const INSTRUCTIONS: &str = "added_instructions_ratio";
const AWS: &str = "aws_request_signing";
/// The chain with the smallest configuration of the wasm filter.
const WASM: &str = "v4-upstream";
const NATIVE: &str = "native-upstream";
