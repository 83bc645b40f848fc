//! [`Watermark`]: up to where everything is settled.

use std::collections::{HashMap, VecDeque};

use crate::Cursor;

/// Knows the low watermark of a reducer: the cursor at or below which every event is settled in
/// every partition.
///
/// It counts what is unsettled per slice, so its memory grows with the number of unfinished slices
/// and not with the number of events.
#[derive(Debug)]
pub struct Watermark {
    cursor: Cursor,
    spans: VecDeque<Span>,
    next: u64,
}

/// One unfinished slice, or a run of finished ones behind an unfinished one.
#[derive(Debug)]
struct Span {
    first: u64,
    end: Cursor,
    unsettled: usize,
}

impl Watermark {
    /// Everything up to here is settled.
    pub fn new(cursor: Cursor) -> Self {
        Self { cursor, spans: VecDeque::new(), next: 0 }
    }

    /// Every event at or below this cursor is settled.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// True when nothing is unsettled.
    pub fn is_settled(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds the next slice, which covers the log up to `end` and of which `unsettled` deliveries
    /// are to be settled. Returns the slice's number.
    pub fn track(&mut self, end: Cursor, unsettled: usize) -> u64 {
        let number = self.next;
        self.next += 1;
        match self.spans.back_mut() {
            Some(last) if unsettled == 0 && last.unsettled == 0 => last.end = end,
            _ => self.spans.push_back(Span { first: number, end, unsettled }),
        }
        self.advance();
        number
    }

    /// The number that the next slice will have.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Settles `count` deliveries of the slice; true when that was the last of them.
    pub fn settle(&mut self, slice: u64, count: usize) -> bool {
        let after = self.spans.partition_point(|span| span.first <= slice);
        let Some(index) = after.checked_sub(1) else { return false };
        let span = &mut self.spans[index];
        debug_assert!(span.unsettled >= count, "slice {slice} settled more than was delivered");
        span.unsettled = span.unsettled.saturating_sub(count);
        if span.unsettled > 0 {
            return false;
        }
        self.merge(index);
        self.advance();
        true
    }

    /// The watermark as it would be with these deliveries (by slice) settled as well.
    pub fn with(&self, settles: &HashMap<u64, usize>) -> Cursor {
        let settled = self.spans.iter().take_while(|span| {
            span.unsettled <= settles.get(&span.first).copied().unwrap_or_default()
        });
        settled.last().map_or(&self.cursor, |span| &span.end).clone()
    }

    /// Joins a finished span with finished neighbours, which keeps the first's number.
    fn merge(&mut self, index: usize) {
        let finished = |spans: &VecDeque<Span>, index: usize| {
            spans.get(index).is_some_and(|span| span.unsettled == 0)
        };
        if finished(&self.spans, index + 1)
            && let Some(next) = self.spans.remove(index + 1)
        {
            self.spans[index].end = next.end;
        }
        if let Some(before) = index.checked_sub(1)
            && finished(&self.spans, before)
            && let Some(this) = self.spans.remove(index)
        {
            self.spans[before].end = this.end;
        }
    }

    fn advance(&mut self) {
        while self.spans.front().is_some_and(|span| span.unsettled == 0) {
            if let Some(span) = self.spans.pop_front() {
                self.cursor = span.end;
            }
        }
    }
}

#[cfg(test)]
mod tests;
