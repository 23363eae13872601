//! A set of serials: ranges that neither touch nor overlap.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Serials, as the fewest ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SerialSet {
    /// First and last serial of each range.
    ranges: BTreeMap<u64, u64>,
}

impl SerialSet {
    /// Adds a range; nothing if it is empty.
    pub(super) fn insert(&mut self, range: RangeInclusive<u64>) {
        let (mut low, mut high) = range.into_inner();
        if low > high {
            return;
        }
        if let Some((&before, &end)) = self.ranges.range(..=low).next_back()
            && end >= low.saturating_sub(1)
        {
            if end >= high {
                return;
            }
            low = before;
        }
        while let Some((&start, &end)) = self.ranges.range(low..=high.saturating_add(1)).next() {
            self.ranges.remove(&start);
            high = high.max(end);
        }
        self.ranges.insert(low, high);
    }

    pub(super) fn contains(&self, serial: u64) -> bool {
        let before = self.ranges.range(..=serial).next_back();
        before.is_some_and(|(_, end)| *end >= serial)
    }

    /// The ranges in their order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(low, high)| (*low, *high))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_numbers_are_serials_too() {
        let mut set = SerialSet::default();
        set.insert(u64::MAX..=u64::MAX);
        set.insert(1..=1);
        set.insert(2..=u64::MAX - 1);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(1, u64::MAX)]);
        set.insert(0..=u64::MAX);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(0, u64::MAX)]);
    }

    proptest! {
        /// Against a set of single numbers.
        #[test]
        fn ranges_merge(ranges in prop::collection::vec((0_u64..200, 0_u64..20), 0..40)) {
            let mut set = SerialSet::default();
            let mut single = BTreeSet::new();
            for (low, length) in ranges {
                set.insert(low..=low + length);
                single.extend(low..=low + length);
            }
            for serial in 0..230 {
                prop_assert_eq!(set.contains(serial), single.contains(&serial), "{}", serial);
            }
            let listed: Vec<_> = set.ranges().collect();
            for pair in listed.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "{:?} touch", pair);
            }
        }
    }
}
