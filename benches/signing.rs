//! Time of the signing core, natively.

mod cases;

use criterion::{Criterion, criterion_group, criterion_main};

fn sign(criterion: &mut Criterion) {
    for mut case in cases::all() {
        criterion.bench_function(case.name, |bencher| bencher.iter(|| case.run()));
    }
}

criterion_group!(benches, sign);
criterion_main!(benches);
