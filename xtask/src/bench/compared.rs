//! Comparisons of the costs of chains.

use super::measured::{BASE, Costs};
use super::statistics::{Estimate, median};

/// The cost that a chain adds to no filter.
pub fn added(costs: &Costs, name: &str) -> Estimate {
    more(costs, name, BASE)
}

/// The cost of a chain minus that of another, for each round: both were measured close
/// together.
pub fn more(costs: &Costs, name: &str, than: &str) -> Estimate {
    Estimate::new(costs[name].len(), |rounds| {
        more_in(costs, name, than, rounds)
    })
}

/// The cost that a chain adds to no filter, divided by what its peer adds.
pub fn added_ratio(costs: &Costs, subject: &str, peer: &str) -> Estimate {
    Estimate::new(costs[peer].len(), |rounds| {
        more_in(costs, subject, BASE, rounds) / more_in(costs, peer, BASE, rounds)
    })
}

/// The cost of a chain, divided by that of its peer.
pub fn ratio(costs: &Costs, subject: &str, peer: &str) -> Estimate {
    let (subject, peer) = (&costs[subject], &costs[peer]);
    Estimate::new(peer.len(), |rounds| {
        median(rounds.iter().map(|round| subject[*round] / peer[*round]))
    })
}

fn more_in(costs: &Costs, name: &str, than: &str, rounds: &[usize]) -> f64 {
    let (with, without) = (&costs[name], &costs[than]);
    median(rounds.iter().map(|round| with[*round] - without[*round]))
}
