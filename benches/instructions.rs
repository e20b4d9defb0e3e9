//! Runs one case of the signing core so often as its second argument says, for
//! callgrind to count: see `xtask/src/instructions.rs`.

mod cases;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, times, ..] = arguments.as_slice() else {
        // As `cargo test --benches` starts it.
        return;
    };
    let (Ok(times), Some(mut case)) = (
        times.parse::<u32>(),
        cases::all().into_iter().find(|case| case.name == name),
    ) else {
        return;
    };
    for _ in 0..times {
        assert!(std::hint::black_box(case.run()).is_some());
    }
}
