//! Statistics of rounds on a noisy machine.

/// A value with its confidence interval: the 5th and the 95th percentile of a bootstrap over
/// the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// An estimate by a bootstrap. `of` gets the indexes of the rounds to use, with
    /// repetitions.
    pub fn new(rounds: usize, of: impl Fn(&[usize]) -> f64) -> Estimate {
        const SAMPLES: usize = 1_000;
        let all: Vec<usize> = (0..rounds).collect();
        // The generator has a fixed seed: the same rounds give the same result.
        let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut pick = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % rounds as u64) as usize
        };
        let mut sampled: Vec<f64> = (0..SAMPLES)
            .map(|_| of(&all.iter().map(|_| pick()).collect::<Vec<_>>()))
            .collect();
        sampled.sort_by(f64::total_cmp);
        Estimate {
            value: of(&all),
            low: sampled[SAMPLES / 20],
            high: sampled[SAMPLES - SAMPLES / 20],
        }
    }

    /// Whether the interval contains `limit`, so that the rounds do not decide.
    pub fn leaves_open(&self, limit: f64) -> bool {
        (self.low..self.high).contains(&limit)
    }
}

/// The median.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 50)
}

/// The nearest value; for the median, the mean of the two in the middle.
pub fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let count = values.len();
    if percent == 50 && count.is_multiple_of(2) {
        return (values[count / 2 - 1] + values[count / 2]) / 2.0;
    }
    values[(count * percent / 100).min(count - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile((1..=100).map(f64::from), 99), 100.0);
    }

    #[test]
    fn a_spread_holds_the_value_and_shows_the_noise() {
        let quiet = [10.0, 10.1, 9.9, 10.0, 10.0];
        let noisy = [5.0, 10.0, 30.0, 9.0, 20.0];
        let estimate = |values: &[f64]| {
            Estimate::new(values.len(), |rounds| {
                median(rounds.iter().map(|round| values[*round]))
            })
        };
        let (quiet, noisy) = (estimate(&quiet), estimate(&noisy));
        assert!(quiet.low <= quiet.value && quiet.value <= quiet.high);
        assert!(noisy.high - noisy.low > quiet.high - quiet.low);
        assert!(noisy.leaves_open(11.0) && !quiet.leaves_open(11.0));
    }
}
