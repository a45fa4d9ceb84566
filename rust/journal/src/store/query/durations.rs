//! Percentiles of durations in bounded memory.

/// Up to this many durations are kept one by one.
const EXACT: usize = 512;
/// The borders of two buckets differ by this factor, so a percentile is off by at most half a percent.
const FACTOR: f64 = 1.01;

/// Durations in ns.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    count: u64,
    exact: Vec<u64>,
    buckets: Vec<u64>,
}

impl Durations {
    pub(super) fn add(&mut self, ns: u64) {
        self.count += 1;
        if !self.buckets.is_empty() {
            self.put(ns);
            return;
        }
        self.exact.push(ns);
        if self.exact.len() > EXACT {
            for known in std::mem::take(&mut self.exact) {
                self.put(known);
            }
        }
    }

    /// Adds the durations of another group.
    pub(super) fn merge(&mut self, other: &Self) {
        for ns in &other.exact {
            self.add(*ns);
        }
        if other.buckets.is_empty() {
            return;
        }
        for known in std::mem::take(&mut self.exact) {
            self.put(known);
        }
        self.count += other.count - other.exact.len() as u64;
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += count;
        }
    }

    /// The smallest duration that this percentage of the durations does not exceed; `None` without a duration.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // half a percent is enough
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = (self.count * percent).div_ceil(100).max(1);
        if self.buckets.is_empty() {
            let mut sorted = self.exact.clone();
            sorted.sort_unstable();
            return sorted.get(usize::try_from(rank - 1).ok()?).copied();
        }
        let mut passed = 0;
        let bucket = self.buckets.iter().position(|count| {
            passed += count;
            passed >= rank
        })?;
        // The middle of the bucket, by the logarithm.
        Some(if bucket == 0 { 0 } else { FACTOR.powf(bucket as f64 - 0.5).round() as u64 })
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // half a percent is enough
    fn put(&mut self, ns: u64) {
        let bucket = if ns > 1 { ((ns as f64).ln() / FACTOR.ln()).ceil() as usize } else { usize::from(ns == 1) };
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_percentile_is_within_half_a_percent(values in prop::collection::vec(0..10_u64.pow(13), 1..2000), percent in 1..=100_u64) {
            let mut durations = Durations::default();
            for value in &values {
                durations.add(*value);
            }
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let rank = (values.len() as u64 * percent).div_ceil(100).max(1);
            let exact = sorted[usize::try_from(rank).unwrap() - 1];
            let found = durations.percentile(percent).unwrap();
            if values.len() <= EXACT {
                prop_assert_eq!(found, exact);
            } else {
                prop_assert!(found.abs_diff(exact) * 1000 <= exact * 6 + 1000);
            }
        }

        #[test]
        fn groups_merge_to_the_durations_of_their_total(
            groups in prop::collection::vec(prop::collection::vec(0..10_u64.pow(12), 0..900), 0..4), percent in 1..=100_u64,
        ) {
            let (mut total, mut merged) = (Durations::default(), Durations::default());
            for group in &groups {
                let mut of_group = Durations::default();
                for value in group {
                    total.add(*value);
                    of_group.add(*value);
                }
                merged.merge(&of_group);
            }
            prop_assert_eq!(total.percentile(percent), merged.percentile(percent));
        }
    }
}
