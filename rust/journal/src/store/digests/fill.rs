//! Makes the digests that are missing, from the bodies, in small transactions beside other work.

use heed::RoTxn;

use super::names::NameKind;
use super::row::{Digest, NameId};
use super::writer::Progress;
use crate::facts::{EndFacts, Tokens, kind_number};
use crate::ids::RecordId;
use crate::labels::{self, MAX_VALUE};
use crate::store::Store;
use crate::store::db::trees::{Trees, label_key, sealed_seq};
use crate::store::digests::Blocks;
use crate::store::records::counts::Counts;
use crate::store::records::read::{PAGE_BYTES, read_row};
use crate::store::records::row::Row;
use crate::store::records::transition::{Change, load};
use crate::{CallEnd, Millis, Result, Seq};

/// Records whose digests are looked at in one call of [`Store::undigested`].
const LOOKED_AT: u64 = 200_000;

/// The figures of a record, as its bodies have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The record.
    pub seq: Seq,
    /// Its end when the bodies were read. With another end the figures are outdated.
    pub ended: u8,
    /// Its kind, as its events name it.
    pub kind: String,
    /// The duration.
    pub duration_ns: Option<u64>,
    /// The time from the start to the first token.
    pub first_token_ns: Option<u64>,
    /// The tokens of the request, of the answer, and of the request from the provider's cache.
    pub tokens: Option<[u32; 3]>,
    /// The name of the model.
    pub model: Option<String>,
    /// The name of the provider.
    pub provider: Option<String>,
    /// The id of the conversation.
    pub thread: Option<String>,
}

impl Store {
    /// The number of records, and the number of them without a complete digest.
    pub fn undigested_count(&self) -> Result<(u64, u64)> {
        self.db().read(|txn, trees| {
            let last = Counts::load(txn, trees)?.last_seq;
            Ok((last.0, Progress::load(txn, trees, last)?.pending()))
        })
    }

    /// Up to `limit` records before `below` without a complete digest, the newest first; fewer with [`PAGE_BYTES`] of bodies. The second
    /// value is where the next page begins; `None` after the last page.
    pub fn undigested(&self, below: Option<Seq>, limit: usize) -> Result<(Vec<Row>, Option<Seq>)> {
        self.db().read(|txn, trees| {
            let last = Counts::load(txn, trees)?.last_seq;
            let progress = Progress::load(txn, trees, last)?;
            let (mut rows, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
            let mut blocks = Blocks::new(txn, trees);
            let mut next = below.unwrap_or(last.next());
            while next.0 > 1 && rows.len() < limit && bytes < PAGE_BYTES && looked_at < LOOKED_AT {
                next = Seq(next.0 - 1);
                looked_at += 1;
                let known = if next > progress.from { blocks.get(next)? } else { None };
                if let Some(known) = known
                    && known.is_complete
                    && (known.ended != CallEnd::No || !has_ended(txn, trees, next))
                {
                    continue;
                }
                // `check` reports a damaged row.
                let Ok(state) = load(txn, trees, next) else { continue };
                let row = read_row(txn, trees, next, state)?;
                bytes += row.size();
                rows.push(row);
            }
            Ok((rows, (next.0 > 1).then_some(next)))
        })
    }

    /// Stores the digests of records that [`Self::undigested`] returned, and the labels of their conversations.
    pub fn put_digests(&self, figures: &[Figures]) -> Result<()> {
        self.db().write(|txn, trees| {
            let mut change = Change::begin(txn, trees, Millis::now())?;
            for figures in figures {
                change.put_figures(figures)?;
            }
            change.lower_first_digest(figures)?;
            change.finish()
        })
    }
}

impl Change<'_, '_> {
    fn put_figures(&mut self, figures: &Figures) -> Result<()> {
        let row = load(self.txn, self.trees, figures.seq)?;
        let mut digest = Digest::of_row(&row);
        let is_current = row.ended as u8 == figures.ended;
        if is_current && !row.is_forgotten() {
            let [model, provider] = [(NameKind::Model, &figures.model), (NameKind::Provider, &figures.provider)]
                .map(|(kind, name)| name.as_deref().filter(|name| !name.is_empty()).map(|name| (kind, name)));
            let mut number = |named: Option<(NameKind, &str)>| -> Result<NameId> {
                let Some((kind, name)) = named else { return Ok(NameId::default()) };
                let name = &name.as_bytes()[..name.floor_char_boundary(MAX_VALUE)];
                self.digests.name(self.txn, self.trees, kind, name)
            };
            (digest.model, digest.provider) = (number(model)?, number(provider)?);
            digest.kind = kind_number(&figures.kind);
            digest.end(
                row.ended,
                Some(EndFacts {
                    duration_ns: figures.duration_ns,
                    first_token_ns: figures.first_token_ns,
                    tokens: figures.tokens.map(|[input, output, cached]| Tokens { input, output, cached }),
                }),
            );
            if let Some(thread) = figures.thread.as_deref() {
                put_label(self, labels::THREAD, thread.as_bytes(), row.id, figures.seq)?;
            }
        }
        digest.is_complete = is_current;
        self.digests.put(self.txn, self.trees, figures.seq, &digest)
    }

    /// Records of earlier versions get their digests from the newest to the oldest.
    fn lower_first_digest(&mut self, figures: &[Figures]) -> Result<()> {
        let mut seqs: Vec<Seq> = figures.iter().map(|figures| figures.seq).collect();
        seqs.sort_unstable_by(|one, other| other.cmp(one));
        let first = self.digests.progress.from;
        let (mut from, mut incomplete) = (first, 0);
        for seq in seqs.into_iter().skip_while(|seq| *seq > first) {
            if seq != from {
                break;
            }
            incomplete +=
                u64::from(!self.digests.get(self.txn, self.trees, seq)?.is_some_and(|known| known.is_complete));
            from = Seq(from.0 - 1);
        }
        self.digests.begin_at(from, incomplete);
        Ok(())
    }
}

/// Whether a record has ended whose digest shows no end: an earlier version stored the end.
fn has_ended(txn: &RoTxn, trees: &Trees, seq: Seq) -> bool {
    load(txn, trees, seq).is_ok_and(|row| row.ended != CallEnd::No)
}

fn put_label(change: &mut Change, kind: u8, value: &[u8], id: RecordId, seq: Seq) -> Result<()> {
    let key = label_key(kind, value, id);
    Ok(change.trees.labels.put(change.txn, &key, &sealed_seq(&key, seq))?)
}
