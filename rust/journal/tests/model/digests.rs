//! Digests, counts and sums of a store against its model.

use plsync_journal::{CallEnd, FLAG_PRUNED, Grouping, Query, Seq, State};

use crate::pair::Pair;

impl Pair {
    pub fn compare_digests(&self) {
        let (store, model) = (self.store(), &self.model);
        let seqs: Vec<Seq> = model.records.values().map(|record| record.shown.seq).collect();
        let mut incomplete = 0;
        for (digest, record) in store.digests(&seqs).unwrap().into_iter().zip(model.records.values()) {
            let digest = digest.expect("each record has a digest");
            let shown = &record.shown;
            assert_eq!(digest.ended, shown.ended);
            incomplete += u64::from(!digest.is_complete);
            let has_figures = digest.duration_ns.is_some() || digest.tokens.is_some() || digest.model.0 > 0;
            assert!(!(record.is_forgotten() && has_figures));
            let length = shown.end.as_ref().map(|body| body.len() as u64);
            if record.is_pruned() {
                continue;
            }
            if digest.tokens.is_some() {
                assert_eq!(digest.duration_ns, length);
            } else if digest.duration_ns.is_some() {
                assert_eq!(digest.duration_ns, Some(shown.seq.0));
            }
        }
        assert_eq!(store.undigested_count().unwrap(), (seqs.len() as u64, incomplete));
        self.compare_sums();
    }

    fn compare_sums(&self) {
        let (store, model) = (self.store(), &self.model);
        let shown = || model.records.values().filter(|record| !record.is_run()).map(|record| &record.shown);
        let facets = store.facets(&Query::default(), None, 9).unwrap();
        assert_eq!(facets.total, shown().count() as u64);
        for state in State::ALL {
            let of_state = || shown().filter(|record| record.state == state);
            assert_eq!(facets.states[state as usize], of_state().count() as u64);
            let query = Query { states: vec![state], ended: vec![CallEnd::Ok, CallEnd::No], ..Query::default() };
            let expected = of_state().filter(|record| matches!(record.ended, CallEnd::Ok | CallEnd::No)).count() as u64;
            assert_eq!(store.count(&query, usize::MAX).unwrap(), Some(expected));
            let removed = Query { states: vec![state], removed: vec![(state, true)], ..Query::default() };
            let expected = of_state().filter(|record| record.flags & FLAG_PRUNED != 0).count() as u64;
            assert_eq!(store.count(&removed, usize::MAX).unwrap(), Some(expected));
        }
        for ended in CallEnd::ALL {
            let expected = shown().filter(|record| record.ended == ended).count() as u64;
            assert_eq!(facets.ended[ended as usize], expected);
        }
        let usage = store.usage(&Query::default(), None, &Grouping::Model).unwrap();
        assert_eq!(usage.total.calls, facets.total);
        assert_eq!(usage.groups.iter().map(|(_, sums)| sums.calls).sum::<u64>(), facets.total);
        let histogram = store.histogram(&Query::default(), None, 5).unwrap();
        assert_eq!(histogram.calls.iter().sum::<u64>(), facets.total);
    }
}
